import { describe, expect, it } from '@jest/globals'
import { startCommand, temporaryFolder } from '../kit/command.ts'
import { ExportMetricsServiceRequest } from '../kit/otlp_proto.ts'

const { RUN_DATADOG_LIVE_INTEGRATION, DATADOG_SITE = '', DATADOG_API_KEY = '' } = process.env
const missing = [
  ...(RUN_DATADOG_LIVE_INTEGRATION === '1' ? [] : ['RUN_DATADOG_LIVE_INTEGRATION=1']),
  ...(DATADOG_SITE === '' ? ['DATADOG_SITE'] : []),
  ...(DATADOG_API_KEY === '' ? ['DATADOG_API_KEY'] : []),
]
// Jest does not show the names of tests in a file that is skipped as a whole.
if (missing.length > 0) process.stderr.write(`The real Datadog is not tested: ${missing.join(', ')} must be set.\n`)

const suite = missing.length === 0 ? describe : describe.skip
suite('the real Datadog', () => {
  it('takes a gauge and a count over its own metrics API', async () => {
    const balance = await deliver('datadog_native', [gauge, count])
    expect(balance).toMatch(/handed in 2 = sent 2$/m)
  })

  it('takes a gauge over OTLP', async () => {
    const balance = await deliver('datadog_otlp', [gauge])
    expect(balance).toMatch(/handed in 1 = sent 1$/m)
  })
})

const gauge = (timeUnixNano: bigint) => ({
  name: 'heka.live.gauge',
  gauge: { dataPoints: [{ timeUnixNano: String(timeUnixNano), asDouble: 1.5 }] },
})

const count = (timeUnixNano: bigint) => ({
  name: 'heka.live.count',
  sum: {
    aggregationTemporality: 1,
    isMonotonic: true,
    dataPoints: [
      { startTimeUnixNano: String(timeUnixNano - 10_000_000_000n), timeUnixNano: String(timeUnixNano), asInt: '3' },
    ],
  },
})

/** Sends the metrics through a pipeline of OTLP and the exporter and returns its balance as logged. */
async function deliver(exporter: string, metrics: readonly ((timeUnixNano: bigint) => object)[]): Promise<string> {
  const folder = await temporaryFolder({
    'pipeline.yaml': `
receivers:
  otlp: { protocols: { http: { endpoint: 127.0.0.1:0 } } }
exporters:
  ${exporter}: { site: ${DATADOG_SITE}, hostname: heka-pipeline-live-test, tags: [env:live-test] }
service:
  pipelines:
    metrics: { receivers: [otlp], exporters: [${exporter}] }
`,
  })
  const command = startCommand(['--config', folder.path('pipeline.yaml')], { env: { DATADOG_API_KEY } })
  const address = await command.address('otlp_http')
  const now = BigInt(Date.now()) * 1_000_000n
  const { status } = await fetch(`http://${address}/v1/metrics`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-protobuf' },
    body: ExportMetricsServiceRequest.encode(
      ExportMetricsServiceRequest.fromObject({
        resourceMetrics: [{ resource: {}, scopeMetrics: [{ metrics: metrics.map((metric) => metric(now)) }] }],
      }),
    ).finish(),
  })
  expect(status).toBe(200)
  command.kill('SIGTERM')
  expect(await command.ended).toBe(0)
  return /^.*Data points of exporter .*$/m.exec(command.stderr())?.[0] ?? command.stderr()
}
