import { executionAsyncId } from 'node:async_hooks'
import type { Logger } from '../component/logger.ts'
import { errorMessage } from '../errors.ts'
import { customModules, isNameOf } from '../pipeline/modules/load.ts'
import type { CustomModule } from '../pipeline/modules/load.ts'
import type { RunningPipeline } from '../pipeline/pipeline.ts'
import { forbidExit, isOwn, placesOf, stackOf } from '../process_exit.ts'

/**
 * Resolves when something failed where no call of the pipeline could catch it: in a timer, a promise that nobody awaits, an
 * event emitter; or when a component calls `process.exit`. The log names the component and the file, as far as the stack does.
 * A failure that certainly comes from a module that does not run, because a reload was refused, is only logged.
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
        // Each place once: it may be an interval's.
        const level = strays.has(stray) ? 'debug' : 'error'
        strays.add(stray)
        const fields = { event: 'stray_failed', file: stray, error: errorMessage(error) }
        return log[level]('A module that is not in use failed; the pipeline keeps running.', fields)
      }
      // What comes while the pipeline stops is mostly the same again.
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
      // Something has loaded Node's `domain`, which has taken it.
      process.on('uncaughtException', fail)
    }
    forbidExit(fail)
  })
}

/**
 * Where in a module it failed, if that module surely does not run: the load that began what failed brought nothing that runs, or,
 * where it is not known which load did, none of the loads of that file has.
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

/** The component that a stack leads to, and where in its module; where it leads nowhere, those it may have been. */
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
  // A promise of the pipeline that a component does not await fails in the pipeline.
  if (!places.every(isOwn) || modules.length === 0) return {}
  return { perhaps: modules.map((module) => `${idsOf(module)} (${module.path})`).join(', ') }
}
