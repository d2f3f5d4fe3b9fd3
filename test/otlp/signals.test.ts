import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { Writer } from 'protobufjs'
import type { Type } from 'protobufjs'
import { Attributes } from '../../src/otlp/common/attributes.ts'
import { compacted } from '../../src/otlp/common/compaction.ts'
import { splitBatch } from '../../src/otlp/common/split.ts'
import { isBefore, within } from '../../src/otlp/common/timely.ts'
import { AFTER, BEFORE, TimeWindow } from '../../src/otlp/common/time_window.ts'
import { readOtlpJson } from '../../src/otlp/json/read.ts'
import { writeOtlpJson } from '../../src/otlp/json/write.ts'
import { LogBatch } from '../../src/otlp/logs/batch.ts'
import { LogRecord } from '../../src/otlp/logs/log_record.ts'
import { schema } from '../../src/otlp/schema.ts'
import { signals } from '../../src/otlp/signals.ts'
import { TraceBatch } from '../../src/otlp/traces/batch.ts'
import { Span } from '../../src/otlp/traces/span.ts'
import { atOnce } from '../../src/time/turns.ts'
import { runs } from '../kit/fuzzing.ts'
import {
  ExportLogsServiceRequest,
  ExportTraceServiceRequest,
  LogRecord as ReferenceRecord,
  Span as ReferenceSpan,
} from '../kit/otlp_proto.ts'
import { logRecord, logsRequest, span, traceRequest } from '../kit/otlp_requests.ts'

type AnyBatch = LogBatch | TraceBatch
const compact = (batch: AnyBatch): AnyBatch => atOnce(compacted<AnyBatch>(batch))

type Change = (item: LogRecord | Span) => LogRecord | Span

/** What log records and spans are tested with in the same way. */
const each = [
  {
    signal: 'logs' as const,
    reference: ExportLogsServiceRequest,
    json: schema.ExportLogsServiceRequest,
    request: logsRequest as fc.Arbitrary<object>,
    levels: ['resourceLogs', 'scopeLogs', 'logRecords'] as const,
    item: logRecord as fc.Arbitrary<object>,
    itemReference: ReferenceRecord,
    timeOf: ({ timeUnixNano, observedTimeUnixNano }: Record<string, unknown>) =>
      BigInt((timeUnixNano === '0' ? observedTimeUnixNano : timeUnixNano) as string),
    read: (bytes: Uint8Array): AnyBatch => LogBatch.fromOtlp(bytes),
    items: (batch: AnyBatch) => [...(batch as LogBatch).records()].map(({ record }) => record),
    change: (batch: AnyBatch, change: Change): AnyBatch =>
      (batch as LogBatch).mapRecords((record) => change(record) as LogRecord),
    keep: (batch: AnyBatch, keep: (item: LogRecord | Span) => boolean): AnyBatch =>
      (batch as LogBatch).filterRecords(keep),
  },
  {
    signal: 'traces' as const,
    reference: ExportTraceServiceRequest,
    json: schema.ExportTraceServiceRequest,
    request: traceRequest as fc.Arbitrary<object>,
    levels: ['resourceSpans', 'scopeSpans', 'spans'] as const,
    item: span as fc.Arbitrary<object>,
    itemReference: ReferenceSpan,
    timeOf: ({ endTimeUnixNano }: Record<string, unknown>) => BigInt(endTimeUnixNano as string),
    read: (bytes: Uint8Array): AnyBatch => TraceBatch.fromOtlp(bytes),
    items: (batch: AnyBatch) => [...(batch as TraceBatch).spans()].map(({ span }) => span),
    change: (batch: AnyBatch, change: Change): AnyBatch =>
      (batch as TraceBatch).mapSpans((span) => change(span) as Span),
    keep: (batch: AnyBatch, keep: (item: LogRecord | Span) => boolean): AnyBatch =>
      (batch as TraceBatch).filterSpans(keep),
  },
]

function encode(reference: Type, value: object): Uint8Array {
  return reference.encode(reference.fromObject(value)).finish()
}

/** What the reference decoder reads, with defaults filled in, so that equal meaning is equal data. */
function meaning(reference: Type, bytes: Uint8Array): Record<string, Entry[]> {
  const options = { longs: String, bytes: String, arrays: true, defaults: true }
  return reference.toObject(reference.decode(bytes), options)
}

interface Entry {
  resource: { attributes: object[]; droppedAttributesCount: number } | null
  [scopes: string]: unknown
}

