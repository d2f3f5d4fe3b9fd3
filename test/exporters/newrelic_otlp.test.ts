import { createHash } from 'node:crypto'
import { beforeEach, describe, expect, it } from '@jest/globals'
import newrelicOtlp from '../../src/exporters/newrelic_otlp.ts'
import { Attributes } from '../../src/otlp/common/attributes.ts'
import { MetricBatch } from '../../src/otlp/metrics/batch.ts'
import { NumberPoint } from '../../src/otlp/metrics/points.ts'
import { checkComponent } from '../../src/pipeline/config/config.ts'
import { gauge, sum } from '../../src/testing.ts'
import { testExporter } from '../kit/exporting.ts'
import type { ExporterTest } from '../kit/exporting.ts'
import { startIntake } from '../kit/intake.ts'
import type { Intake } from '../kit/intake.ts'

const KEY = '0123456789abcdef0123456789abcdefFFFFNRAL'
const now = { timeUnixNano: 1_767_268_800_000_000_000n }

let intake: Intake
beforeEach(async () => {
  intake = await startIntake({ apiKey: KEY, keyHeader: 'api-key', limits: { wire: 1_000_000, raw: Infinity } })
})

/** The exporter with these settings beside the address, as lines of YAML. */
async function exporting(...settings: string[]): Promise<ExporterTest> {
  const lines = [`endpoint: ${intake.url}`, ...settings].map((line) => `  ${line}\n`)
  return testExporter(newrelicOtlp, `newrelic_otlp:\n${lines.join('')}`)
}

const batch = MetricBatch.of({
  resource: { 'service.name': 'of the data', region: 'north' },
  metrics: [gauge('g', 1, {}, now), sum('s', 2, {}, { ...now, startTimeUnixNano: 1n })],
})

describe('newrelic_otlp', () => {
  it('sends what it is given, with the key, and nothing changed unless asked for', async () => {
    const exporter = await exporting(`api_key: ${KEY}`)
    expect(await exporter.deliver(MetricBatch.fromOtlp(batch.toOtlp()))).toMatchObject({ handed_in: 2, sent: 2 })
    expect(intake.requests).toMatchObject([
      { path: '/v1/metrics', headers: { 'api-key': KEY, 'content-encoding': 'gzip' }, status: 200 },
    ])
    expect(Buffer.from(intake.requests[0].raw)).toEqual(Buffer.from(batch.toOtlp()))
  })

  it('sets service, environment and host, which win over those of the data', async () => {
    const exporter = await exporting(
      `api_key: ${KEY}`,
      'service_name: shop',
      'environment: production',
      'host_name: web-1',
    )
    await exporter.deliver(batch)
    const { resourceMetrics } = intake.requests[0].body as {
      resourceMetrics: { resource: { attributes: { key: string; value: { stringValue: string } }[] } }[]
    }
    expect(resourceMetrics[0].resource.attributes.map(({ key, value }) => [key, value.stringValue])).toEqual([
      ['service.name', 'shop'],
      ['region', 'north'],
      ['deployment.environment.name', 'production'],
      ['deployment.environment', 'production'],
      ['host.name', 'web-1'],
    ])
  })

  it.each(['gzip', 'none'])('keeps every request within 1 MB, with %s', async (compression) => {
    const noise = (index: number): string =>
      [1, 2, 3, 4].map((part) => createHash('sha512').update(`${part}.${index}`).digest('base64')).join('')
    const points = Array.from({ length: 6000 }, (_, index) => {
      return new NumberPoint({ ...now, value: index, attributes: Attributes.of({ noise: noise(index) }) })
    })
    const exporter = await exporting(`api_key: ${KEY}`, `compression: ${compression}`)
    expect(await exporter.deliver(MetricBatch.of({ metrics: [{ name: 'm', type: 'gauge', points }] }))).toMatchObject({
      sent: 6000,
      dropped: {},
    })
    expect(Math.max(...intake.requests.map(({ wireBytes }) => wireBytes))).toBeLessThanOrEqual(1_000_000)
    expect(intake.requests.length).toBeGreaterThan(1)
  })

  it('says that a key is not known, and never shows it', async () => {
    intake.respondWith({ status: 403, body: `{"error":"bad key wrong-key"}` })
    const exporter = await exporting('api_key: wrong-key', 'retry_on_failure: { enabled: false }')
    expect(await exporter.deliver(batch)).toMatchObject({ sent: 0, dropped: { unauthorized: 2 } })
    expect(JSON.stringify(exporter.logs)).toContain('403')
    expect(JSON.stringify(exporter.logs)).not.toContain('wrong-key')
  })

  it('wants a key, from the YAML or from the environment', async () => {
    const yaml = 'newrelic_otlp: { region: eu }'
    await expect(checkComponent(newrelicOtlp, yaml, {})).rejects.toThrow('newrelic_otlp.api_key: is required')
    for (const name of ['NEW_RELIC_LICENSE_KEY', 'NEW_RELIC_API_KEY', 'NEWRELIC_API_KEY']) {
      expect(await checkComponent(newrelicOtlp, yaml, { [name]: KEY })).toMatchObject({ config: { api_key: KEY } })
    }
    await expect(checkComponent(newrelicOtlp, 'newrelic_otlp: { api_key: "a b" }', {})).rejects.toThrow(
      'not allowed in a key',
    )
    await expect(checkComponent(newrelicOtlp, 'newrelic_otlp: { region: mars }', {})).rejects.toThrow(/region: must be/)
  })
})
