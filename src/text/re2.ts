import { createRequire } from 'node:module'

const require = createRequire(import.meta.url)

/** The library re2js, which takes 3 MiB: loaded with the first expression that needs it. */
export function re2(): typeof import('re2js') {
  // From src/ as well as from dist/chunks, which are one folder deep.
  return require('../text/re2.cjs') as typeof import('re2js')
}
