import { fileURLToPath } from 'node:url'
import type { Logger } from '../component.ts'
import { errorMessage } from '../errors.ts'
import { customModules, isNameOf } from '../pipeline/load.ts'
import type { CustomModule } from '../pipeline/load.ts'
import type { RunningPipeline } from '../pipeline/pipeline.ts'

/**
 * Resolves when something failed where no call of the pipeline could catch it: in a timer, a promise that nobody awaits, an
 * event emitter; or when a component calls `process.exit`. The log names the component and the file, as far as the stack does.
 */
export function crash(log: Logger, pipeline: Pick<RunningPipeline, 'health'>): Promise<'crashed'> {
  return new Promise((resolve) => {
    let isFirst = true
    const fail = (error: unknown): void => {
      // What comes while the pipeline stops is mostly the same again.
      const level = isFirst ? 'error' : 'debug'
      isFirst = false
      resolve('crashed')
      const fields = { ...suspect(stackOf(error), pipeline), error: errorMessage(error) }
      log[level]('Something failed outside every call of the pipeline, which stops.', fields)
      log.debug('Where it failed.', { stack: stackOf(error) })
    }
    try {
      // A component cannot take this away by removing listeners.
      process.setUncaughtExceptionCaptureCallback(fail)
    } catch {
      // Something has loaded Node's `domain`, which has taken it.
      process.on('uncaughtException', fail)
    }
    catchExit(fail)
  })
}

/** Lets `process.exit` end the process only where this program calls it; anywhere else it fails. */
function catchExit(fail: (error: Error) => void): void {
  const exit = process.exit.bind(process)
  process.exit = (...code) => {
    const { stackTraceLimit } = Error
    Error.stackTraceLimit = 10
    const error = new Error(`process.exit(${code.join('')}) was called.`)
    Error.stackTraceLimit = stackTraceLimit
    const [here, caller] = placesOf(String(error.stack))
    if (here === undefined || isOwn(caller)) return exit(...code)
    fail(error)
    throw error
  }
}

/** The component that a stack leads to, and where in its module; where it leads nowhere, those it may have been. */
function suspect(stack: string, { health }: Pick<RunningPipeline, 'health'>): Readonly<Record<string, string>> {
  const modules = customModules()
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
  if (places.length > 0 || modules.length === 0) return {}
  return { perhaps: modules.map((module) => `${idsOf(module)} (${module.path})`).join(', ') }
}

interface Place {
  readonly file: string
  /** `:line:column` */
  readonly position: string
}

/** The files that a stack names, the innermost first; those of Node itself left out. */
function placesOf(stack: string): Place[] {
  const lines = stack.matchAll(/^ +at (?:.*\()?((?:file:\/\/|\/|[A-Za-z]:\\).*?)(:\d+:\d+)\)?$/gm)
  return Array.from(lines, ([, file, position]) => ({
    file: file.startsWith('file:') ? fileURLToPath(file.replace(/\?.*/, '')) : file,
    position,
  }))
}

const folder = fileURLToPath(new URL('..', import.meta.url))

function isOwn(place: Place | undefined): boolean {
  return place?.file.startsWith(folder) === true
}

function stackOf(error: unknown): string {
  try {
    const stack = (error as { stack?: unknown } | null | undefined)?.stack
    return typeof stack === 'string' ? stack : ''
  } catch {
    return ''
  }
}
