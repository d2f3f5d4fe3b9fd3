import { errorMessage } from '../errors.ts'
import { loadConfig } from '../pipeline/config.ts'
import { createLogger, throttled } from '../pipeline/log.ts'
import { startPipeline } from '../pipeline/pipeline.ts'
import { ExitCode } from './exit.ts'
import { configInput } from './options.ts'
import type { ConfigOptions } from './options.ts'

/**
 * Runs a pipeline until SIGTERM, SIGINT or SIGHUP, or until its receivers have ended. Returns the exit code.
 * A second signal ends the process at once.
 * @throws ConfigError
 */
export async function run(options: ConfigOptions & { once: boolean }, version: string): Promise<number> {
  const config = await loadConfig(await configInput(options))
  const log = await createLogger(config.service.telemetry.logs, config.secrets)
  for (const { path, message } of config.warnings) log.warn(path === '' ? message : `${path}: ${message}`)
  const pipeline = startPipeline(config, { log, once: options.once })
  log.info(`heka-pipeline ${version} has started`, { pipelines: [...config.pipelines.keys()].join(', ') })
  const crashed = new Promise<'crashed'>((resolve) => {
    process.on('uncaughtException', (error) => {
      resolve('crashed')
      log.error('Something failed outside the pipeline, which stops.', { error: errorMessage(error) })
      log.debug('Where it failed.', { stack: error.stack })
    })
  })
  const quiet = throttled(log)
  process.on('unhandledRejection', (error) => {
    quiet.error('A promise was rejected and nobody waited for it.', { error: errorMessage(error) })
  })
  const ended = pipeline.ended.catch(async (error: unknown) => {
    await pipeline.stop()
    throw error
  })
  const { health } = config.service
  const closeHealth =
    health !== undefined && !options.once
      ? import('../pipeline/health_server.ts').then(({ serveHealth }) =>
          serveHealth(health.address, pipeline.health, config.secrets, log),
        )
      : undefined
  const { level, address } = config.service.telemetry.metrics
  const closeMetrics =
    level !== 'none' && !options.once
      ? import('../pipeline/metrics_server.ts').then(({ serveMetrics }) => serveMetrics(address, pipeline.metrics, log))
      : undefined
  const end = await Promise.race([ended, firstSignal(), crashed])
  if (typeof end === 'string' && end !== 'crashed') log.info(`Stopping on ${end}; a second signal ends at once.`)
  await pipeline.stop()
  ;(await closeHealth)?.()
  ;(await closeMetrics)?.()
  if (end === 'crashed') return ExitCode.software
  if (typeof end === 'string') return ExitCode.ok
  return end.failed || (options.once && !pipeline.telemetry.allSent) ? ExitCode.failure : ExitCode.ok
}

function firstSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let received = false
    for (const [signal, number] of [
      ['SIGHUP', 1],
      ['SIGINT', 2],
      ['SIGTERM', 15],
    ] as const) {
      process.on(signal, () => {
        if (received) process.exit(128 + number)
        received = true
        resolve(signal)
      })
    }
  })
}
