import { defer, tap } from 'rxjs'
import type { Observable } from 'rxjs'
import type { Component } from '../../component/define.ts'
import type { ProcessBatch, ProcessorComponent } from '../../component/processor.ts'
import type { MetricBatch } from '../../otlp/metrics/batch.ts'

/*
 * Notes which component of a module was called last, for the thread of the watchdog: that thread can ask nothing of
 * this one while a system call or endless promises keep it busy.
 */

/** The most bytes of a name. */
const LENGTH = 1024

/** The name in UTF-8, up to the first 0. */
export const lastCalled = new SharedArrayBuffer(LENGTH)

const bytes = new Uint8Array(lastCalled)

/** The result of a component's `create`, which also notes its calls. `name`: the name to show. */
export function noting<C extends Component>(
  kind: C['kind'],
  name: string,
  created: ReturnType<C['create']>,
): ReturnType<C['create']> {
  const text = Buffer.alloc(LENGTH)
  // The last byte stays 0.
  text.write(name, 0, LENGTH - 1)
  const note = (): void => bytes.set(text)
  const noted = {
    receiver: () => notingSource(created as Observable<MetricBatch>, note),
    processor: () => notingProcessor(created as ReturnType<ProcessorComponent['create']>, note),
    exporter: () => notingCalls(created, note),
  }
  return noted[kind]() as ReturnType<C['create']>
}

function notingSource(source: Observable<MetricBatch>, note: () => void): Observable<MetricBatch> {
  return defer(() => {
    note()
    return source
  })
}

function notingProcessor(
  processor: ReturnType<ProcessorComponent['create']>,
  note: () => void,
): ReturnType<ProcessorComponent['create']> {
  if (typeof processor !== 'function') return { operator: (source) => processor.operator(source.pipe(tap(note))) }
  const process: ProcessBatch = (...given) => {
    note()
    return processor(...given)
  }
  return process
}

/** All properties of the object are read from the object itself, because its methods may use private fields. */
function notingCalls(called: object, note: () => void): object {
  const get = (_target: object, key: string | symbol): unknown => {
    const value: unknown = Reflect.get(called, key)
    if (typeof value !== 'function') return value
    return (...given: unknown[]): unknown => {
      note()
      return Reflect.apply(value, called, given)
    }
  }
  return new Proxy({}, { get, has: (_target, key) => key in called })
}