/** A length-delimited field. */
function nest(field: number, ...inner: Uint8Array[]): Buffer {
  const written = Writer.create()
    .uint32((field << 3) | 2)
    .bytes(Buffer.concat(inner))
  return Buffer.from(written.finish())
}

describe.each(each)('a batch of $signal', (one) => {
  const { signal, reference, json, request, levels, read, items, change, keep } = one
  const [resources, scopes, lists] = levels
  /** Each item with what stands around it. */
  const placedIn = (bytes: Uint8Array): { item: Record<string, unknown>; around: unknown }[] =>
    meaning(reference, bytes)[resources].flatMap(({ resource, schemaUrl, [scopes]: inner }) =>
      (inner as Record<string, unknown>[]).flatMap(({ [lists]: all, ...scope }) =>
        (all as Record<string, unknown>[]).map((item) => ({ item, around: { resource, schemaUrl, scope } })),
      ),
    )
  const itemsIn = (bytes: Uint8Array): Record<string, unknown>[] => placedIn(bytes).map(({ item }) => item)
  /** Every message is written again, from its fields. */
  const rewritten = (batch: AnyBatch): Uint8Array => {
    const changed = change(batch, (item) => item.with({}))
    return changed
      .mapResources((resource) => resource.withAttributes(Attributes.from([...resource.attributes])))
      .toOtlp()
  }

  it('means the same to the reference decoder after every item was read and written', () => {
    fc.assert(
      fc.property(request, (value) => {
        const bytes = encode(reference, value)
        expect(meaning(reference, rewritten(read(bytes)))).toEqual(meaning(reference, bytes))
      }),
      runs(200),
    )
  })

  it('hands out the bytes it was made from as they came, and counts its items', () => {
    fc.assert(
      fc.property(request, (value) => {
        const bytes = encode(reference, value)
        const batch = read(bytes)
        expect(batch.toOtlp()).toBe(bytes)
        expect(batch.itemCount).toBe(itemsIn(bytes).length)
        expect(items(batch)).toHaveLength(batch.itemCount)
      }),
      runs(100),
    )
  })

  it('changes in an edit what the edit says, and nothing else', () => {
    fc.assert(
      fc.property(request, (value) => {
        const bytes = encode(reference, value)
        const edited = change(read(bytes), (item) => item.with({ attributes: Attributes.of({ env: 'prod' }) }))
        const expected = meaning(reference, bytes)
        for (const entry of expected[resources]) {
          for (const scope of entry[scopes] as Record<string, Record<string, unknown>[]>[]) {
            for (const item of scope[lists]) item.attributes = [{ key: 'env', value: { stringValue: 'prod' } }]
          }
        }
        expect(meaning(reference, edited.toOtlp())).toEqual(expected)
        expect(edited.itemCount).toBe(items(edited).length)
      }),
      runs(100),
    )
  })

  it('reads no item to change resources', () => {
    const bytes = encode(reference, { [resources]: [{ [scopes]: [{ [lists]: [{ attributes: [{ key: 'a' }] }] }] }] })
    const batch = read(bytes).mapResources((resource) => resource.withAttributes(Attributes.of({ a: 'b' })))
    const [scope] = batch.resources[0].scopes
    expect(scope.encoded).toBeDefined()
    expect(meaning(reference, batch.toOtlp())[resources][0].resource?.attributes).toHaveLength(1)
  })

  it('keeps items and their order when it is split, merged, compacted and written in turns', () => {
    fc.assert(
      fc.property(fc.array(request, { minLength: 1, maxLength: 3 }), fc.integer({ min: 1, max: 4 }), (values, size) => {
        const all = values.map((value) => encode(reference, value))
        const type = signals[signal]
        const merged = type.merge(all.map(read)) as AnyBatch
        const before = all.flatMap(placedIn)
        expect(placedIn(merged.toOtlp())).toEqual(before)
        const parts = type.split(merged, size) as readonly AnyBatch[]
        expect(parts.flatMap((part) => placedIn(part.toOtlp()))).toEqual(before)
        for (const part of parts) expect(part.itemCount).toBeLessThanOrEqual(size)
        // Few of each request stay, some changed.
        let place = 0
        const few = keep(merged, () => place++ % 3 === 0)
        const expected = before.filter((_placed, index) => index % 3 === 0)
        expect(placedIn(compact(few).toOtlp())).toEqual(expected)
        const changed = change(few, (item) => item.with({}))
        atOnce(type.writeInTurns(changed))
        expect(placedIn(compact(changed).toOtlp())).toEqual(expected)
      }),
      runs(100),
    )
  })

  it('keeps what the reference finds within a window of time, also of items whose fields stand twice', () => {
    const scalars = one.item.map((item) => ({ ...item, body: undefined, status: undefined }))
    const twins = fc.array(fc.tuple(one.item, scalars), { maxLength: 2 })
    const nanoseconds = fc.bigInt(0n, 2n ** 64n - 1n)
    fc.assert(
      fc.property(request, twins, fc.array(nanoseconds, { minLength: 1, maxLength: 5 }), (value, pairs, random) => {
        const odd = pairs.map((pair) =>
          nest(1, nest(1), nest(2, nest(1), nest(2, ...pair.map((item) => encode(one.itemReference, item))))),
        )
        const bytes = Buffer.concat([encode(reference, value), ...odd])
        const placed = placedIn(bytes)
        // Its own times too: the ends of a window belong to it.
        const times = [...random, ...placed.map(({ item }) => one.timeOf(item))].sort((a, b) => (a < b ? -1 : 1))
        const [from, to] = [times[times.length >> 2], times[(times.length * 3) >> 2]]
        const isIn = (time: bigint): boolean => time === 0n || (time >= from && time <= to)
        const expected = placed.filter(({ item }) => isIn(one.timeOf(item)))
        const outside = placed.map(({ item }) => one.timeOf(item)).filter((time) => !isIn(time))
        const early = outside.filter((time) => time < from).length
        for (const batch of [read(bytes), read(rewritten(read(bytes)))]) {
          const dropped = { [BEFORE]: 0, [AFTER]: 0 }
          const left = within(batch, new TimeWindow(from, to), (place, count) => {
            dropped[place as keyof typeof dropped] += count
          })
          expect(placedIn(left.toOtlp())).toEqual(expected)
          expect(dropped).toEqual({ [BEFORE]: early, [AFTER]: outside.length - early })
          expect(isBefore(batch, new TimeWindow(from, to))).toBe(early === placed.length)
        }
      }),
      runs(200),
    )
  })

  it('lets go of the request it came in when little of it is left', () => {
    const attributes = [{ key: 'text', value: { stringValue: 'x'.repeat(80) } }]
    const many = Array.from({ length: 200 }, () => ({ attributes }))
    const batch = read(encode(reference, { [resources]: [{ [scopes]: [{ [lists]: many }] }] }))
    expect(compact(batch)).toBe(batch)
    let place = 0
    const one = compact(keep(batch, () => place++ === 7))
    const [left] = items(one)
    expect(left.encoded?.source.bytes.buffer.byteLength).toBeLessThan(300)
    const edited = change(
      keep(batch, (item) => item === items(batch)[7]),
      (item) => item.with({ flags: 1 }),
    )
    expect(items(compact(edited))[0]).toMatchObject({ flags: 1 })
  })

  it('is worked on in parts of a limited size when it is large', () => {
    const many = Array.from({ length: 2500 }, (_, index) => ({ droppedAttributesCount: index }))
    const bytes = encode(reference, { [resources]: [{ [scopes]: [{ [lists]: many }] }] })
    const changed = change(read(bytes), (item) => item.with({ flags: 1 }))
    const turns = [...signals[signal].writeInTurns(changed)]
    expect(turns.length).toBeGreaterThanOrEqual(3)
    expect(changed.isWritten).toBe(true)
    expect(itemsIn(changed.toOtlp()).map((item) => item.droppedAttributesCount)).toEqual(many.map((_, index) => index))
    expect(splitBatch(changed, 1000).map((part) => part.itemCount)).toEqual([1000, 1000, 500])
  })

  it('means the same after it went through JSON', () => {
    fc.assert(
      fc.property(request, (value) => {
        const bytes = encode(reference, value)
        const text = writeOtlpJson(bytes, json)
        expect(meaning(reference, read(readOtlpJson(text, json)).toOtlp())).toEqual(meaning(reference, bytes))
      }),
      runs(100),
    )
  })

  it('reads damaged bytes, or says with one clear error that it cannot', () => {
    fc.assert(
      fc.property(request, fc.nat(), fc.nat(), fc.nat(7), (value, length, at, bit) => {
        const whole = encode(reference, value)
        const bytes = Buffer.from(whole.subarray(0, whole.length - (length % (whole.length + 1))))
        if (bytes.length > 0) bytes[at % bytes.length] ^= 1 << bit
        let batch: AnyBatch
        try {
          batch = read(bytes)
        } catch (error) {
          expect(error).toMatchObject({ name: 'MalformedError' })
          return
        }
        const again = rewritten(batch)
        expect(read(again).itemCount).toBe(items(batch).length)
      }),
      runs(300),
    )
  })

  it('says that a batch of another signal is none', () => {
    const other = signal === 'logs' ? TraceBatch.empty : LogBatch.empty
    const [own, given] = signal === 'logs' ? ['LogBatch', 'TraceBatch'] : ['TraceBatch', 'LogBatch']
    expect(() => signals[signal].handedOver(other)).toThrow(`must be a ${own}, not a ${given}`)
  })
})

