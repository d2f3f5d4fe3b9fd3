import { describe, expect, it } from '@jest/globals'
import { repeatedKeys, splitTag, tagMerger } from '../../src/datadog/tags.ts'
import { Attributes } from '../../src/otlp/common/attributes.ts'
import { MetricBatch } from '../../src/otlp/metrics/batch.ts'
import { NumberPoint } from '../../src/otlp/metrics/points.ts'

const batch = MetricBatch.of({
  resource: { 'host.name': 'web-1', env: 'dev' },
  metrics: [
    {
      name: 'requests',
      type: 'gauge',
      points: [
        new NumberPoint({ value: 1, attributes: Attributes.of({ team: 'blue', route: '/' }) }),
        new NumberPoint({ value: 2, attributes: Attributes.of({ route: '/a' }) }),
      ],
    },
  ],
})

function attributesOf(merged: MetricBatch): { resource: object; points: object[] } {
  const [{ metric, resource }] = merged.metrics()
  return { resource: resource.attributes.toObject(), points: metric.points.map((point) => point.attributes.toObject()) }
}

describe('tagMerger', () => {
  it('lets a configured value win over the resource and over the point', () => {
    expect(attributesOf(tagMerger(['env:prod', 'team:core'], 'override')(batch))).toEqual({
      resource: { 'host.name': 'web-1', env: 'prod', team: 'core' },
      points: [{ route: '/' }, { route: '/a' }],
    })
  })

  it('lets what is there win with keep, and gives every point one value', () => {
    expect(attributesOf(tagMerger(['env:prod', 'team:core'], 'keep')(batch))).toEqual({
      resource: { 'host.name': 'web-1', env: 'dev' },
      points: [
        { team: 'blue', route: '/' },
        { route: '/a', team: 'core' },
      ],
    })
  })

  it('puts a tag that nothing has on the resource with keep', () => {
    expect(attributesOf(tagMerger(['zone:b'], 'keep')(batch))).toEqual({
      resource: { 'host.name': 'web-1', env: 'dev', zone: 'b' },
      points: [{ team: 'blue', route: '/' }, { route: '/a' }],
    })
  })

  it('keeps the order of what was there and puts new keys behind, in the order given', () => {
    const [{ resource }] = tagMerger(['zone:b', 'env:prod', 'area:a'], 'override')(batch).metrics()
    expect(resource.attributes.keys()).toEqual(['host.name', 'env', 'zone', 'area'])
  })

  it('divides a tag at its first colon', () => {
    expect(splitTag('url:http://a:80')).toEqual(['url', 'http://a:80'])
    const [{ resource }] = tagMerger(['url:http://a:80'], 'override')(batch).metrics()
    expect(resource.attributes.text('url')).toBe('http://a:80')
  })

  it('returns the same batch when nothing changes', () => {
    expect(tagMerger([], 'override')(batch)).toBe(batch)
    expect(tagMerger(['env:dev'], 'override')(batch)).toBe(batch)
    expect(tagMerger(['env:prod'], 'keep')(batch)).toBe(batch)
  })

  it('takes a key that objects have anyway', () => {
    const [{ resource }] = tagMerger(['__proto__:x', 'constructor:y'], 'override')(batch).metrics()
    expect([resource.attributes.text('__proto__'), resource.attributes.text('constructor')]).toEqual(['x', 'y'])
  })
})

describe('repeatedKeys', () => {
  it('finds a key with two values, and nothing in a list without one', () => {
    expect([...repeatedKeys(['team:a', 'env:x', 'team:b'])]).toEqual([
      { path: 'tags', message: 'has the key "team" twice, in "team:a" and "team:b"; a key has one value' },
    ])
    expect([...repeatedKeys(['team:a', 'env:x', 'team:a'])]).toEqual([])
  })
})
