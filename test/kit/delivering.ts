import { createServer } from 'node:http'
import type { ServerResponse } from 'node:http'
import { request as httpRequest } from 'undici'
import type { Exporter, ExportRequest } from '../../src/component/exporter.ts'
import { divisible, partial, permanent, retryable } from '../../src/errors.ts'
import type { Shedder } from '../../src/host/memory_limiter.ts'
import { MetricBatch } from '../../src/otlp/metrics/batch.ts'
import { NumberPoint } from '../../src/otlp/metrics/points.ts'
import { Delivery } from '../../src/pipeline/delivery/delivery.ts'
import { thisMachine } from '../../src/pipeline/machine.ts'
import type { Machine } from '../../src/pipeline/machine.ts'
import { Receipt } from '../../src/pipeline/graph/receipt.ts'
import type { DeliveryConfig } from '../../src/pipeline/config/settings.ts'
import { ExporterSheet } from '../../src/pipeline/telemetry/telemetry.ts'
import { listen } from './listen.ts'

export type Answer = (response: ServerResponse, values: number[]) => void

export const status =
  (code: number, headers: Record<string, string> = {}): Answer =>
  (response) =>
    response.writeHead(code, headers).end()

/** A destination on a real socket that answers as scripted, then 200 or as it is told, and remembers what it took. */
export async function startDestination(...script: Answer[]) {
  const taken: number[][] = []
  let attempts = 0
  let otherwise = status(200)
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      attempts += 1
      const values = JSON.parse(Buffer.concat(chunks).toString()) as number[]
      response.on('finish', () => response.statusCode === 200 && taken.push(values))
      const answer = script.shift() ?? otherwise
      answer(response, values)
    })
  })
  const { url } = await listen(server)
  return {
    url,
    taken,
    attempts: () => attempts,
    /** How it answers what the script does not reach. */
    answerWith: (answer: Answer) => void (otherwise = answer),
  }
}

export interface ValuesRequest extends ExportRequest {
  readonly values: readonly number[]
}

export function valuesRequest(values: readonly number[]): ValuesRequest {
  return {
    values,
    items: values.length,
    bytes: JSON.stringify(values).length,
    divide() {
      if (values.length === 1) return undefined
      const middle = values.length >> 1
      return [valuesRequest(values.slice(0, middle)), valuesRequest(values.slice(middle))]
    },
  }
}

/** An exporter that posts the values of a batch as JSON and knows the kinds of errors. */
export function exporter(url: string): Exporter<ValuesRequest> {
  return {
    *encode(batch) {
      yield valuesRequest(valuesOf(batch))
    },
    async send(request, signal) {
      const { statusCode, headers, body } = await httpRequest(url, {
        method: 'POST',
        body: JSON.stringify(request.values),
        signal,
      }).catch((error: unknown) => {
        throw retryable('The connection failed.', undefined, { cause: error })
      })
      await body.dump()
      if (statusCode === 206) throw partial(Number(headers['x-rejected']), 'Some were rejected.')
      if (statusCode === 400) throw permanent('The request is bad.', { reason: 'bad_request' })
      if (statusCode === 413) throw divisible('The request is too large.', { reason: 'too_large' })
      if (statusCode >= 429) {
        const after = headers['retry-after'] === undefined ? undefined : Number(headers['retry-after']) * 1000
        throw retryable(`Status ${statusCode}.`, after, { reason: `http_${statusCode}` })
      }
    },
  }
}

export function valuesOf(batch: MetricBatch): number[] {
  return [...batch.metrics()].flatMap(({ metric }) =>
    metric.points.map((point) => (point as NumberPoint).value as number),
  )
}

export function batchOf(...values: number[]): MetricBatch {
  return MetricBatch.of({
    metrics: [{ name: 'm', type: 'gauge', points: values.map((value) => new NumberPoint({ value })) }],
  })
}