const SECOND = 1_000_000_000n
const NOW = 1_800_000_000n * SECOND
const window = new TimeWindow(NOW - 60n * SECOND, NOW + 60n * SECOND)

describe('the time of a log record', () => {
  const old = { timeUnixNano: NOW - 120n * SECOND }
  const early = { timeUnixNano: NOW + 120n * SECOND }
  const records = [
    { ...old, body: 'old' },
    { timeUnixNano: NOW, body: 'now' },
    { observedTimeUnixNano: NOW - 120n * SECOND, body: 'seen long ago' },
    { observedTimeUnixNano: NOW, body: 'seen now' },
    { body: 'without a time' },
    { ...early, body: 'early' },
  ]

  it.each([
    ['objects', LogBatch.of({ records })],
    ['bytes', LogBatch.fromOtlp(LogBatch.of({ records }).toOtlp())],
  ])('is the one at which it was observed where it has no own, and none is as good as any, of %s', (_, batch) => {
    const dropped: [number, number][] = []
    const left = within(batch, window, (place, count) => void dropped.push([place, count]))
    expect([...left.records()].map(({ record }) => record.body)).toEqual(['now', 'seen now', 'without a time'])
    expect(dropped).toEqual([
      [BEFORE, 2],
      [AFTER, 1],
    ])
    expect(isBefore(batch, window)).toBe(false)
    expect(isBefore(LogBatch.of({ records: [old] }), window)).toBe(true)
    expect(within(left, window, () => expect('dropped').toBe('kept'))).toBe(left)
  })
})

