import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from '@jest/globals'
import type { Exporter, ExportRequest } from '../../../src/component/exporter.ts'
import { unlimited } from '../../../src/host/memory_limiter.ts'
import { LogBatch } from '../../../src/otlp/logs/batch.ts'
import { MetricBatch } from '../../../src/otlp/metrics/batch.ts'
import { NumberPoint } from '../../../src/otlp/metrics/points.ts'
import type { Batch, Signal } from '../../../src/otlp/signal.ts'
import { checkComponent } from '../../../src/pipeline/config/config.ts'
import { Delivery } from '../../../src/pipeline/delivery/delivery.ts'
import { Shared } from '../../../src/pipeline/delivery/shared.ts'
import { Receipt } from '../../../src/pipeline/graph/receipt.ts'
import { ExporterSheet } from '../../../src/pipeline/telemetry/telemetry.ts'
import debug from '../../../src/exporters/debug.ts'
import { cleanups } from '../../kit/cleanups.ts'
import { until } from '../../kit/until.ts'

const log = { debug() {}, info() {}, warn() {}, error() {} }

const batches: Readonly<Record<'metrics' | 'logs', (text: string) => Batch>> = {
  metrics: (name) => MetricBatch.of({ metrics: [{ name, type: 'gauge', points: [new NumberPoint({ value: 1 })] }] }),
  logs: (body) => LogBatch.of({ records: [{ body }] }),
}

/** The deliveries of metrics and of logs around one exporter, whose requests wait until they are answered. */
async function deliveries(settings: string) {
  const { delivery: config } = await checkComponent(debug, `debug: { sending_queue: ${settings} }`)
  const shared = new Shared()
  const sending: { readonly signal: Signal; readonly answer: () => void }[] = []
  const exporter: Exporter<ExportRequest & { readonly signal: Signal }, Batch> = {
    encode: ({ signal, itemCount }) => [{ signal, items: itemCount, bytes: 1 }],
    send: ({ signal }) => new Promise((answer) => sending.push({ signal, answer })),
  }
  const made = async (signal: Signal) => {
    const sheet = new ExporterSheet('debug', signal)
    const delivery = new Delivery({ exporter, config: config!, sheet, log, memory: unlimited(), shared })
    await delivery.open()
    delivery.begin()
    return { delivery, sheet }
  }
  const both = { metrics: await made('metrics'), logs: await made('logs') }
  return {
    sending,
    ...both,
    /** Resolves with whether the batch was taken. */
    offer: (signal: keyof typeof batches, text = 'x') =>
      new Promise<boolean>((resolve) => {
        const receipt = new Receipt(1, (refusal) => resolve(refusal === undefined))
        both[signal].delivery.offer({ batch: batches[signal](text), receipt })
      }),
    drain: () => Promise.all(Object.values(both).map(({ delivery }) => delivery.drain(AbortSignal.timeout(10)))),
  }
}

describe('the deliveries of the signals of one exporter', () => {
  it('have num_consumers together, and take turns', async () => {
    const { sending, offer, drain } = await deliveries('{ num_consumers: 1 }')
    for (const signal of ['metrics', 'metrics', 'metrics', 'logs', 'logs'] as const) await offer(signal)
    for (let answered = 0; answered < 5; answered += 1) {
      await until(() => sending.length === answered + 1)
      sending[answered].answer()
    }
    expect(sending.map(({ signal }) => signal)).toEqual(['metrics', 'logs', 'metrics', 'logs', 'metrics'])
    await drain()
  })

  it('have max_disk_size together, and an empty queue takes a batch all the same', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'shared-'))
    cleanups.push(() => rm(directory, { recursive: true, force: true }))
    const { metrics, offer, drain } = await deliveries(
      `{ directory: ${directory}, max_disk_size: 1MiB, num_consumers: 1 }`,
    )
    const text = 'x'.repeat(100_000)
    let taken = 0
    while (await offer('metrics', text)) taken += 1
    expect(taken).toBeGreaterThan(8)
    expect([await offer('logs', text), await offer('logs', text)]).toEqual([true, false])
    expect(metrics.delivery.bytesOnDisk).toBeLessThanOrEqual(2 ** 20)
    await drain()
  })
})
