import { describe, expect, it } from '@jest/globals'
import { Attributes } from '../../../src/otlp/common/attributes.ts'
import { LogBatch } from '../../../src/otlp/logs/batch.ts'
import { handedOver } from '../../../src/otlp/logs/handed_over.ts'
import { LogRecord } from '../../../src/otlp/logs/log_record.ts'
import { ExportLogsServiceRequest as Reference } from '../../kit/otlp_proto.ts'

const TIME = 1_800_000_000_000_000_001n
const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'
const SPAN = '00f067aa0ba902b7'

/** A record as protobufjs writes it, read. */
function recordOf(value: object): LogRecord {
  const request = { resourceLogs: [{ scopeLogs: [{ logRecords: [value] }] }] }
  return first(LogBatch.fromOtlp(Reference.encode(Reference.fromObject(request)).finish()))
}

function first(batch: LogBatch): LogRecord {
  return [...batch.records()][0].record
}

const through = (record: LogRecord): LogRecord => first(LogBatch.fromOtlp(LogBatch.of({ records: [record] }).toOtlp()))

describe('a log record', () => {
  it('has every field that a sender can write', () => {
    const record = recordOf({
      ...{
        timeUnixNano: String(TIME),
        observedTimeUnixNano: String(TIME + 1n),
        severityNumber: 17,
        severityText: 'Error',
      },
      ...{ body: { stringValue: 'It failed.' }, attributes: [{ key: 'a', value: { intValue: 1 } }] },
      ...{ droppedAttributesCount: 2, flags: 1, eventName: 'failure' },
      ...{ traceId: Buffer.from(TRACE, 'hex'), spanId: Buffer.from(SPAN, 'hex') },
    })
    expect(record).toMatchObject({
      ...{ timeUnixNano: TIME, observedTimeUnixNano: TIME + 1n, severityNumber: 17, severityText: 'Error' },
      ...{
        body: 'It failed.',
        droppedAttributesCount: 2,
        flags: 1,
        eventName: 'failure',
        traceId: TRACE,
        spanId: SPAN,
      },
    })
    expect(record.attributes.toObject()).toEqual({ a: 1 })
    expect(Buffer.from(record.traceIdBytes).toString('hex')).toBe(TRACE)
    expect(Buffer.from(record.spanIdBytes).toString('hex')).toBe(SPAN)
  })

  it('is empty where nothing was written', () => {
    expect(recordOf({})).toMatchObject({
      ...{ timeUnixNano: 0n, observedTimeUnixNano: 0n, severityNumber: 0, severityText: '', body: undefined },
      ...{ droppedAttributesCount: 0, flags: 0, eventName: '', traceId: '', spanId: '', unknown: undefined },
    })
  })

  it.each([
    ['a text', 'It failed.'],
    ['an empty text', ''],
    ['a number', 1.5],
    ['a whole number', 42],
    ['a bigint beyond 2^53', 2n ** 60n],
    ['a boolean', false],
    ['bytes', Buffer.from([1, 2])],
    ['a list', ['a', 1, [true]]],
    ['a map', { msg: 'It failed.', status: { code: 500 } }],
    ['nothing', undefined],
  ])('takes %s for its body', (_, body) => {
    expect(through(new LogRecord({ body })).body).toEqual(body)
  })

  it('keeps the kind of its body when something else changes', () => {
    const request = { resourceLogs: [{ scopeLogs: [{ logRecords: [{ body: { doubleValue: 3 } }] }] }] }
    const changed = LogBatch.fromOtlp(Reference.encode(Reference.fromObject(request)).finish()).mapRecords((record) => {
      expect(record.body).toBe(3)
      return record.with({ severityText: 'INFO' })
    })
    expect(JSON.stringify(Reference.decode(changed.toOtlp()))).toContain('"body":{"doubleValue":3}')
  })

  it('is without a body when that is taken away', () => {
    expect(through(recordOf({ body: { stringValue: 'secret' } }).with({ body: undefined })).body).toBeUndefined()
  })

  it('is the same record with the attributes it has', () => {
    const record = recordOf({ attributes: [{ key: 'a', value: { intValue: 1 } }] })
    expect(record.withAttributes(record.attributes)).toBe(record)
    expect(through(record.withAttributes(record.attributes.with({ b: 2 }))).attributes.toObject()).toEqual({
      a: 1,
      b: 2,
    })
  })
})

describe('log records that a component hands over', () => {
  const batch = LogBatch.fromOtlp(
    LogBatch.of({ records: [{ body: 'one', traceId: TRACE, timeUnixNano: TIME }, { body: 'two' }] }).toOtlp(),
  )
  const change = (fields: object): LogBatch =>
    handedOver(batch.mapRecords((record) => ({ ...record, ...fields }) as unknown as LogRecord))

  it('may be spread, and keep what is not set', () => {
    const left = LogBatch.fromOtlp(change({ severityText: 'WARN' }).toOtlp())
    expect(first(left)).toMatchObject({ body: 'one', traceId: TRACE, timeUnixNano: TIME, severityText: 'WARN' })
  })

  it('may be plain objects, with attributes that are plain, too', () => {
    const made = handedOver(
      LogBatch.of({ records: [{ body: { a: [1] }, attributes: { b: 'c' } as unknown as Attributes }] }),
    )
    expect(first(LogBatch.fromOtlp(made.toOtlp())).attributes.toObject()).toEqual({ b: 'c' })
  })

  it.each<[string, object, string]>([
    [
      'a time in milliseconds',
      { timeUnixNano: 1_800_000_000_000 },
      'timeUnixNano must be a bigint, nanoseconds since 1970',
    ],
    [
      'a severity that is a word',
      { severityNumber: 'INFO' },
      'severityNumber must be a whole number of 32 bits, not a string',
    ],
    [
      'an id in decimal digits',
      { traceId: '123' },
      'traceId must be hexadecimal digits, two for each byte, not a string',
    ],
    [
      'a body that is a date',
      { body: new Date(0) },
      'body must be a text, a boolean, a number, bytes, a list or a plain object, not Date',
    ],
    ['a key that is misspelt', { sevrityText: 'INFO' }, 'sevrityText is not a field; there are timeUnixNano, '],
  ])('may not have %s', (_, fields, message) => {
    expect(() => change(fields)).toThrow(`resources[0].scopes[0].records[0].${message}`)
  })

  it('may not be nothing', () => {
    expect(() => batch.mapRecords(() => undefined as never)).toThrow(
      'the function given to `mapRecords` must return a LogRecord, not nothing',
    )
  })
})
