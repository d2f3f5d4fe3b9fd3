import type { Logger } from '../component.ts'
import type { MetricBatch } from '../otlp/batch.ts'
import type { PipelineConfig } from './config.ts'
import { Graph } from './graph.ts'
import type { GraphOptions } from './graph.ts'
import { Health } from './health.ts'
import { Telemetry } from './telemetry.ts'
import type { Balance } from './telemetry.ts'

/** A running pipeline. */
export interface RunningPipeline {
  /**
   * Resolves when every receiver has ended by itself, with whether one failed. Rejects with a ConfigError when nothing could
   * start because another process has the directory of a queue.
   */
  readonly ended: Promise<{ failed: boolean }>
  readonly telemetry: Telemetry
  readonly health: Health
  /** The metrics of the pipeline itself, as they are now; cumulative since its start. */
  readonly metrics: () => Promise<MetricBatch>
  /**
   * Stops receivers, drains the queues within `service.shutdown_timeout` and logs the balance sheet. What is not
   * delivered by then is kept where its queue is on disk, else dropped, and counted. May be called more than once: every call waits for the same stop.
   */
  stop(): Promise<Balance>
}

/** Builds the graph of a checked configuration, which opens nothing, and starts it. @throws ConfigError where a `create` is wrong */
export function startPipeline(
  config: PipelineConfig,
  options: { log: Logger; once?: GraphOptions['once'] },
): RunningPipeline {
  const { shutdown_timeout: timeout, telemetry: settings } = config.service
  const telemetry = new Telemetry(settings.metrics.prefix)
  const health = new Health()
  const graph = new Graph(config, { ...options, telemetry, health })
  const over = new AbortController()
  let stopping: Promise<Balance> | undefined
  return {
    ended: graph.run(),
    telemetry,
    health,
    metrics: telemetry.reader(over.signal),
    stop: () => (stopping ??= stop(graph, telemetry, health, timeout, options.log).finally(() => over.abort())),
  }
}

async function stop(
  graph: Graph,
  telemetry: Telemetry,
  health: Health,
  timeout: number,
  log: Logger,
): Promise<Balance> {
  health.stopping()
  const deadline = new AbortController()
  const timer = setTimeout(() => deadline.abort(), timeout)
  await graph.stop(deadline.signal)
  clearTimeout(timer)
  health.stopped()
  telemetry.abandonHeld()
  for (const equation of telemetry.equations()) log.info(`Data points of ${equation}`)
  return telemetry.balance()
}
