import { readFileSync } from 'node:fs'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'

/**
 * The folder of the code: `src/` or, once built, `dist/`. This file lies one folder below it, as its chunk does; files
 * further down take the folder from here.
 */
export const ownFolder = new URL('../', import.meta.url)

/** `.ts` in the source, `.js` once built. */
export const ownExtension = extname(fileURLToPath(import.meta.url))

/** The version of this package. */
export const { version } = JSON.parse(readFileSync(new URL('../package.json', ownFolder), 'utf8')) as {
  readonly version: string
}
