import { fileURLToPath } from 'node:url'
import { parseEnv } from 'node:util'
import { ConfigError, readFailure } from '../errors.ts'
import type { ConfigInput } from '../pipeline/config/config.ts'
import { readSmallFile } from '../small_file.ts'

/** The options that select the configuration of a command. */
export interface ConfigOptions {
  readonly config: readonly string[]
  readonly set: readonly string[]
  /** Whether the variables of the Heka Insights Agent make the configuration that the files are merged over. */
  readonly fromEnv: boolean
  /** A file of variables, for those that the environment does not set. */
  readonly variablesFile?: string
}

/** The configuration that runs if none is given. */
export const defaultConfig = fileURLToPath(new URL('../../config/default.yaml', import.meta.url))

/** @throws ConfigError if the file of variables cannot be read, or a variable of the Heka Insights Agent is wrong */
export async function configInput({ config, set, fromEnv, variablesFile }: ConfigOptions): Promise<ConfigInput> {
  const env = variablesFile === undefined ? process.env : { ...(await readVariables(variablesFile)), ...process.env }
  const files = config.map((path) => ({ path }))
  if (fromEnv) {
    const { configFromEnv } = await import('./from_env.ts')
    const variables = trimmed(env)
    return { files: [{ name: 'environment', text: configFromEnv(variables) }, ...files], sets: set, env: variables }
  }
  return { files: files.length > 0 ? files : [{ path: defaultConfig }], sets: set, env }
}

/** The environment as the agent reads it, without blanks around values. */
function trimmed(env: NodeJS.Dict<string>): NodeJS.Dict<string> {
  return Object.fromEntries(Object.entries(env).map(([name, value]) => [name, value?.trim()]))
}

async function readVariables(path: string): Promise<NodeJS.Dict<string>> {
  try {
    return parseEnv((await readSmallFile(path)).toString())
  } catch (error) {
    throw new ConfigError([{ severity: 'error', place: { source: path }, path: '', message: readFailure(error) }])
  }
}