describe('the time of a span', () => {
  it('is its end', () => {
    const spans = [
      { name: 'old', startTimeUnixNano: NOW - 200n * SECOND, endTimeUnixNano: NOW - 120n * SECOND },
      { name: 'long', startTimeUnixNano: NOW - 200n * SECOND, endTimeUnixNano: NOW },
      { name: 'without an end', startTimeUnixNano: NOW - 200n * SECOND },
    ]
    for (const batch of [TraceBatch.of({ spans }), TraceBatch.fromOtlp(TraceBatch.of({ spans }).toOtlp())]) {
      const left = within(batch, window, (place, count) => expect([place, count]).toEqual([BEFORE, 1]))
      expect([...left.spans()].map(({ span }) => span.name)).toEqual(['long', 'without an end'])
    }
  })
})

const unknown = Buffer.from([0xa2, 0x06, 0x03, 1, 2, 3]) // field 100, three bytes

describe('fields that this version does not know', () => {
  it('stay in a record that is changed, and in what stands around it', () => {
    const bytes = nest(1, nest(2, nest(2, nest(3, Buffer.from('I')), unknown), unknown), unknown)
    const changed = LogBatch.fromOtlp(bytes).mapRecords((record) => record.with({ severityText: 'W' }))
    expect(Buffer.from(changed.toOtlp())).toEqual(
      nest(1, nest(2, nest(2, nest(3, Buffer.from('W')), unknown), unknown), unknown),
    )
  })

  it('stay in a span that is changed, in its events, links and status', () => {
    const inner = [nest(11, unknown), nest(13, unknown), Buffer.from([0x7a, unknown.length]), unknown]
    const bytes = nest(1, nest(2, nest(2, nest(5, Buffer.from('a')), ...inner, unknown)))
    const changed = TraceBatch.fromOtlp(bytes).mapSpans((span) =>
      span.with({ name: 'b', events: [...span.events], links: [...span.links], status: { ...span.status } }),
    )
    expect(Buffer.from(changed.toOtlp())).toEqual(
      nest(1, nest(2, nest(2, nest(5, Buffer.from('b')), ...inner, unknown))),
    )
  })
})
