import { ConfigError } from '../errors.ts'
import type { Problem } from '../errors.ts'
import { unlimited } from '../host/memory_limiter.ts'
import { loadConfig } from '../pipeline/config/config.ts'
import { Graph } from '../pipeline/graph/graph.ts'
import { Health } from '../pipeline/telemetry/health.ts'
import { createLogger } from '../pipeline/log.ts'
import { thisMachine } from '../pipeline/machine.ts'
import { Telemetry } from '../pipeline/telemetry/telemetry.ts'
import { visibleJson } from '../text/terminal.ts'
import { ExitCode, problemText } from './exit.ts'
import { configInput, defaultConfig } from './options.ts'
import type { ConfigOptions } from './options.ts'

/** Checks a configuration and builds its graph, which opens nothing. Shows every mistake and returns the exit code. */
export async function validate(options: ConfigOptions & { format: 'text' | 'json' }): Promise<number> {
  const problems = await findProblems(options)
  const valid = problems.every(({ severity }) => severity === 'warning')
  if (options.format === 'json') process.stdout.write(`${visibleJson(JSON.stringify({ valid, problems }, null, 2))}\n`)
  else {
    process.stderr.write(problemText(problems))
    const which =
      options.config.length > 0 || options.fromEnv
        ? 'The configuration'
        : `The default configuration, ${defaultConfig},`
    if (valid) process.stdout.write(`${which} is valid.\n`)
  }
  return valid ? ExitCode.ok : ExitCode.config
}

async function findProblems(options: ConfigOptions): Promise<readonly Problem[]> {
  let warnings: readonly Problem[] = []
  try {
    const config = await loadConfig(await configInput(options))
    warnings = [...config.warnings, ...config.changedDefaults]
    const log = createLogger({ level: 'error', encoding: 'console' }, config.secrets)
    const telemetry = new Telemetry()
    const graph = new Graph(config, { ...thisMachine, log, telemetry, health: new Health(), memory: unlimited() })
    await graph.stop(new AbortController().signal)
    return warnings
  } catch (error) {
    if (error instanceof ConfigError) return [...warnings, ...error.problems]
    throw error
  }
}
