import { describe, expect, it } from '@jest/globals'
import { MetricBatch } from '../../src/otlp/metrics/batch.ts'
import tagMerge from '../../src/processors/tag_merge.ts'
import { gauge, testProcessor } from '../../src/testing.ts'

const batch = MetricBatch.of({
  resource: { team: 'web', 'host.name': 'web-1' },
  metrics: [gauge('load', 1, { env: 'staging', cpu: 'cpu0' }), gauge('load', 2)],
})
const resource = (result: MetricBatch) => Object.entries(result.resources[0].resource.attributes.toObject())
const points = (result: MetricBatch) =>
  Array.from(result.metrics(), ({ metric }) => metric.points[0].attributes.toObject())

describe('tag_merge', () => {
  it('lets the configured value win over the resource and over the data point', async () => {
    const { process } = await testProcessor(
      tagMerge,
      'tag_merge: { tags: [region:eu, team:platform, env:production] }',
      { signal: 'metrics' },
    )
    const merged = await process(batch)
    expect(resource(merged)).toEqual([
      ['team', 'platform'],
      ['host.name', 'web-1'],
      ['region', 'eu'],
      ['env', 'production'],
    ])
    expect(points(merged)).toEqual([{ cpu: 'cpu0' }, {}])
  })

  it('lets what is there win with keep, point by point', async () => {
    const { process } = await testProcessor(
      tagMerge,
      'tag_merge: { tags: [region:eu, team:platform, env:production], on_conflict: keep }',
      { signal: 'metrics' },
    )
    const merged = await process(batch)
    expect(resource(merged)).toEqual([
      ['team', 'web'],
      ['host.name', 'web-1'],
      ['region', 'eu'],
    ])
    expect(points(merged)).toEqual([{ env: 'staging', cpu: 'cpu0' }, { env: 'production' }])
  })

  it('takes the tags as one text with commas, and only the first colon divides', async () => {
    const { process } = await testProcessor(tagMerge, 'tag_merge: { tags: "region:eu, image:shop:1.2" }', {
      signal: 'metrics',
    })
    expect(resource(await process(MetricBatch.of({ metrics: [gauge('load', 1)] })))).toEqual([
      ['region', 'eu'],
      ['image', 'shop:1.2'],
    ])
  })

  it('looks at all points of a large batch before it decides where a tag goes with keep', async () => {
    const { process } = await testProcessor(tagMerge, 'tag_merge: { tags: [env:production], on_conflict: keep }', {
      signal: 'metrics',
    })
    const metrics = [...Array.from({ length: 6000 }, () => gauge('load', 1)), gauge('load', 2, { env: 'staging' })]
    const merged = await process(MetricBatch.of({ metrics }))
    expect(resource(merged)).toEqual([])
    expect(points(merged).slice(-2)).toEqual([{ env: 'production' }, { env: 'staging' }])
    expect(points(merged).filter(({ env }) => env === 'production')).toHaveLength(6000)
  })

  it('gives the same result when it runs twice', async () => {
    const { process } = await testProcessor(tagMerge, 'tag_merge: { tags: [env:production] }', { signal: 'metrics' })
    const once = await process(batch)
    expect(await process(once)).toBe(once)
  })

  it.each([
    ['tag_merge: {}', 'tag_merge.tags: is required'],
    ['tag_merge: { tags: [production] }', 'tag_merge.tags'],
    ['tag_merge: { tags: [env:production, env:staging] }', 'tag_merge.tags: has the key "env" twice'],
    ['tag_merge: { tags: [env:production], on_conflict: merge }', 'tag_merge.on_conflict'],
  ])('refuses %s', async (yaml, message) => {
    await expect(testProcessor(tagMerge, yaml)).rejects.toThrow(message)
  })
})