export interface DeliverySettings {
  timeout?: number
  max_age?: number
  max_ahead?: number
  retry?: Partial<DeliveryConfig['retry_on_failure']>
  queue?: Partial<DeliveryConfig['sending_queue']>
  memoryIsShort?: () => boolean
  machine?: Machine
  custom?: boolean
}

function configOf({
  timeout = 5000,
  max_age = 0,
  max_ahead = 0,
  retry = {},
  queue = {},
}: DeliverySettings): DeliveryConfig {
  return {
    timeout,
    max_age,
    max_ahead,
    retry_on_failure: {
      enabled: true,
      initial_interval: 5,
      randomization_factor: 0.5,
      multiplier: 1.5,
      max_interval: 20,
      default_retry_after: undefined,
      max_retry_after: 300_000,
      max_elapsed_time: 5000,
      ...retry,
    },
    sending_queue: {
      enabled: true,
      directory: undefined,
      max_disk_size: 2 ** 20,
      queue_size: undefined,
      sizer: 'requests',
      on_full: 'refuse',
      block_on_overflow: false,
      join_interval: 0,
      num_consumers: 10,
      batch: undefined,
      ...queue,
    },
  }
}

function offer(delivery: Delivery, batch: MetricBatch, refusable: boolean): Promise<'accepted' | 'refused'> {
  return new Promise((resolve) => {
    const tell = (refusal?: Error): void => resolve(refusal === undefined ? 'accepted' : 'refused')
    const receipt = new Receipt(1, refusable ? tell : undefined)
    if (!refusable) receipt.whenSettled(() => resolve('accepted'))
    delivery.offer({ batch, receipt })
  })
}

/** The pipeline's own delivery around an exporter, as a receiver sees it. */
export function deliver(to: Exporter, settings: DeliverySettings = {}) {
  const sheet = new ExporterSheet('values')
  const messages: string[] = []
  const write = (message: string, fields: object = {}): number => messages.push(`${message} ${JSON.stringify(fields)}`)
  const log = { debug: write, info: write, warn: write, error: write }
  const memory = { shedders: new Set<Shedder>(), isShort: () => settings.memoryIsShort?.() ?? false }
  const { machine, custom } = settings
  const delivery = new Delivery({ exporter: to, config: configOf(settings), sheet, log, memory, machine, custom })
  delivery.begin()
  return {
    sheet,
    messages,
    open: () => delivery.open(),
    /** What may be let go of when memory is short. */
    shedders: memory.shedders,
    /** Goes on with another exporter and other settings, as a reload does. */
    renew: (to: Exporter, settings: DeliverySettings = {}) => delivery.renew(to, configOf(settings)),
    /** Leaves its place to another delivery, as a reload with another folder does. */
    async bequeath(to: Exporter, settings: DeliverySettings = {}) {
      const heir = new Delivery({
        ...{ exporter: to, config: configOf(settings), sheet, log, memory, machine: settings.machine },
        isHeir: true,
      })
      await heir.open()
      await delivery.bequeath(heir)
      return {
        offer: (batch: MetricBatch) => offer(heir, batch, true),
        drain: () => heir.drain(AbortSignal.timeout(10_000)),
      }
    },
    /** Offers a batch as a receiver that can be refused, or cannot. */
    offer: (batch: MetricBatch, refusable = true) => offer(delivery, batch, refusable),
    /** Stops; `patience` in milliseconds is the shutdown timeout. */
    async drain(patience = 10_000): Promise<void> {
      const deadline = new AbortController()
      const { clock } = settings.machine ?? thisMachine
      const timer = clock.setTimeout(() => deadline.abort(), patience)
      await delivery.drain(deadline.signal)
      clock.clearTimeout(timer)
    },
    /** handed in and created less everything that is accounted for; 0 at every moment. */
    difference(): number {
      const { handed_in, restored, created, dropped, ...terms } = sheet.balance()
      const lost = Object.values(dropped).reduce((sum, points) => sum + points, 0)
      return handed_in + restored + created - lost - Object.values(terms).reduce((sum, points) => sum + points, 0)
    },
  }
}
