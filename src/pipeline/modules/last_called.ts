import { defer, tap } from 'rxjs'
import type { Observable } from 'rxjs'
import type { Component } from '../../component/define.ts'
import type { ProcessBatch, ProcessorComponent } from '../../component/processor.ts'
import type { MetricBatch } from '../../otlp/metrics/batch.ts'

/*
 * Which component of a module was called last: for the thread of the watchdog, which can ask nobody where a call of the system or
 * promises without end keep this one busy.
 */

/** Bytes of a name at most. */
const LENGTH = 1024

/** The name in UTF-8, up to the first 0. */
export const lastCalled = new SharedArrayBuffer(LENGTH)

const bytes = new Uint8Array(lastCalled)

/** What a component's `create` gave, which notes that it is called. `name`: as it is shown. */
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

/** All that is asked of the object is asked of this one itself: its methods may use private fields. */
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
