import { setMaxListeners } from 'node:events'
import type { Component } from '../component/define.ts'
import type { Logger } from '../component/logger.ts'
import { defaultRememberedSize, MemoryLimiter } from '../host/memory_limiter.ts'
import type { MetricBatch } from '../otlp/metrics/batch.ts'
import { rememberedBytes } from '../otlp/common/remembered_bytes.ts'
import type { Changes } from './graph/changes.ts'
import type { PipelineConfig } from './config/config.ts'
import { Graph } from './graph/graph.ts'
import type { GraphOptions } from './graph/graph.ts'
import { Health } from './telemetry/health.ts'
import { thisMachine } from './machine.ts'
import type { Machine } from './machine.ts'
import { ownMetricsReader } from './telemetry/own_metrics_reader.ts'
import type { ServiceConfig } from './config/settings.ts'
import { Telemetry } from './telemetry/telemetry.ts'
import type { Balance } from './telemetry/telemetry.ts'

/** A running pipeline. */
export interface RunningPipeline {
  /** Resolves when the queues are open. Rejects with a ConfigError, and starts nothing, if another process has the directory of one. */
  readonly opened: Promise<void>
  /** Resolves when every receiver has started, or failed to start. Rejects as `opened` does. */
  readonly started: Promise<void>
  /** Resolves when every receiver has ended by itself, with whether one failed. Rejects as `opened` does. */
  readonly ended: Promise<{ failed: boolean }>
  readonly telemetry: Telemetry
  readonly health: Health
  /** Whether the running configuration has this very component object. */
  readonly runs: (component: Component) => boolean
  /** The current metrics of the pipeline itself, cumulative since its start. */
  readonly metrics: () => Promise<MetricBatch>
  /**
   * Replaces the running configuration by another one, and resolves when the old one has handed over or sent its data.
   * Parts that both have go on unchanged. One call at a time.
   * @throws ConfigError with every reason why the new one cannot run; then the old one goes on undisturbed
   */
  reload(config: PipelineConfig): Promise<Changes>
  /**
   * Stops receivers, drains the queues within `service.shutdown_timeout` and logs the balance sheet. Data that is not
   * delivered by then is kept if its queue is on disk, and otherwise dropped; both are counted. Resolves a second later
   * at the latest: components that hang are logged and abandoned. May be called more than once: every call waits for
   * the same stop.
   */
  stop(): Promise<Balance>
}

/** The most milliseconds that a stop takes beyond `service.shutdown_timeout`. */
const STOP_GRACE = 1000

/** The path under which the health shows the process-wide limiter. */
const MEMORY_LIMITER = 'service.memory_limiter'

/** Builds the graph of a checked configuration, which opens nothing, and starts it. @throws ConfigError if a `create` is wrong */
export function startPipeline(
  config: PipelineConfig,
  options: { log: Logger; once?: GraphOptions['once'] } & Partial<Machine>,
): RunningPipeline {
  const { clock } = { ...thisMachine, ...options }
  const telemetry = new Telemetry(config.service.telemetry.metrics.prefix, clock)
  const health = new Health(clock)
  const over = new AbortController()
  const report = (problem?: string): void => health.reported(MEMORY_LIMITER, problem)
  const memory = new MemoryLimiter({ clock, log: options.log, signal: over.signal, report })
  telemetry.memory = () => memory.reading
  const graph = new Graph(config, { ...thisMachine, ...options, telemetry, health, memory })
  const limitMemory = ({ memory_limiter: limits, max_remembered_size: remembered }: ServiceConfig): void => {
    rememberedBytes.limit = remembered ?? defaultRememberedSize(limits)
    if (limits === undefined) health.gone(MEMORY_LIMITER)
    else health.starting(MEMORY_LIMITER)
    memory.configure(limits)
    // From now on it is watched.
    memory.isShort()
  }
  limitMemory(config.service)
  let timeout = config.service.shutdown_timeout
  let busy = true
  let stopping: Promise<Balance> | undefined
  const opened = graph.open()
  const started = opened.then(() => graph.start()).finally(() => (busy = false))
  const ended = started.then(() => graph.ended)
  // A caller that awaits one need not await the other.
  for (const promise of [opened, started, ended]) promise.catch(() => undefined)
  return {
    opened,
    started,
    ended,
    telemetry,
    health,
    runs: (component) => graph.runs(component),
    metrics: ownMetricsReader(telemetry, over.signal),
    async reload(next) {
      if (stopping !== undefined) throw new Error('The pipeline is stopping.')
      if (busy) throw new Error('The pipeline is starting, or reloading, already.')
      busy = true
      try {
        const changes = await graph.reload(next)
        timeout = next.service.shutdown_timeout
        limitMemory(next.service)
        health.started()
        return changes
      } finally {
        busy = false
      }
    },
    stop: () => (stopping ??= stop().finally(() => over.abort())),
  }

  async function stop(): Promise<Balance> {
    const { log } = options
    health.stopping()
    const deadline = new AbortController()
    // The deliveries of each exporter and signal listen.
    setMaxListeners(0, deadline.signal)
    const timer = clock.setTimeout(() => deadline.abort(), timeout)
    const late = new AbortController()
    await Promise.race([
      graph.stop(deadline.signal),
      clock.sleep(timeout + STOP_GRACE, late.signal).catch(() => undefined),
    ])
    clock.clearTimeout(timer)
    late.abort()
    const { hanging } = graph
    if (hanging.length > 0)
      log.error('Some components did not stop in time and are abandoned.', {
        event: 'stop_timeout',
        hanging: hanging.join(', '),
      })
    health.stopped()
    for (const [pipeline, { what, items }] of telemetry.abandonHeld()) {
      const message = `${what} were still in the processors of a pipeline at the end of the stop and are dropped and counted. A longer service.shutdown_timeout gives them time.`
      log.error(message, { event: 'items_unsent', pipeline, items })
    }
    for (const equation of telemetry.equations()) log.info(equation)
    return telemetry.balance()
  }
}
