import { describe, expect, it } from '@jest/globals'
import { MetricBatch } from '../../src/otlp/metrics/batch.ts'
import { gauge, sum } from '../../src/testing.ts'
import { startCommand, temporaryFolder } from '../kit/command.ts'
import { startGrpcReceiver } from '../kit/grpc_receiver.ts'
import { startDestination } from '../kit/intake.ts'

const SECOND = 1_000_000_000n
const NOON = 1_767_268_800n * SECOND

async function file(text: string): Promise<string> {
  const folder = await temporaryFolder({ 'pipeline.yaml': text })
  return folder.path('pipeline.yaml')
}

async function grpcReceiver() {
  return startGrpcReceiver()
}

/** A counter and a gauge, `seconds` after noon, followed by a field that no version knows. */
function request(seconds: bigint, count: number): Buffer {
  const times = { timeUnixNano: NOON + seconds * SECOND, startTimeUnixNano: NOON }
  const metrics = [sum('requests', count, { path: '/' }, times), gauge('load', 1.5, {}, times)]
  return Buffer.concat([MetricBatch.of({ metrics }).toOtlp(), Buffer.from([0x7a, 0x01, 0x2a])])
}

describe('OTLP through the command', () => {
  it('comes out byte for byte over HTTP and gRPC, and as differences where it is told to', async () => {
    const [whole, differences] = [await startDestination(), await startDestination()]
    const grpc = await grpcReceiver()
    const path = await file(`
receivers:
  otlp: { protocols: { http: { endpoint: "127.0.0.1:0" } } }
processors:
  cumulativetodelta:
exporters:
  otlphttp: { endpoint: "${whole.url}" }
  otlp: { endpoint: "${grpc.endpoint}", tls: { insecure: true } }
  otlp_http/differences: { endpoint: "${differences.url}", encoding: json }
service:
  telemetry: { logs: { encoding: json } }
  pipelines:
    metrics: { receivers: [otlp], exporters: [otlphttp, otlp] }
    metrics/differences: { receivers: [otlp], processors: [cumulativetodelta], exporters: [otlp_http/differences] }
`)
    const command = startCommand(['--config', path])
    const address = await command.address('otlp_http')
    const requests = [request(10n, 5), request(20n, 12)]
    for (const [index, body] of requests.entries()) {
      const answer = await fetch(`http://${address}/v1/metrics`, {
        method: 'POST',
        headers: { 'content-type': 'application/x-protobuf' },
        body,
      })
      expect(answer.status).toBe(200)
      await whole.received(index + 1)
      await grpc.received(index + 1)
      await differences.received(index + 1)
    }
    command.kill('SIGTERM')
    expect(await command.ended).toBe(0)

    expect(whole.requests.map(({ raw }) => Buffer.from(raw))).toEqual(requests)
    expect(grpc.requests.map(({ raw }) => raw)).toEqual(requests)
    const text = JSON.stringify(differences.requests.map(({ body }) => body))
    expect(Array.from(text.matchAll(/"asDouble":([\d.]+)/g), ([, value]) => Number(value))).toEqual([1.5, 7, 1.5])
    expect(text).toContain('"aggregationTemporality":1')
    expect(command.stderr()).toMatch(/pipeline metrics\/differences: accepted 4 = handed on 3 \+ filtered 1/)
    for (const exporter of ['otlphttp', 'otlp']) {
      expect(command.stderr()).toContain(`exporter ${exporter}: handed in 4 = sent 4`)
    }
  }, 20_000)
})
