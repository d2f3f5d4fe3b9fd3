import { describe, expect, it } from '@jest/globals'
import { firstValueFrom, map, of } from 'rxjs'
import type { Observable, OperatorFunction } from 'rxjs'
import type { Exporter, ExporterComponent } from '../../../src/component/exporter.ts'
import type { ProcessBatch, ProcessorComponent } from '../../../src/component/processor.ts'
import type { ReceiverComponent } from '../../../src/component/receiver.ts'
import { MetricBatch } from '../../../src/otlp/metrics/batch.ts'
import { lastCalled, noting } from '../../../src/pipeline/modules/last_called.ts'

const name = (): string => {
  const bytes = Buffer.from(lastCalled)
  return bytes.toString('utf8', 0, bytes.indexOf(0))
}

/** What a class may do that a copy of the object would break. */
class Sending implements Exporter {
  #encoded = 0

  get state() {
    return { beginCheckpoint() {}, changes: () => ({ bytes: Buffer.from([this.#encoded]), all: true }), restore() {} }
  }

  encode() {
    this.#encoded += 1
    return []
  }

  async send() {}
}

describe('the component that was called last', () => {
  it('is known of every kind, and each works as it did', async () => {
    const batch = MetricBatch.empty
    const receiver = noting<ReceiverComponent>('receiver', 'receivers.a', of(batch))
    expect(await firstValueFrom(receiver as Observable<MetricBatch>)).toBe(batch)
    expect(name()).toBe('receivers.a')

    const process = noting<ProcessorComponent>('processor', 'processors.rate/long (ü.mjs)', (given) => given)
    expect((process as ProcessBatch)(batch, { filtered() {} })).toBe(batch)
    expect(name()).toBe('processors.rate/long (ü.mjs)')

    const { operator } = noting<ProcessorComponent>('processor', 'processors.b', {
      operator: map((given) => given),
    }) as { operator: OperatorFunction<MetricBatch, MetricBatch> }
    expect(await firstValueFrom(of(batch).pipe(operator))).toBe(batch)
    expect(name()).toBe('processors.b')

    const exporter = noting<ExporterComponent>('exporter', 'exporters.c', Object.freeze(new Sending()))
    expect(exporter.encode(batch, {} as never)).toEqual([])
    expect(name()).toBe('exporters.c')
    expect(exporter).not.toHaveProperty('prepare')
    expect(exporter.state?.changes()).toEqual({ bytes: Buffer.from([1]), all: true })
    await expect(exporter.send({} as never, {} as never)).resolves.toBeUndefined()
  })

  it('is cut where its name is too long', () => {
    const process = noting<ProcessorComponent>('processor', 'x'.repeat(5000), (given) => given)
    void (process as ProcessBatch)(MetricBatch.empty, { filtered() {} })
    expect(name()).toBe('x'.repeat(1023))
  })
})
