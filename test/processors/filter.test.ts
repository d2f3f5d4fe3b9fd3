import { describe, expect, it } from '@jest/globals'
import { MetricBatch } from '../../src/otlp/metrics/batch.ts'
import filter from '../../src/processors/filter.ts'
import { gauge, testProcessor } from '../../src/testing.ts'

const batch = MetricBatch.of(
  {
    resource: { 'host.name': 'web-1', tier: 'front' },
    metrics: [
      gauge('system.cpu.load', 1),
      gauge('system.network.io', 2, { device: 'lo' }),
      gauge('system.network.io', 3, { device: 'eth0', port: 80 }),
    ],
  },
  { resource: { 'host.name': 'web-2' }, metrics: [gauge('system.cpu.load', 4), gauge('app.load', 5)] },
)

/** The values of the points that a filter with these settings lets through, and how many it counted as filtered. */
async function filtered(settings: string): Promise<{ values: unknown[]; filtered: number }> {
  const { process, balance } = await testProcessor(filter, `filter: ${settings}`)
  const result = await process(batch)
  const values = Array.from(result.metrics(), ({ metric }) => metric.points)
    .flat()
    .map((point) => (point.kind === 'number' ? point.value : undefined))
  return { values, filtered: balance().filtered }
}

describe('filter', () => {
  it.each([
    ['keeps what include names', '{ include: { metric_names: [app.load] } }', [5]],
    ['takes a strict name as it stands', '{ include: { metric_names: [system.cpu, "system.cpu.*"] } }', []],
    ['keeps several names', '{ include: { metric_names: [app.load, system.cpu.load] } }', [1, 4, 5]],
    ['finds a regular expression anywhere', '{ include: { match_type: regexp, metric_names: [load] } }', [1, 4, 5]],
    ['anchors a regular expression when it says so', '{ include: { match_type: regexp, metric_names: [^load] } }', []],
    [
      'takes the syntax of RE2',
      '{ include: { match_type: regexp, metric_names: ["(?i)\\\\A(?P<app>APP)\\\\.\\\\pL+\\\\z"] } }',
      [5],
    ],
    ['drops what exclude names', '{ exclude: { metric_names: [system.network.io] } }', [1, 4, 5]],
    [
      'excludes from what it includes',
      '{ include: { match_type: regexp, metric_names: ["^system"] }, exclude: { attributes: [{ key: device, value: lo }] } }',
      [1, 3, 4],
    ],
    ['selects by a data point attribute', '{ include: { attributes: [{ key: device, value: eth0 }] } }', [3]],
    ['selects by the presence of one', '{ include: { attributes: [{ key: device }] } }', [2, 3]],
    ['compares what is not text as it reads', '{ include: { attributes: [{ key: port, value: 80 }] } }', [3]],
    ['wants all attributes of a data point', '{ include: { attributes: [{ key: device }, { key: port }] } }', [3]],
    [
      'wants a name and an attribute at once',
      '{ exclude: { metric_names: [system.cpu.load], attributes: [{ key: device }] } }',
      [1, 2, 3, 4, 5],
    ],
    ['selects by resource', '{ exclude: { resource_attributes: [{ key: tier }] } }', [4, 5]],
    [
      'selects by a regular expression over resource attributes',
      '{ include: { match_type: regexp, resource_attributes: [{ key: host.name, value: "-2$" }] } }',
      [4, 5],
    ],
    [
      'wants a name and a resource at once',
      '{ exclude: { metric_names: [system.cpu.load], resource_attributes: [{ key: tier, value: front }] } }',
      [2, 3, 4, 5],
    ],
  ])('%s', async (_title, settings, values) => {
    expect(await filtered(settings)).toEqual({ values, filtered: 5 - values.length })
  })

  it('leaves no empty metric, scope or resource behind', async () => {
    const { process } = await testProcessor(filter, 'filter: { include: { attributes: [{ key: port }] } }')
    const { resources } = await process(batch)
    expect(resources.map(({ scopes }) => scopes.map(({ metrics }) => metrics.length))).toEqual([[1]])
  })

  it('returns the same batch when it drops nothing', async () => {
    const { process } = await testProcessor(filter, 'filter: { exclude: { metric_names: [unheard.of] } }')
    expect(await process(batch)).toBe(batch)
  })

  it.each([
    ['filter: {}', 'filter.include: is missing, and so is exclude'],
    ['filter: { include: {} }', 'filter.include: has no condition'],
    ['filter: { include: { match_type: regexp, metric_names: ["("] } }', 'filter.include.metric_names[0]: is not'],
    ['filter: { exclude: { attributes: [{ value: lo }] } }', 'filter.exclude.attributes[0].key: is required'],
    ['filter: { include: { match_type: glob, metric_names: [a] } }', 'filter.include.match_type'],
    ['filter: { include: { metric_name: [a] } }', 'filter.include.metric_name'],
  ])('refuses %s', async (yaml, message) => {
    await expect(testProcessor(filter, yaml)).rejects.toThrow(message)
  })
})
