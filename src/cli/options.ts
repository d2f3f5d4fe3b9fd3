import { fileURLToPath } from 'node:url'
import type { ConfigInput } from '../pipeline/config.ts'

/** The options that say which configuration a command is about. */
export interface ConfigOptions {
  readonly config: readonly string[]
  readonly set: readonly string[]
}

/** The configuration that runs when none is given. */
export const defaultConfig = fileURLToPath(new URL('../../config/default.yaml', import.meta.url))

export function configInput({ config, set }: ConfigOptions): ConfigInput {
  const files = config.length > 0 ? config : [defaultConfig]
  return { files: files.map((path) => ({ path })), sets: set, env: process.env }
}
