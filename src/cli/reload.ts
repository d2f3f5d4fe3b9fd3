import { ConfigError, errorMessage, formatProblem } from '../errors.ts'
import type { Answer } from '../net/process_server.ts'
import { signals } from '../otlp/signals.ts'
import { readDeliveryId } from '../pipeline/delivery/id.ts'
import type { Changes } from '../pipeline/graph/changes.ts'
import type { PipelineConfig } from '../pipeline/config/config.ts'
import type { ProcessLogger } from '../pipeline/log.ts'
import type { RunningPipeline } from '../pipeline/pipeline.ts'
import { problemText } from './exit.ts'

interface ReloadOptions {
  readonly load: () => Promise<PipelineConfig>
  readonly pipeline: RunningPipeline
  readonly log: ProcessLogger
  /** Every secret of all configurations that this process has had. */
  readonly secrets: Set<string>
  /** Applies the settings of the service to the process itself. */
  readonly configure: (config: PipelineConfig) => Promise<void>
  /** What of the process takes effect only when it starts again. */
  readonly atNextStart: (config: PipelineConfig) => readonly string[]
}

/**
 * Makes a function that reloads the configuration and reports the outcome, in the log and to the caller. Reloads run
 * one after the other, the first after the start; callers that come while others wait share one reload, because it will
 * read the files as they are then.
 */
export function reloader(options: ReloadOptions): () => Promise<Answer> {
  let last: Promise<unknown> = options.pipeline.started.catch(() => undefined)
  let next: Promise<Answer> | undefined
  return () => {
    if (next !== undefined) return next
    const reloaded = last.then(() => {
      next = undefined
      return reload(options)
    })
    next = last = reloaded
    return reloaded
  }
}

async function reload({ load, pipeline, log, secrets, configure, atNextStart }: ReloadOptions): Promise<Answer> {
  const { reloads } = pipeline.telemetry
  try {
    const config = await load()
    for (const secret of config.secrets) secrets.add(secret)
    const changes = await pipeline.reload(config)
    await configure(config)
    const later = [...changes.atNextStart, ...atNextStart(config)]
    reloads.success += 1
    for (const warning of config.warnings) log.warn(formatProblem(warning))
    const [parts, remarks] = [partsOf(changes), remarksOf({ ...changes, atNextStart: later })]
    log.info(DONE, { event: 'reloaded', ...Object.fromEntries(parts) })
    for (const remark of remarks) log.warn(remark)
    const lines = [DONE, ...parts.map(([what, paths]) => `${what}: ${paths}`), ...remarks]
    return text(200, lines.map((line) => `${line}\n`).join('') + problemText(config.warnings))
  } catch (error) {
    reloads.failure += 1
    const problems = error instanceof ConfigError ? error.problems : undefined
    for (const problem of problems ?? []) log[problem.severity === 'error' ? 'error' : 'warn'](formatProblem(problem))
    if (problems === undefined) log.error(errorMessage(error))
    log.error('The configuration was not reloaded; the previous one keeps running.', { event: 'reload_failed' })
    return problems === undefined ? text(503, `${errorMessage(error)}\n`) : text(422, problemText(problems))
  }
}

const DONE = 'The configuration was reloaded.'

/** The parts that were kept, changed, added and removed, if any. */
function partsOf({ kept, changed, added, removed }: Changes): [what: string, paths: string][] {
  return Object.entries({ kept, changed, added, removed })
    .filter(([, paths]) => paths.length > 0)
    .map(([what, paths]) => [what, paths.join(', ')])
}

function remarksOf({ atNextStart, leftovers, unreleased }: Changes): string[] {
  const inside = unreleased.map(
    (path) => `${path}: did not release everything in time; the rest is released later, or stays until the stop`,
  )
  const left = Object.entries(leftovers).flatMap(([path, { kept, dropped }]) => {
    const { items } = signals[readDeliveryId(path).signal]
    return [
      ...(kept > 0 ? [`${path}: ${items} that stay in the queue on disk: ${kept}`] : []),
      ...(dropped > 0 ? [`${path}: ${items} that could not be sent in time and are dropped: ${dropped}`] : []),
    ]
  })
  return [...inside, ...left, ...atNextStart.map((path) => `${path} takes effect at the next start.`)]
}

function text(code: number, body: string): Answer {
  return { code, type: 'text/plain; charset=utf-8', body }
}
