import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { Writer } from 'protobufjs'
import { checkLogs, checkMetrics, checkTraces, MalformedError } from '../../../src/otlp/wire/check.ts'
import { keyBit } from '../../../src/otlp/wire/lazy_message.ts'
import { runs } from '../../kit/fuzzing.ts'
import {
  ExportLogsServiceRequest,
  ExportMetricsServiceRequest,
  ExportTraceServiceRequest,
} from '../../kit/otlp_proto.ts'
import { logsRequest, request, traceRequest } from '../../kit/otlp_requests.ts'

type Tree = { readonly [key: string]: unknown }

/** All values under `key`, at any depth. */
function* find(value: unknown, key: string): Generator<unknown> {
  if (typeof value !== 'object' || value === null) return
  for (const [name, inner] of Object.entries(value)) {
    if (name === key) yield inner
    yield* find(inner, key)
  }
}

/** Messages in an object of protobufjs, at all levels. */
function messagesIn(value: unknown): number {
  if (Array.isArray(value)) return value.reduce<number>((sum, item) => sum + messagesIn(item), 0)
  if (typeof value !== 'object' || value === null || Buffer.isBuffer(value)) return 0
  return 1 + Object.values(value).reduce<number>((sum, item) => sum + messagesIn(item), 0)
}

/** A length-delimited field. */
const nest = (field: number, inner: Uint8Array): Buffer =>
  Buffer.from(
    Writer.create()
      .uint32((field << 3) | 2)
      .bytes(inner)
      .finish(),
  )
/** A request whose resource has an attribute of this value. */
const attributeOfResource = (value: Uint8Array): Buffer => nest(1, nest(1, nest(1, nest(2, value))))

const signals = [
  {
    signal: 'metrics',
    check: checkMetrics,
    type: ExportMetricsServiceRequest,
    requests: request,
    items: 'dataPoints',
    places: /^(request|resource_metrics\[\d+\](\.scope_metrics\[\d+\](\.metrics\[\d+\])?)?): /,
  },
  {
    signal: 'logs',
    check: checkLogs,
    type: ExportLogsServiceRequest,
    requests: logsRequest,
    items: 'logRecords',
    places: /^(request|resource_logs\[\d+\](\.scope_logs\[\d+\](\.log_records\[\d+\])?)?): /,
  },
  {
    signal: 'traces',
    check: checkTraces,
    type: ExportTraceServiceRequest,
    requests: traceRequest,
    items: 'spans',
    places: /^(request|resource_spans\[\d+\](\.scope_spans\[\d+\](\.spans\[\d+\])?)?): /,
  },
]

describe.each(signals)('the check of $signal', ({ check, type, requests, items, places }) => {
  const encode = (value: object): Uint8Array => type.encode(type.fromObject(value)).finish()
  const decode = (bytes: Uint8Array): Tree => type.toObject(type.decode(bytes), { longs: String, bytes: Buffer })

  it('takes what the reference writes, and counts its items and messages', () => {
    fc.assert(
      fc.property(requests, (value) => {
        const bytes = encode(value)
        const read = decode(bytes)
        const count = [...find(read, items)].reduce<number>((sum, list) => sum + (list as unknown[]).length, 0)
        expect(check(bytes)).toMatchObject({ items: count, canonical: true })
        // The request itself is none of them.
        const messages = messagesIn(read) - 1
        expect(check(bytes, messages).items).toBe(count)
        if (messages > 0) expect(() => check(bytes, messages - 1)).toThrow('the request holds more than')
      }),
      runs(200),
    )
  })

  it('knows the key of every attribute of an item', () => {
    fc.assert(
      fc.property(requests, (value) => {
        const read = decode(encode(value))
        const { pointKeys } = check(encode(value))
        for (const item of [...find(read, items)].flat() as { attributes?: { key?: string }[] }[]) {
          for (const { key = '' } of item.attributes ?? []) {
            const bytes = Buffer.from(key)
            const bit = keyBit(bytes, 0, bytes.length)
            expect(pointKeys & bit).toBe(bit)
          }
        }
      }),
      runs(200),
    )
  })

  it('finds a singular field that stands twice, and a member of a oneof beside another', () => {
    fc.assert(
      fc.property(requests, requests, (first, second) => {
        const [one, two] = [encode(first), encode(second)]
        // Requests in a row are one with the resources of both.
        expect(check(Buffer.concat([one, two]))).toMatchObject({
          items: check(one).items + check(two).items,
          canonical: true,
        })
      }),
      runs(50),
    )
    const empty = Buffer.alloc(0)
    const resource = nest(1, empty)
    expect(check(nest(1, resource)).canonical).toBe(true)
    expect(check(nest(1, Buffer.concat([resource, resource]))).canonical).toBe(false)
    // string string_value = 1; and ArrayValue array_value = 5;
    const value = Buffer.concat([nest(1, empty), nest(5, empty)])
    expect(check(attributeOfResource(value)).canonical).toBe(false)
  })

  it('takes damaged bytes only where the reference can read them, and else names the place', () => {
    const damage = fc.array(fc.record({ at: fc.nat(), bit: fc.nat(7) }), { minLength: 1, maxLength: 3 })
    fc.assert(
      fc.property(requests, fc.option(fc.nat()), damage, (value, cut, flips) => {
        const whole = encode(value)
        const bytes = Buffer.from(cut === null ? whole : whole.subarray(0, cut % (whole.length + 1)))
        for (const { at, bit } of bytes.length > 0 ? flips : []) bytes[at % bytes.length] ^= 1 << bit
        try {
          check(bytes)
        } catch (error) {
          expect(error).toBeInstanceOf(MalformedError)
          expect((error as Error).message).toMatch(places)
          return
        }
        try {
          type.decode(bytes)
        } catch (error) {
          // Texts are not checked here: what is not Unicode becomes U+FFFD.
          expect((error as Error).message).toMatch(/utf-8/)
        }
      }),
      runs(500),
    )
  })

  it('stops at 100 messages inside each other', () => {
    // An AnyValue with an ArrayValue with an AnyValue ...
    const nested = (depth: number): Buffer => (depth === 0 ? Buffer.alloc(0) : nest(5, nest(1, nested(depth - 1))))
    expect(check(attributeOfResource(nested(48)))).toMatchObject({ items: 0 })
    expect(() => check(attributeOfResource(nested(49)))).toThrow('[0]: more than 100 messages are nested')
  })
})
