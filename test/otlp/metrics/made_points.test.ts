import { describe, expect, it } from '@jest/globals'
import { Attributes } from '../../../src/otlp/common/attributes.ts'
import { MadePoints } from '../../../src/otlp/metrics/made_points.ts'
import { Metric } from '../../../src/otlp/metrics/metric.ts'
import { HistogramPoint } from '../../../src/otlp/metrics/points.ts'
import type { DataPoint } from '../../../src/otlp/metrics/points.ts'
import { LONG } from '../../../src/time/turns.ts'

const metric = new Metric({ name: 'm', type: 'histogram', temporality: 'delta' })
const point = (count: number): HistogramPoint =>
  new HistogramPoint({ attributes: Attributes.of({ count }), count, bucketCounts: [count], timeUnixNano: 7n })
const countsOf = (points: readonly DataPoint[]): unknown[] =>
  points.map((each) => [(each as HistogramPoint).count, each.attributes.get('count'), each.timeUnixNano])

describe('points that are made for a metric', () => {
  it('stay in their places, where others may take theirs, and all but the latest become bytes', () => {
    const points = new MadePoints(metric)
    const expected: number[] = []
    const set = (place: number, count: number): void => {
      points.set(place, point(count))
      expected[place] = count
    }
    for (let place = 0; place < 2.5 * LONG; place++) {
      set(place, place)
      if (place % 3 === 0) set(place >> 1, place * 100)
    }
    expect(points).toHaveLength(2.5 * LONG)
    expect(countsOf(points.all())).toEqual(countsOf(expected.map(point)))
    expect(points.at(7).encoded).toBeDefined()
    expect(points.all().filter(({ encoded }) => encoded === undefined).length).toBeLessThan(LONG)
  })

  it('leave out places that have none', () => {
    const points = new MadePoints(metric, 4)
    points.set(3, point(3))
    points.set(1, point(1))
    expect(countsOf(points.all())).toEqual(countsOf([point(1), point(3)]))
    expect(countsOf(points.all(2))).toEqual(countsOf([point(3)]))
  })
})
