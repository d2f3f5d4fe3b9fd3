import { describe, expect, it } from '@jest/globals'
import { readExportResponse } from '../../src/otlp/export_response.ts'
import { services } from '../../src/otlp/services.ts'
import { ExportMetricsServiceResponse } from '../kit/otlp_proto.ts'

describe('readExportResponse', () => {
  it('reads a partial success in protobuf and in JSON', () => {
    const partialSuccess = { rejectedDataPoints: 7, errorMessage: 'too old' }
    const body = ExportMetricsServiceResponse.encode({ partialSuccess }).finish()
    const outcome = { rejected: 7, message: 'too old' }
    expect(readExportResponse(body, 'protobuf', services.metrics)).toEqual(outcome)
    const json = Buffer.from('{"partialSuccess":{"rejectedDataPoints":"7","errorMessage":"too old"}}')
    expect(readExportResponse(json, 'json', services.metrics)).toEqual(outcome)
  })

  it.each([
    ['logs', 'rejectedLogRecords', 'rejected_log_records'],
    ['traces', 'rejectedSpans', 'rejected_spans'],
  ] as const)('reads how many %s were rejected', (signal, name, older) => {
    const outcome = { rejected: 3, message: 'too long' }
    // The fields have the same numbers in each service.
    const body = ExportMetricsServiceResponse.encode({
      partialSuccess: { rejectedDataPoints: 3, errorMessage: 'too long' },
    }).finish()
    expect(readExportResponse(body, 'protobuf', services[signal])).toEqual(outcome)
    for (const key of [name, older]) {
      const json = Buffer.from(JSON.stringify({ partialSuccess: { [key]: '3', errorMessage: 'too long' } }))
      expect(readExportResponse(json, 'json', services[signal])).toEqual(outcome)
    }
  })

  it('takes an empty answer for success and refuses one that is cut off', () => {
    expect(readExportResponse(new Uint8Array(), 'protobuf', services.metrics)).toEqual({ rejected: 0, message: '' })
    expect(() => readExportResponse(Buffer.from([0x0a, 0x05, 0x08]), 'protobuf', services.metrics)).toThrow()
  })
})
