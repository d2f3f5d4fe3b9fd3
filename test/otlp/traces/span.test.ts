import { describe, expect, it } from '@jest/globals'
import { Attributes } from '../../../src/otlp/common/attributes.ts'
import { TraceBatch } from '../../../src/otlp/traces/batch.ts'
import { handedOver } from '../../../src/otlp/traces/handed_over.ts'
import { Span } from '../../../src/otlp/traces/span.ts'
import { ExportTraceServiceRequest as Reference } from '../../kit/otlp_proto.ts'

const TIME = 1_800_000_000_000_000_001n
const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'
const ID = '00f067aa0ba902b7'
const PARENT = 'b7ad6b7169203331'
const hex = (digits: string): Buffer => Buffer.from(digits, 'hex')

/** A batch of one span as protobufjs writes it. */
function batchOf(value: object): TraceBatch {
  const request = { resourceSpans: [{ scopeSpans: [{ spans: [value] }] }] }
  return TraceBatch.fromOtlp(Reference.encode(Reference.fromObject(request)).finish())
}

function first(batch: TraceBatch): Span {
  return [...batch.spans()][0].span
}

const through = (span: Span): Span => first(TraceBatch.fromOtlp(TraceBatch.of({ spans: [span] }).toOtlp()))

const full = batchOf({
  ...{ traceId: hex(TRACE), spanId: hex(ID), parentSpanId: hex(PARENT), traceState: 'a=b', flags: 0x101 },
  ...{ name: 'GET /', kind: 2, startTimeUnixNano: String(TIME), endTimeUnixNano: String(TIME + 5n) },
  ...{ attributes: [{ key: 'a', value: { intValue: 1 } }], droppedAttributesCount: 1 },
  events: [
    { timeUnixNano: String(TIME), name: 'retry', attributes: [{ key: 'n', value: { intValue: 2 } }] },
    { name: 'done', droppedAttributesCount: 3 },
  ],
  droppedEventsCount: 2,
  links: [{ traceId: hex(TRACE), spanId: hex(PARENT), traceState: 'c=d', flags: 1, droppedAttributesCount: 4 }],
  droppedLinksCount: 3,
  status: { code: 2, message: 'It failed.' },
})

describe('a span', () => {
  it('has every field that a sender can write', () => {
    const span = first(full)
    expect(span).toMatchObject({
      ...{ traceId: TRACE, spanId: ID, parentSpanId: PARENT, traceState: 'a=b', flags: 0x101 },
      ...{ name: 'GET /', kind: 'server', kindNumber: 2, startTimeUnixNano: TIME, endTimeUnixNano: TIME + 5n },
      ...{ droppedAttributesCount: 1, droppedEventsCount: 2, droppedLinksCount: 3 },
      events: [
        { timeUnixNano: TIME, name: 'retry' },
        { timeUnixNano: 0n, name: 'done', droppedAttributesCount: 3 },
      ],
      links: [{ traceId: TRACE, spanId: PARENT, traceState: 'c=d', flags: 1, droppedAttributesCount: 4 }],
      status: { code: 'error', message: 'It failed.' },
    })
    expect(span.attributes.toObject()).toEqual({ a: 1 })
    expect(span.events[0].attributes.toObject()).toEqual({ n: 2 })
    expect([span.traceIdBytes, span.spanIdBytes, span.parentSpanIdBytes].map((id) => Buffer.from(id))).toEqual(
      [TRACE, ID, PARENT].map(hex),
    )
  })

  it('is empty where nothing was written', () => {
    expect(first(batchOf({}))).toMatchObject({
      ...{ traceId: '', spanId: '', parentSpanId: '', traceState: '', flags: 0, name: '', kind: 'unspecified' },
      ...{ startTimeUnixNano: 0n, endTimeUnixNano: 0n, events: [], links: [], status: { code: 'unset', message: '' } },
    })
  })

  it.each(['unspecified', 'internal', 'server', 'client', 'producer', 'consumer'] as const)(
    'may be of the kind %s',
    (kind) => {
      expect(through(new Span({ kind })).kind).toBe(kind)
    },
  )

  it('keeps a kind and a status that this version does not know', () => {
    const span = through(first(batchOf({ kind: 9, status: { code: 7 } })).with({ name: 'renamed' }))
    expect(span).toMatchObject({ kind: 'unspecified', kindNumber: 9, status: { code: 7 } })
  })

  it('keeps events that stand apart from each other in their order', () => {
    // Event event = 11; string name = 5; Event event = 11;
    const event = (name: string): number[] => [0x5a, 2 + name.length, 0x12, name.length, ...Buffer.from(name)]
    const span = [...event('one'), 0x2a, 1, 0x61, ...event('two')]
    const bytes = Buffer.from([0x0a, span.length + 4, 0x12, span.length + 2, 0x12, span.length, ...span])
    const changed = TraceBatch.fromOtlp(bytes).mapSpans((each) => each.with({ kind: 'client' }))
    expect(first(TraceBatch.fromOtlp(changed.toOtlp()))).toMatchObject({
      ...{ name: 'a', kind: 'client' },
      events: [{ name: 'one' }, { name: 'two' }],
    })
  })

  it('gives its attributes to an event, though they stand under another number there', () => {
    const changed = full.mapSpans((span) =>
      span.with({ events: [{ timeUnixNano: TIME, name: 'copied', attributes: span.attributes }] }),
    )
    expect(first(TraceBatch.fromOtlp(changed.toOtlp())).events[0].attributes.toObject()).toEqual({ a: 1 })
  })
})

describe('spans that a component hands over', () => {
  const change = (fields: object): TraceBatch =>
    handedOver(full.mapSpans((span) => ({ ...span, ...fields }) as unknown as Span))

  it('may be spread, and keep what is not set', () => {
    const left = TraceBatch.fromOtlp(change({ kind: 'client' }).toOtlp())
    expect(first(left)).toMatchObject({ name: 'GET /', kind: 'client', traceId: TRACE, links: [{ spanId: PARENT }] })
    expect(first(left).events).toHaveLength(2)
  })

  it('may be plain objects', () => {
    const events = [{ timeUnixNano: TIME, name: 'e', attributes: { b: 'c' } as unknown as Attributes }]
    const made = handedOver(TraceBatch.of({ spans: [{ kind: 'server', status: { code: 'ok', message: '' }, events }] }))
    const span = first(TraceBatch.fromOtlp(made.toOtlp()))
    expect(span).toMatchObject({ kind: 'server', status: { code: 'ok' } })
    expect(span.events[0].attributes.toObject()).toEqual({ b: 'c' })
  })

  it.each<[string, object, string]>([
    [
      'a kind that is none',
      { kind: 'sever' },
      'kind must be one of unspecified, internal, server, client, producer, consumer, not "sever"',
    ],
    [
      'a status that is none',
      { status: { code: 'failed', message: '' } },
      'status.code must be one of unset, ok, error, not "failed"',
    ],
    ['an event without a name', { events: [{ timeUnixNano: TIME, attributes: {} }] }, 'events[0].name is missing'],
    [
      'a link with an id in decimal digits',
      { links: [{ traceId: '1', spanId: '', attributes: {} }] },
      'links[0].traceId must be hexadecimal digits',
    ],
    [
      'an end in milliseconds',
      { endTimeUnixNano: 5 },
      'endTimeUnixNano must be a bigint, nanoseconds since 1970, not a number, 5',
    ],
  ])('may not have %s', (_, fields, message) => {
    expect(() => change(fields)).toThrow(`span "GET /": ${message}`)
  })
})
