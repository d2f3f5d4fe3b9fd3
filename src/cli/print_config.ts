import { printConfig } from '../pipeline/config/config.ts'
import { configInput } from './options.ts'
import type { ConfigOptions } from './options.ts'

/** Prints the merged configuration with secrets hidden. @throws ConfigError */
export async function printEffectiveConfig(options: ConfigOptions): Promise<void> {
  process.stdout.write(await printConfig(await configInput(options)))
}
