import { describe, expect, it } from '@jest/globals'
import { MetricBatch } from '../../src/otlp/metrics/batch.ts'
import { toOtlpJson } from '../../src/otlp/json/write.ts'
import metricPrefix from '../../src/processors/metric_prefix.ts'
import { gauge, sum, testProcessor } from '../../src/testing.ts'

const names = (batch: MetricBatch) => Array.from(batch.metrics(), ({ metric }) => metric.name)

describe('metric_prefix', () => {
  it('puts the prefix and a dot in front of every metric name', async () => {
    const { process } = await testProcessor(metricPrefix, 'metric_prefix: { prefix: heka }')
    const batch = MetricBatch.of({ metrics: [gauge('load', 1)] }, { metrics: [sum('requests', 2), gauge('', 3)] })
    expect(names(await process(batch))).toEqual(['heka.load', 'heka.requests', 'heka.'])
  })

  it('leaves a name below the prefix alone, and returns the same batch when all are', async () => {
    const { process } = await testProcessor(metricPrefix, 'metric_prefix: { prefix: heka.host }')
    const once = await process(MetricBatch.of({ metrics: [gauge('load', 1), gauge('heka.host.load', 2)] }))
    expect(names(once)).toEqual(['heka.host.load', 'heka.host.load'])
    expect(await process(once)).toBe(once)
  })

  it('takes a name that only begins like the prefix for one without it', async () => {
    const { process } = await testProcessor(metricPrefix, 'metric_prefix: { prefix: heka }')
    expect(names(await process(MetricBatch.of({ metrics: [gauge('hekatomb', 1), gauge('heka', 2)] })))).toEqual([
      'heka.hekatomb',
      'heka.heka',
    ])
  })

  it('leaves alone what is excluded, and with `include` takes only that', async () => {
    const batch = MetricBatch.of({
      metrics: ['system.cpu.time', 'process.cpu.time', 'systems', 'requests'].map((name) => gauge(name, 1)),
    })
    const hosts = "{ match_type: regexp, metrics: ['^(system|process)\\.'] }"
    const named = async (settings: string) => {
      const { process } = await testProcessor(metricPrefix, `metric_prefix: { prefix: heka, ${settings} }`)
      return names(await process(batch))
    }
    expect(await named(`exclude: ${hosts}`)).toEqual([
      'system.cpu.time',
      'process.cpu.time',
      'heka.systems',
      'heka.requests',
    ])
    expect(await named('include: { metrics: [systems, requests] }, exclude: { metrics: [systems] }')).toEqual([
      'system.cpu.time',
      'process.cpu.time',
      'systems',
      'heka.requests',
    ])
  })

  it('changes nothing but the name', async () => {
    const { process, balance } = await testProcessor(metricPrefix, 'metric_prefix: { prefix: heka }')
    const requests = sum('requests', 2n ** 60n, { route: '/' }, { unit: '{request}', startTimeUnixNano: 1n })
    const batch = MetricBatch.of({ resource: { 'host.name': 'web-1' }, metrics: [requests] })
    const [prefixed] = (await process(MetricBatch.fromOtlp(batch.toOtlp()))).metrics()
    const expected = MetricBatch.of({ metrics: [requests.withName('heka.requests')] })
    expect(toOtlpJson(MetricBatch.of({ metrics: [prefixed.metric] }))).toEqual(toOtlpJson(expected))
    expect(prefixed.resource.attributes.toObject()).toEqual({ 'host.name': 'web-1' })
    expect(balance()).toMatchObject({ accepted: 1, handed_on: 1, dropped: {} })
  })

  it.each([
    ['metric_prefix: {}', 'metric_prefix.prefix: is required'],
    ['metric_prefix: { prefix: "" }', 'metric_prefix.prefix'],
    ['metric_prefix: { prefix: 9lives }', 'metric_prefix.prefix'],
    ['metric_prefix: { prefix: heka, suffix: x }', 'metric_prefix.suffix'],
    ['metric_prefix: { prefix: heka, include: { metrics: [] } }', 'include.metrics: must name at least one metric'],
    [
      'metric_prefix: { prefix: heka, exclude: { match_type: regexp, metrics: ["("] } }',
      'exclude.metrics[0]: is not a',
    ],
  ])('refuses %s', async (yaml, message) => {
    await expect(testProcessor(metricPrefix, yaml)).rejects.toThrow(message)
  })
})
