import { stat } from 'node:fs/promises'
import { execArgv, execPath } from 'node:process'
import { parseArgs } from 'node:util'
import { hasStopped } from './signals.ts'

/*
 * An agent collects hundreds of points every few seconds. V8 without its optimizing compilers, and with a small young generation, takes a
 * third less memory with Node.js 24, and is still fast enough (docs/footprint.md). V8 accepts these flags only on the command line.
 */

/** The flags of Node.js in the profile `agent`. `--lite-mode` saves little more, and disables WebAssembly, with which undici reads answers. */
export const AGENT_FLAGS: readonly string[] = [
  '--max-semi-space-size=1',
  '--no-opt',
  '--no-maglev',
  '--no-sparkplug',
  '--optimize-for-size',
  '--single-threaded-gc',
  '--bytecode-old-age=1',
]

/** Whether this process was started with these flags. */
export const hasAgentFlags = AGENT_FLAGS.every((flag) => execArgv.includes(flag))

/** Node.js, with a function that its types of version 20 do not have. */
const node = process as typeof process & { execve?(file: string, args: readonly string[]): never }

/**
 * If the command line runs a pipeline with the profile `agent`, starts the process again with the flags for it, and does not return.
 * Loads only the code that reads the configuration, and leaves all mistakes to be reported later. A pipe cannot be read twice, and
 * Node.js before 22.15 cannot replace itself: then the flags are missing, and `run` logs that.
 */
export async function takeProfile(): Promise<void> {
  if (node.execve === undefined || process.platform === 'win32' || hasAgentFlags) return
  if (!(await isAgent().catch(() => false))) return
  // Otherwise pending signals would be lost.
  await new Promise((resolve) => setImmediate(resolve))
  if (!hasStopped()) node.execve(execPath, [execPath, ...execArgv, ...AGENT_FLAGS, ...process.argv.slice(1)])
}

async function isAgent(): Promise<boolean> {
  const { values, positionals } = parseArgs({
    options: {
      config: { type: 'string', short: 'c', multiple: true, default: [] },
      set: { type: 'string', short: 's', multiple: true, default: [] },
      'from-env': { type: 'boolean', default: false },
      'variables-file': { type: 'string' },
      'env-file': { type: 'string' },
    },
    allowPositionals: true,
  })
  if (positionals.length > 0) return false
  for (const file of values.config) if (!(await stat(file)).isFile()) return false
  const { configInput } = await import('./options.ts')
  const { profileOfInput } = await import('../pipeline/config/profile.ts')
  const input = await configInput({
    ...{ config: values.config, set: values.set, fromEnv: values['from-env'] },
    variablesFile: values['variables-file'] ?? values['env-file'],
  })
  return (await profileOfInput(input)) === 'agent'
}
