import { describe, expect, it } from '@jest/globals'
import { mapHistogram, numberText } from '../../../src/exporters/datadog_native/mapping/histograms.ts'
import type { HistogramSettings, MappedHistogram } from '../../../src/exporters/datadog_native/mapping/histograms.ts'
import { ExponentialHistogramPoint, HistogramPoint } from '../../../src/otlp/metrics/points.ts'
import type { HistogramPointFields } from '../../../src/otlp/metrics/points.ts'

const FIELDS = { count: 6, sum: 50, min: 1, max: 20, bucketCounts: [1, 2, 3], explicitBounds: [5, 10] }

function map(
  mode: HistogramSettings['mode'],
  sendAggregationMetrics: boolean,
  fields: HistogramPointFields = FIELDS,
): ReturnType<typeof mapHistogram> {
  return mapHistogram(new HistogramPoint(fields), { mode, sendAggregationMetrics })
}

/** `suffix type value tags`, a line for each sample. */
function lines(mapped: ReturnType<typeof mapHistogram>): readonly string[] {
  return (mapped as MappedHistogram).samples.map(({ suffix, type, value, tags, inUnit }) =>
    [suffix, type, value, inUnit ? 'in unit' : 'observations', ...tags].join(' '),
  )
}

const AGGREGATIONS = [
  '.count count 6 observations',
  '.sum count 50 in unit',
  '.min gauge 1 in unit',
  '.max gauge 20 in unit',
]
const BUCKETS = [
  '.bucket count 1 observations lower_bound:-inf upper_bound:5.0',
  '.bucket count 2 observations lower_bound:5.0 upper_bound:10.0',
  '.bucket count 3 observations lower_bound:10.0 upper_bound:inf',
]

