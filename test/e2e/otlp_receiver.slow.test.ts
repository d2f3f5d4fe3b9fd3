import { fileURLToPath } from 'node:url'
import { describe, expect, it } from '@jest/globals'
import { Client, credentials } from '@grpc/grpc-js'
import { request } from 'undici'
import { cleanups } from '../kit/cleanups.ts'
import { startCommand, temporaryFolder } from '../kit/command.ts'
import { startIntake } from '../kit/intake.ts'
import { gaugeRequest } from '../kit/receiving.ts'

const gateway = fileURLToPath(new URL('../../config/otlp_gateway.yaml', import.meta.url))

describe('the gateway we ship', () => {
  it('takes OTLP over HTTP and gRPC to Datadog, and leaves nothing behind when it stops', async () => {
    const datadog = await startIntake({ apiKey: 'k'.repeat(32) })
    const folder = await temporaryFolder({})
    const settings = {
      'receivers.otlp.protocols.http.endpoint': '127.0.0.1:0',
      'receivers.otlp.protocols.grpc.endpoint': '127.0.0.1:0',
      'exporters.datadog_native.endpoint': datadog.url,
    }
    const command = startCommand(
      ['--config', gateway, ...Object.entries(settings).flatMap(([path, value]) => ['--set', `${path}=${value}`])],
      { env: { DD_API_KEY: 'k'.repeat(32), QUEUE_DIRECTORY: folder.path('queue') } },
    )
    const url = `http://${await command.address('otlp_http')}/v1/metrics`

    const { statusCode } = await request(url, {
      method: 'POST',
      headers: { 'content-type': 'application/x-protobuf' },
      body: gaugeRequest(1),
    })
    expect(statusCode).toBe(200)
    for (const body of ['neither', 'nor']) {
      const refused = await request(url, {
        method: 'POST',
        headers: { 'content-type': 'application/x-protobuf' },
        body,
      })
      expect(refused.statusCode).toBe(400)
    }
    expect(command.stderr().match(/"event":"request_refused","reason":"malformed"/g)).toHaveLength(1)
    const client = new Client(await command.address('otlp_grpc'), credentials.createInsecure())
    cleanups.push(() => client.close())
    const same = (bytes: Buffer): Buffer => bytes
    await new Promise<void>((resolve, reject) => {
      const method = '/opentelemetry.proto.collector.metrics.v1.MetricsService/Export'
      client.makeUnaryRequest(method, same, same, gaugeRequest(2), (error) =>
        error === null ? resolve() : reject(error),
      )
    })

    command.kill('SIGTERM')
    expect(await command.ended).toBe(0)
    const values = datadog.series().flatMap(({ metric, points }) => points.map(([, value]) => [metric, value]))
    expect(values).toEqual([
      ['heka.load', 1],
      ['heka.load', 2],
    ])
    expect(command.stderr()).toContain('Data points of pipeline metrics: accepted 2 = handed on 2')
  })
})
