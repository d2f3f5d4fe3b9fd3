import { Attributes } from '../../src/otlp/common/attributes.ts'
import { LogBatch } from '../../src/otlp/logs/batch.ts'
import { LogRecord } from '../../src/otlp/logs/log_record.ts'
import { MetricBatch } from '../../src/otlp/metrics/batch.ts'
import { NumberPoint } from '../../src/otlp/metrics/points.ts'
import type { Signal } from '../../src/otlp/signal.ts'
import type { AnyBatch } from '../../src/otlp/signals.ts'
import { TraceBatch } from '../../src/otlp/traces/batch.ts'
import { Span } from '../../src/otlp/traces/span.ts'

/** 2026-01-01T00:00:00Z. */
export const START = 1_767_225_600_000

const timeUnixNano = BigInt(START) * 1_000_000n

/** Where clients send: the receivers of the configuration. */
export const routes = ['disk', 'memory', 'fan'] as const
export type Route = (typeof routes)[number]

/** A data point, log record or span as its client knows it. */
export interface Item {
  /** No other item of any signal has the same. */
  readonly id: number
  readonly route: Route
}

/** A request of a client. One in four is as large as a segment of the queue. */
export function batchOf(signal: Signal, route: Route, ids: readonly number[]): AnyBatch {
  const resource = { route, padding: '-'.repeat(ids[0] % 4 === 0 ? 150_000 : 0) }
  const attributesOf = (id: number): Attributes => Attributes.of({ id: String(id), signal })
  switch (signal) {
    case 'metrics': {
      const points = ids.map((id) => new NumberPoint({ value: id, attributes: attributesOf(id), timeUnixNano }))
      const metrics = [{ name: 'simulated', type: 'gauge', points }] as const
      return MetricBatch.fromOtlp(MetricBatch.of({ resource, metrics }).toOtlp())
    }
    case 'logs': {
      const records = ids.map((id) => new LogRecord({ body: id, attributes: attributesOf(id), timeUnixNano }))
      return LogBatch.fromOtlp(LogBatch.of({ resource, records }).toOtlp())
    }
    case 'traces': {
      const spans = ids.map((id) => {
        return new Span({ name: String(id), attributes: attributesOf(id), endTimeUnixNano: timeUnixNano })
      })
      return TraceBatch.fromOtlp(TraceBatch.of({ resource, spans }).toOtlp())
    }
  }
}

/** The items of a batch. @throws where one is not as it was sent */
export function itemsOf(batch: AnyBatch): Item[] {
  return Array.from(contentsOf(batch), ({ content, attributes, resource }) => {
    const id = attributes.text('id')
    const isUnchanged = id === String(content) && attributes.text('signal') === batch.signal
    if (!isUnchanged) throw new Error(`${batch.signal} hold an item that was not sent so: ${String(content)}, id ${id}`)
    return { id: Number(id), route: resource.text('route') as Route }
  })
}

interface Content {
  readonly content: unknown
  readonly attributes: Attributes
  readonly resource: Attributes
}

function* contentsOf(batch: AnyBatch): Generator<Content> {
  switch (batch.signal) {
    case 'metrics':
      for (const { metric, resource } of batch.metrics()) {
        for (const point of metric.points) {
          const { value, attributes } = point as NumberPoint
          yield { content: value, attributes, resource: resource.attributes }
        }
      }
      return
    case 'logs':
      for (const { record, resource } of batch.records()) {
        yield { content: record.body, attributes: record.attributes, resource: resource.attributes }
      }
      return
    case 'traces':
      for (const { span, resource } of batch.spans()) {
        yield { content: span.name, attributes: span.attributes, resource: resource.attributes }
      }
  }
}