describe('a histogram', () => {
  it('is a distribution and, when asked for, its count, sum and extremes', () => {
    const alone = map('distributions', false) as MappedHistogram
    expect(alone.sketch).toMatchObject({ count: 6, sum: 50, min: 1, max: 20 })
    expect(lines(alone)).toEqual([])
    const both = map('distributions', true) as MappedHistogram
    expect(both.sketch).toMatchObject({ count: 6, sum: 50, min: 1, max: 20 })
    expect(lines(both)).toEqual(AGGREGATIONS)
  })

  it('is a count for each bucket, empty ones too', () => {
    expect(map('counters', false)).toMatchObject({ sketch: undefined })
    expect(lines(map('counters', false))).toEqual(BUCKETS)
    expect(lines(map('counters', true))).toEqual([...AGGREGATIONS, ...BUCKETS])
    expect(lines(map('counters', false, { count: 2, bucketCounts: [2, 0], explicitBounds: [0.25] }))).toEqual([
      '.bucket count 2 observations lower_bound:-inf upper_bound:0.25',
      '.bucket count 0 observations lower_bound:0.25 upper_bound:inf',
    ])
    expect(lines(map('counters', false, { count: 2, bucketCounts: [2] }))).toEqual([
      '.bucket count 2 observations lower_bound:-inf upper_bound:inf',
    ])
  })

  it('is a count for each bucket if its last one ends at +Inf, or only the count tells of it', () => {
    const fields = { count: 6, sum: 50 }
    expect(lines(map('counters', false, { ...fields, bucketCounts: [1, 2], explicitBounds: [5, 10] }))).toEqual(BUCKETS)
    for (const bucketCounts of [
      [1, 2, 3],
      [1, 2, 3, 0],
    ]) {
      const endless = { ...fields, bucketCounts, explicitBounds: [5, 10, Infinity] }
      expect(lines(map('counters', false, endless))).toEqual(BUCKETS)
    }
  })

  it('has the extremes of its distribution as metrics, whenever it has any', () => {
    const single = { count: 1, sum: 7, min: 5, max: 10, bucketCounts: [0, 1, 0], explicitBounds: [5, 10] }
    const mapped = map('distributions', true, single) as MappedHistogram
    expect(mapped.sketch).toMatchObject({ min: 7, max: 7 })
    expect(lines(mapped)).toEqual([
      ...['.count count 1 observations', '.sum count 7 in unit'],
      ...['.min gauge 7 in unit', '.max gauge 7 in unit'],
    ])
    const { sketch, samples } = map('distributions', true, { ...single, min: undefined, max: NaN }) as MappedHistogram
    expect(sketch).toMatchObject({ min: 7, max: 7 })
    expect(samples).toHaveLength(2)
  })

  it('is its count, sum and extremes alone', () => {
    expect(map('nobuckets', true)).toMatchObject({ sketch: undefined })
    expect(lines(map('nobuckets', true))).toEqual(AGGREGATIONS)
  })

  it('has a count without a sum where none was taken, and neither where the sum is no number', () => {
    const unsummed = { ...FIELDS, sum: undefined }
    expect(lines(map('nobuckets', true, unsummed))).toEqual(AGGREGATIONS.filter((line) => !line.startsWith('.sum')))
    expect(map('nobuckets', true, { ...FIELDS, sum: NaN })).toBe('not_finite')
    expect(lines(map('counters', true, { ...FIELDS, sum: Infinity }))).toEqual(BUCKETS)
  })

  it('of no observations is counts of zero, but no distribution', () => {
    const empty = { count: 0, sum: 0, bucketCounts: [0, 0], explicitBounds: [1] }
    expect(map('distributions', false, empty)).toBe('no_observations')
    expect(map('distributions', true, empty)).toMatchObject({ sketch: undefined })
    expect(lines(map('distributions', true, empty))).toEqual(['.count count 0 observations', '.sum count 0 in unit'])
  })

  it('without buckets has no counters', () => {
    expect(map('counters', false, { count: 5, sum: 10 })).toBe('no_buckets')
    expect(lines(map('counters', true, { count: 5, sum: 10 }))).toEqual([
      '.count count 5 observations',
      '.sum count 10 in unit',
    ])
  })

  it('that is malformed is not sent, whatever else it knows', () => {
    const malformed = [
      { ...FIELDS, explicitBounds: [10, 5] },
      { ...FIELDS, explicitBounds: [5, NaN] },
      { ...FIELDS, explicitBounds: [5] },
      { ...FIELDS, bucketCounts: [1, 2, -3] },
      { ...FIELDS, bucketCounts: [1] },
      { ...FIELDS, bucketCounts: [4, 3] },
      { ...FIELDS, bucketCounts: [1, 2, 1, 2], explicitBounds: [5, 10, Infinity] },
    ]
    for (const fields of malformed) {
      expect(map('distributions', true, fields)).toBe('malformed_histogram')
      expect(map('counters', true, fields)).toBe('malformed_histogram')
    }
  })

  it('of more values than a sketch holds is no distribution, but has counters', () => {
    const fields = { ...FIELDS, count: 2 ** 32 + 3, bucketCounts: [1, 2, 2 ** 32] }
    expect(map('distributions', true, fields)).toBe('bucket_count_too_high')
    expect(lines(map('counters', false, fields))[2]).toBe(
      '.bucket count 4294967296 observations lower_bound:10.0 upper_bound:inf',
    )
  })

  it('that is exponential is a distribution in every mode', () => {
    const point = new ExponentialHistogramPoint({
      ...{ count: 5, sum: 7, min: 1, max: 2, scale: 0, zeroCount: 1 },
      positive: { offset: 0, bucketCounts: [4] },
    })
    for (const mode of ['distributions', 'counters', 'nobuckets'] as const) {
      const mapped = mapHistogram(point, { mode, sendAggregationMetrics: true }) as MappedHistogram
      expect(mapped.sketch).toMatchObject({ count: 5, sum: 7, min: 1, max: 2 })
      expect(lines(mapped)).toEqual([
        ...['.count count 5 observations', '.sum count 7 in unit'],
        ...['.min gauge 1 in unit', '.max gauge 2 in unit'],
      ])
    }
  })

  it('keeps its tags when another one with other bounds comes in between', () => {
    const other = { count: 2, bucketCounts: [2, 0], explicitBounds: [1e6] }
    expect(lines(map('counters', false))).toEqual(BUCKETS)
    // Datadog takes no `+` in a tag.
    expect(lines(map('counters', false, other))[0]).toContain('upper_bound:1e_06.0')
    expect(lines(map('counters', false))).toEqual(BUCKETS)
  })
})

describe('numbers in tags', () => {
  // Source: datadog-agent, otlp/metrics/metrics_translator.go, `formatFloat`: Go's shortest 'g' and `.0` behind whole ones.
  it.each([
    [0, '0'],
    [-0, '0'],
    [1, '1.0'],
    [-5, '-5.0'],
    [0.5, '0.5'],
    [0.999, '0.999'],
    [0.0001, '0.0001'],
    [0.00001, '1e-05'],
    [1.5e-7, '1.5e-07'],
    [999_999, '999999.0'],
    [123_456.75, '123456.75'],
    [1e6, '1e+06.0'],
    [1_234_567.5, '1.2345675e+06'],
    [1e100, '1e+100.0'],
    [Infinity, 'inf'],
    [-Infinity, '-inf'],
    [NaN, 'nan'],
  ])('%d is %s', (value, text) => {
    expect(numberText(value)).toBe(text)
  })
})
