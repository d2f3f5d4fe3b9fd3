import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import type { Type } from 'protobufjs'
import { readOtlpJson } from '../../../src/otlp/json/read.ts'
import { writeOtlpJson, writeOtlpJsonBytes } from '../../../src/otlp/json/write.ts'
import { schema } from '../../../src/otlp/schema.ts'
import { checkLogs, checkMetrics, checkTraces } from '../../../src/otlp/wire/check.ts'
import { runs } from '../../kit/fuzzing.ts'
import { jsonToProtobuf } from '../../kit/otlp_json_reference.ts'
import {
  ExportLogsServiceRequest,
  ExportLogsServiceResponse,
  ExportMetricsServiceRequest,
  ExportTraceServiceRequest,
} from '../../kit/otlp_proto.ts'
import { logsRequest, request, traceRequest } from '../../kit/otlp_requests.ts'

const encode = (type: Type, value: object): Uint8Array => type.encode(type.fromObject(value)).finish()
/** What the reference reads. Where a message that JSON always has is missing, it is one without fields. */
function meaning(type: Type, bytes: Uint8Array): unknown {
  const read = type.toObject(type.decode(bytes), { longs: String, bytes: String, arrays: true, defaults: true })
  return JSON.parse(
    JSON.stringify(read, (key, value: unknown) => (key in empty && value === null ? empty[key] : value)),
  )
}
const empty: Record<string, unknown> = {
  resource: { attributes: [], droppedAttributesCount: 0, entityRefs: [] },
  scope: { name: '', version: '', attributes: [], droppedAttributesCount: 0 },
  value: {},
}

const signals = [
  {
    signal: 'metrics',
    type: schema.ExportMetricsServiceRequest,
    reference: ExportMetricsServiceRequest,
    check: checkMetrics,
    requests: request,
  },
  {
    signal: 'logs',
    type: schema.ExportLogsServiceRequest,
    reference: ExportLogsServiceRequest,
    check: checkLogs,
    requests: logsRequest,
  },
  {
    signal: 'traces',
    type: schema.ExportTraceServiceRequest,
    reference: ExportTraceServiceRequest,
    check: checkTraces,
    requests: traceRequest,
  },
]

describe.each(signals)('OTLP/JSON of $signal', ({ type, reference, check, requests }) => {
  it('means in JSON what it means in protobuf', () => {
    fc.assert(
      fc.property(requests, (value) => {
        const bytes = encode(reference, value)
        const json = writeOtlpJson(bytes, type)
        expect(meaning(reference, jsonToProtobuf(json, reference))).toEqual(meaning(reference, bytes))
        expect(writeOtlpJsonBytes(bytes, type).toString()).toBe(json)
      }),
      runs(200),
    )
  })

  it('comes back from JSON as it was', () => {
    fc.assert(
      fc.property(requests, (value) => {
        const bytes = encode(reference, value)
        const back = readOtlpJson(writeOtlpJson(bytes, type), type)
        expect(meaning(reference, back)).toEqual(meaning(reference, bytes))
        expect(check(back).items).toBe(check(bytes).items)
      }),
      runs(200),
    )
  })

  it('leaves out fields that it does not know', () => {
    fc.assert(
      fc.property(requests, (value) => {
        // Field 100, of each wire type.
        const unknown = Buffer.from('a0060f' + 'a1060000000000000000' + 'a20601aa' + 'a306a406' + 'a50600000000', 'hex')
        const bytes = Buffer.concat([unknown, encode(reference, value), unknown])
        expect(writeOtlpJson(bytes, type)).toBe(writeOtlpJson(encode(reference, value), type))
        const json = writeOtlpJson(bytes, type)
        const more = json.replace('{', '{"unheard_of":[{"x":null}]' + (json === '{}' ? '' : ','))
        expect(readOtlpJson(more, type)).toEqual(readOtlpJson(json, type))
      }),
      runs(50),
    )
  })
})

/** The only item of a request, as it stands in JSON. */
const written = (json: string): unknown => {
  let value: unknown = JSON.parse(json)
  for (let level = 0; level < 3; level++) {
    const list = Object.values(value as object).find(Array.isArray) as unknown[]
    value = list[0]
  }
  return value
}

