import { isatty } from 'node:tty'
import { systemClock } from '../clock.ts'
import { errorMessage } from '../errors.ts'
import { loadConfig } from '../pipeline/config.ts'
import { createLogger } from '../pipeline/log.ts'
import { startPipeline } from '../pipeline/pipeline.ts'
import { throttled } from '../throttled.ts'
import { ExitCode } from './exit.ts'
import { configInput } from './options.ts'
import type { ConfigOptions } from './options.ts'
import { reloader } from './reload.ts'
import { Servers } from './servers.ts'

/**
 * Runs a pipeline until SIGTERM or SIGINT, or until its receivers have ended, and reloads its configuration on SIGHUP. Returns the
 * exit code. A second signal ends the process at once. Where there is nothing to reload, with `once` and on Windows, and when the
 * terminal has gone that it was started from, SIGHUP stops it, too.
 * @throws ConfigError
 */
export async function run(options: ConfigOptions & { once: boolean }, version: string): Promise<number> {
  const { once } = options
  let begin: (reload: () => unknown) => void
  const begun = new Promise<() => unknown>((resolve) => (begin = resolve))
  const terminal = isatty(0)
  const stopsOnHangUp = (): boolean => once || process.platform === 'win32' || (terminal && !isatty(0))
  process.on('SIGHUP', () => {
    if (!stopsOnHangUp()) void begun.then((reload) => reload())
  })

  const load = async () => loadConfig(await configInput(options))
  const config = await load()
  const secrets = new Set(config.secrets)
  const log = await createLogger(config.service.telemetry.logs, secrets)
  for (const { path, message } of config.warnings) log.warn(path === '' ? message : `${path}: ${message}`)
  const pipeline = startPipeline(config, { log, once })
  const crashed = new Promise<'crashed'>((resolve) => {
    process.on('uncaughtException', (error) => {
      resolve('crashed')
      log.error('Something failed outside the pipeline, which stops.', { error: errorMessage(error) })
      log.debug('Where it failed.', { stack: error.stack })
    })
  })
  const quiet = throttled(log, systemClock)
  process.on('unhandledRejection', (error) => {
    quiet.error('A promise was rejected and nobody waited for it.', { error: errorMessage(error) })
  })
  const ended = pipeline.ended.catch(async (error: unknown) => {
    await pipeline.stop()
    throw error
  })
  const reload = reloader({
    ...{ load, pipeline, log, secrets },
    configure: async ({ service }) => {
      await log.configure(service.telemetry.logs)
      await servers.configure(service)
    },
  })
  const servers = new Servers({ pipeline, secrets, reload, log })
  // What holds the directories of its queues is the one that answers, and says that it runs.
  const serving = pipeline.opened.then(
    () => {
      log.info(`heka-pipeline ${version} has started`, { pipelines: [...config.pipelines.keys()].join(', ') })
      return once ? undefined : servers.configure(config.service)
    },
    () => undefined,
  )
  begin!(reload)
  const end = await Promise.race([ended, firstSignal(stopsOnHangUp), crashed])
  if (typeof end === 'string' && end !== 'crashed') log.info(`Stopping on ${end}; a second signal ends at once.`)
  await pipeline.stop()
  await serving
  await servers.close()
  if (end === 'crashed') return ExitCode.software
  if (typeof end === 'string') return ExitCode.ok
  return end.failed || (once && !pipeline.telemetry.allSent) ? ExitCode.failure : ExitCode.ok
}

function firstSignal(stopsOnHangUp: () => boolean): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let received = false
    for (const [signal, number] of [
      ['SIGHUP', 1],
      ['SIGINT', 2],
      ['SIGTERM', 15],
    ] as const) {
      process.on(signal, () => {
        if (signal === 'SIGHUP' && !stopsOnHangUp()) return
        if (received) process.exit(128 + number)
        received = true
        resolve(signal)
      })
    }
  })
}
