import { executionAsyncId } from 'node:async_hooks'
import type { Logger } from '../component/logger.ts'
import { errorMessage } from '../errors.ts'
import { customModules, isNameOf } from '../pipeline/modules/load.ts'
import type { CustomModule } from '../pipeline/modules/load.ts'
import type { RunningPipeline } from '../pipeline/pipeline.ts'
import { forbidExit, isOwn, placesOf, stackOf } from '../process_exit.ts'

/**
 * Resolves when something failed outside every call of the pipeline: in a timer, a promise that is not awaited, an
 * event emitter; or when a component calls `process.exit`. The log names the component and the file, as far as the
 * stack shows them. A failure that certainly comes from a module that does not run, because a reload was refused, is
 * only logged.
 */
export function crash(log: Logger, pipeline: Pick<RunningPipeline, 'health' | 'runs'>): Promise<'crashed'> {
  const strays = new Set<string>()
  return new Promise((resolve) => {
    let isFirst = true
    let last: unknown = log
    const fail = (error: unknown): void => {
      // `process.exit` reports its error, then throws it.
      if (error === last) return
      last = error
      const stray = strayOf(stackOf(error), pipeline)
      if (stray !== undefined) {
        // Each position once: the failure may come from an interval.
        const level = strays.has(stray) ? 'debug' : 'error'
        strays.add(stray)
        const fields = { event: 'stray_failed', file: stray, error: errorMessage(error) }
        return log[level]('A module that is not in use failed; the pipeline keeps running.', fields)
      }
      // Failures while the pipeline stops are mostly repetitions.
      const level = isFirst ? 'error' : 'debug'
      isFirst = false
      resolve('crashed')
      const fields = { event: 'crashed', ...suspect(stackOf(error), pipeline), error: errorMessage(error) }
      log[level]('A component failed outside the calls of the pipeline; the pipeline stops.', fields)
      log.debug('Where it failed.', { stack: stackOf(error) })
    }
    try {
      // A component cannot take this away by removing listeners.
      process.setUncaughtExceptionCaptureCallback(fail)
    } catch {
      // A module has loaded Node's `domain`, which has taken the callback.
      process.on('uncaughtException', fail)
    }
    forbidExit(fail)
  })
}

/**
 * The position of the failure in a module, if that module certainly does not run: none of its loads that may have begun
 * the failed work provided a running component.
 */
function strayOf(stack: string, { runs }: Pick<RunningPipeline, 'runs'>): string | undefined {
  const modules = customModules()
  const place = placesOf(stack).find(({ file }) => modules.some(({ holds }) => holds(file)))
  const begunBy = modules.filter(({ began }) => began(executionAsyncId()))
  const concerned =
    begunBy.length > 0 ? begunBy : modules.filter(({ holds }) => place !== undefined && holds(place.file))
  if (concerned.length === 0 || concerned.some(({ components }) => components.some(runs))) return undefined
  return place === undefined ? concerned[0].path : place.file + place.position
}

/** The component that a stack leads to, with the position in its module; otherwise the components that it may have been. */
function suspect(stack: string, { health }: Pick<RunningPipeline, 'health'>): Readonly<Record<string, string>> {
  const modules = customModules().filter(({ isCurrent }) => isCurrent)
  const places = placesOf(stack)
  const idsOf = ({ components }: CustomModule): string =>
    Object.keys(health.components())
      .filter((path) =>
        components.some((component) => {
          const [section, id] = [`${component.kind}s.`, path.slice(component.kind.length + 2)]
          return path.startsWith(section) && isNameOf(id.split('/')[0], component)
        }),
      )
      .map((path) => path.slice(path.indexOf('.') + 1))
      .join(', ')
  for (const { file, position } of places) {
    const module = modules.find(({ holds }) => holds(file))
    if (module !== undefined) return { component: idsOf(module), file: file + position }
  }
  // A promise of the pipeline that a component does not await fails inside the pipeline.
  if (!places.every(isOwn) || modules.length === 0) return {}
  return { perhaps: modules.map((module) => `${idsOf(module)} (${module.path})`).join(', ') }
}