it('writes log records as the specification has them: ids in hex, enums and flags as numbers, times as text', () => {
  const record = {
    timeUnixNano: '1544712660300000000',
    observedTimeUnixNano: '18446744073709551615',
    severityNumber: 10,
    severityText: 'Information',
    body: { stringValue: 'Example log record' },
    attributes: [{ key: 'list', value: { arrayValue: { values: [{ intValue: '-9223372036854775808' }, {}] } } }],
    flags: 4294967295,
    traceId: '5b8efff798038103d269b633813fc60c',
    spanId: 'eee19b7ec3c1b174',
    eventName: 'browser.page_view',
  }
  const json = JSON.stringify({ resourceLogs: [{ resource: {}, scopeLogs: [{ scope: {}, logRecords: [record] }] }] })
  const bytes = readOtlpJson(json, schema.ExportLogsServiceRequest)
  expect(written(writeOtlpJson(bytes, schema.ExportLogsServiceRequest))).toEqual(record)
  expect(checkLogs(bytes).items).toBe(1)
  const [{ scopeLogs }] = (ExportLogsServiceRequest.decode(bytes).toJSON() as Record<string, Record<string, unknown>[]>)
    .resourceLogs
  expect(scopeLogs).toMatchObject([
    { logRecords: [{ traceId: Buffer.from(record.traceId, 'hex').toString('base64'), flags: 4294967295 }] },
  ])
})

it('writes spans as the specification has them', () => {
  const span = {
    traceId: '5B8EFFF798038103D269B633813FC60C'.toLowerCase(),
    spanId: 'eee19b7ec3c1b174',
    traceState: 'a=b',
    parentSpanId: 'eee19b7ec3c1b173',
    flags: 257,
    name: "I'm a server span",
    kind: 2,
    startTimeUnixNano: '1544712660000000000',
    endTimeUnixNano: '1544712661000000000',
    events: [{ timeUnixNano: '1', name: 'e', droppedAttributesCount: 4294967295 }],
    links: [{ traceId: '5b8efff798038103d269b633813fc60c', spanId: 'eee19b7ec3c1b174', flags: 768 }],
    droppedLinksCount: 3,
    status: { message: 'no', code: 2 },
  }
  const json = JSON.stringify({ resourceSpans: [{ resource: {}, scopeSpans: [{ scope: {}, spans: [span] }] }] })
  const bytes = readOtlpJson(json, schema.ExportTraceServiceRequest)
  expect(written(writeOtlpJson(bytes, schema.ExportTraceServiceRequest))).toEqual(span)
  expect(checkTraces(bytes).items).toBe(1)
})

it('takes enums by name, ids in either case, and keys as in the .proto', () => {
  const read = (json: string) =>
    written(writeOtlpJson(readOtlpJson(json, schema.ExportTraceServiceRequest), schema.ExportTraceServiceRequest))
  const span = (fields: string) => `{"resource_spans":[{"scope_spans":[{"spans":[${fields}]}]}]}`
  expect(read(span('{"kind":"SPAN_KIND_CONSUMER","trace_id":"0A0b","status":{"code":"STATUS_CODE_OK"}}'))).toEqual({
    kind: 5,
    traceId: '0a0b',
    status: { code: 1 },
  })
  expect(() => read(span('{"kind":"CONSUMER"}'))).toThrow(
    'resourceSpans[0].scopeSpans[0].spans[0].kind: must be a number or a name of the enum',
  )
  expect(() => read(span('{"traceId":"W47/95gDgQPSabYzgT/GDA=="}'))).toThrow('spans[0].traceId: must be hex')
  expect(() => read(span('{"flags":4294967296}'))).toThrow('flags: must be a whole number from 0 to 4294967295')
})

it('takes the last of fields that stand twice, also where their tags take two bytes', () => {
  const json = '{"resourceSpans":[{"scopeSpans":[{"spans":[{"flags":1,"name":"a","flags":3,"kind":1,"name":"b"}]}]}]}'
  const bytes = readOtlpJson(json, schema.ExportTraceServiceRequest)
  expect(written(writeOtlpJson(bytes, schema.ExportTraceServiceRequest))).toEqual({ flags: 3, name: 'b', kind: 1 })
})

it('keeps empty texts in lists', () => {
  const json = '{"resourceLogs":[{"resource":{"entityRefs":[{"type":"host","idKeys":["","host.id"]}]},"scopeLogs":[]}]}'
  expect(writeOtlpJson(readOtlpJson(json, schema.ExportLogsServiceRequest), schema.ExportLogsServiceRequest)).toBe(json)
})

it('does so for the answers to requests, too', () => {
  const partialSuccess = { rejectedLogRecords: '9223372036854775807', errorMessage: 'too old' }
  const bytes = encode(ExportLogsServiceResponse, { partialSuccess })
  expect(JSON.parse(writeOtlpJson(bytes, schema.ExportLogsServiceResponse))).toEqual({ partialSuccess })
  expect(writeOtlpJson(new Uint8Array(), schema.ExportLogsServiceResponse)).toBe('{}')
})
