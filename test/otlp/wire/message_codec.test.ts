import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import type { Type } from 'protobufjs'
import { LogBatch } from '../../../src/otlp/logs/batch.ts'
import { LogRecord } from '../../../src/otlp/logs/log_record.ts'
import { TraceBatch } from '../../../src/otlp/traces/batch.ts'
import { Span } from '../../../src/otlp/traces/span.ts'
import { runs } from '../../kit/fuzzing.ts'
import { ExportLogsServiceRequest, ExportTraceServiceRequest } from '../../kit/otlp_proto.ts'
import { logsRequest, traceRequest } from '../../kit/otlp_requests.ts'

const meaning = (type: Type, bytes: Uint8Array): unknown =>
  type.toObject(type.decode(bytes), { longs: String, bytes: String, arrays: true, defaults: true })

/** A field that no message has: number 100, three bytes. */
const UNKNOWN = Buffer.from('a20603010203', 'hex')

/** The record or span with every property read and none of its bytes left, written in a batch of its own. */
const rewrittenRecord = (record: LogRecord): LogRecord => record.with({ flags: record.flags })
const rewrittenSpan = (span: Span): Span =>
  span.with({ events: span.events, links: span.links, status: span.status, flags: span.flags })

describe('the objects of messages', () => {
  it('write log records that mean what was read', () => {
    fc.assert(
      fc.property(logsRequest, (value) => {
        const bytes = ExportLogsServiceRequest.encode(ExportLogsServiceRequest.fromObject(value)).finish()
        const rewritten = LogBatch.fromOtlp(bytes).mapRecords(rewrittenRecord).toOtlp()
        expect(meaning(ExportLogsServiceRequest, rewritten)).toEqual(meaning(ExportLogsServiceRequest, bytes))
      }),
      runs(200),
    )
  })

  it('write spans that mean what was read, with their events, links and status', () => {
    fc.assert(
      fc.property(traceRequest, (value) => {
        const bytes = ExportTraceServiceRequest.encode(ExportTraceServiceRequest.fromObject(value)).finish()
        const rewritten = TraceBatch.fromOtlp(bytes).mapSpans(rewrittenSpan).toOtlp()
        // A status that was not there is one that says nothing.
        const filled = (meant: unknown): unknown =>
          JSON.parse(
            JSON.stringify(meant, (key, item: unknown) =>
              key === 'status' && item === null ? { message: '', code: 0 } : item,
            ),
          )
        expect(filled(meaning(ExportTraceServiceRequest, rewritten))).toEqual(
          filled(meaning(ExportTraceServiceRequest, bytes)),
        )
      }),
      runs(200),
    )
  })

  it('keep fields that this version does not know, in the order of all other fields by number and behind them', () => {
    const record = Buffer.concat([UNKNOWN, Buffer.from('1001', 'hex'), UNKNOWN])
    const scope = Buffer.concat([Buffer.from([0x12, record.length]), record])
    const resource = Buffer.concat([Buffer.from([0x12, scope.length]), scope])
    const bytes = Buffer.concat([Buffer.from([0x0a, resource.length]), resource])
    const rewritten = LogBatch.fromOtlp(bytes)
      .mapRecords((each) => each.with({ severityText: 'x' }))
      .toOtlp()
    const written = Buffer.concat([Buffer.from('10011a0178', 'hex'), UNKNOWN, UNKNOWN])
    expect(Buffer.from(rewritten).subarray(-written.length)).toEqual(written)
  })

  it('take the last of a field that stands twice', () => {
    const bytes = Buffer.from('0a0b12091207' + '1001' + '1a0161' + '1002', 'hex')
    const [{ record }] = LogBatch.fromOtlp(bytes).records()
    expect(record).toMatchObject({ severityNumber: 2, severityText: 'a' })
  })
})
