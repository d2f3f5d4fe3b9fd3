import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import datadogNative from '../../../src/exporters/datadog_native.ts'
import { MetricBatch } from '../../../src/otlp/metrics/batch.ts'
import { CumulativeToDelta } from '../../../src/otlp/delta/cumulative_to_delta.ts'
import type { InitialValue } from '../../../src/otlp/delta/first_values.ts'
import { toOtlpJson } from '../../../src/otlp/json/write.ts'
import type { NumberPoint } from '../../../src/otlp/metrics/points.ts'
import { testExporter } from '../../kit/exporting.ts'
import { startIntake } from '../../kit/intake.ts'
import { ExportMetricsServiceRequest as Reference } from '../../kit/otlp_proto.ts'

/*
 * Differences are taken and Datadog's series are written from the bytes of a batch where that is possible, and from its
 * objects where it is not. Nobody may be able to tell which it was.
 */

const SECOND = 1_000_000_000n
/** Its length takes two bytes. */
const LONG = 'long'.repeat(40)

/** A few series whose points go on, stand still, go back, begin anew, or hold odd things. */
const point = fc.record({
  series: fc.nat(3),
  host: fc.option(fc.constantFrom('a', 'b', LONG), { nil: undefined }),
  step: fc.constantFrom(1, 1, 1, 1, 0, -1, 2),
  value: fc.oneof(fc.nat(100), fc.constantFrom(0.5, 1e300, NaN, Infinity, -3)),
  int: fc.boolean(),
  start: fc.constantFrom(1, 1, 1, 1, 5, 0),
  flags: fc.constantFrom(0, 0, 0, 0, 1),
  exemplars: fc.constantFrom<readonly object[]>([], [], [], [{ asDouble: 1 }]),
})
/** No series twice at one time: what has the bytes it came with was one series for its sender, and is left as it is. */
const points = fc.uniqueArray(point, {
  maxLength: 4,
  selector: ({ series, host, step }) => `${series} ${host} ${step}`,
})
const metric = fc.record({
  name: fc.constantFrom('m', 'n', 'heka.m'),
  kind: fc.constantFrom('counter', 'counter', 'counter', 'updown', 'gauge', 'delta'),
  points,
})
/** The same with the points of a histogram: counts for `value`, and what one may hold beside them. */
const histogram = fc.record({
  name: fc.constantFrom('h', 'i'),
  points: fc.uniqueArray(
    fc.record({
      series: fc.nat(2),
      step: fc.constantFrom(1, 1, 1, 1, 0, -1, 2),
      start: fc.constantFrom(1, 1, 1, 1, 5, 0),
      counts: fc.array(fc.nat(30), { minLength: 0, maxLength: 3 }),
      bounds: fc.constantFrom([0, 10], [0, 10], [0, 10], [5], []),
      sum: fc.option(fc.constantFrom(1.5, 100, -4, NaN)),
      min: fc.constantFrom(undefined, 1, 1, 0, -5, NaN),
      max: fc.constantFrom(undefined, 9, 9, 20, 30, NaN),
      large: fc.constantFrom(0, 0, 0, 1),
      flags: fc.constantFrom(0, 0, 0, 0, 1),
      exemplars: fc.constantFrom<readonly object[]>([], [], [], [{ asDouble: 1 }]),
    }),
    { maxLength: 4, selector: ({ series, step }) => `${series} ${step}` },
  ),
})
const histogramRequests = fc.array(fc.uniqueArray(histogram, { maxLength: 2, selector: ({ name }) => name }), {
  minLength: 2,
  maxLength: 6,
})
const requests = fc.array(fc.uniqueArray(metric, { maxLength: 3, selector: ({ name }) => name }), {
  minLength: 1,
  maxLength: 5,
})

type Metric = typeof metric extends fc.Arbitrary<infer T> ? T : never

function encode(metrics: readonly Metric[], round: number): Uint8Array {
  const message = {
    resourceMetrics: [
      {
        resource: { attributes: [{ key: 'host.name', value: { stringValue: 'h' } }] },
        scopeMetrics: [
          {
            metrics: metrics.map(({ name, kind, points }) => {
              const dataPoints = points.map(({ series, host, step, value, int, start, flags, exemplars }) => ({
                attributes: [
                  { key: 'series', value: { stringValue: `${series}` } },
                  ...(host === undefined ? [] : [{ key: 'Host.Kind', value: { stringValue: host } }]),
                ],
                startTimeUnixNano: `${BigInt(start) * SECOND}`,
                timeUnixNano: `${BigInt(1000 + round * 10 + step) * SECOND}`,
                ...(flags === 0 ? {} : { flags }),
                exemplars,
                ...(int && Number.isInteger(value) ? { asInt: `${BigInt(value)}` } : { asDouble: value }),
              }))
              if (kind === 'gauge') return { name, gauge: { dataPoints } }
              const aggregationTemporality = kind === 'delta' ? 1 : 2
              return { name, sum: { dataPoints, aggregationTemporality, isMonotonic: kind === 'counter' } }
            }),
          },
        ],
      },
    ],
  }
  return Reference.encode(Reference.fromObject(message)).finish()
}

type Histogram = typeof histogram extends fc.Arbitrary<infer T> ? T : never

/** Every round counts on by what `counts` says, so that most points go on from the one before. */
function encodeHistograms(metrics: readonly Histogram[], round: number): Uint8Array {
  const message = {
    resourceMetrics: [
      {
        scopeMetrics: [
          {
            metrics: metrics.map(({ name, points }) => ({
              name,
              histogram: {
                aggregationTemporality: 2,
                dataPoints: points.map(
                  ({ series, step, start, counts, bounds, sum, min, max, large, flags, exemplars }) => {
                    const base = BigInt(round * 20) + (large === 1 ? 2n ** 53n : 0n)
                    const buckets = Array.from({ length: bounds.length + 1 }, (_, at) => base + BigInt(counts[at] ?? 7))
                    return {
                      attributes: [{ key: 'series', value: { intValue: series } }],
                      startTimeUnixNano: `${BigInt(start) * SECOND}`,
                      timeUnixNano: `${BigInt(1000 + round * 10 + step) * SECOND}`,
                      count: `${buckets.reduce((all, bucket) => all + bucket)}`,
                      bucketCounts: buckets.map(String),
                      explicitBounds: bounds,
                      ...(sum === null ? {} : { sum: sum + round * 100 }),
                      ...(min === undefined ? {} : { min }),
                      ...(max === undefined ? {} : { max }),
                      ...(flags === 0 ? {} : { flags }),
                      exemplars,
                    }
                  },
                ),
              },
            })),
          },
        ],
      },
    ],
  }
  return Reference.encode(Reference.fromObject(message)).finish()
}

/** The same batch, of which no byte is left. */
function asObjects(bytes: Uint8Array): MetricBatch {
  return MetricBatch.fromOtlp(bytes).mapPoints((each) => each.with({}))
}

function counting() {
  const counts: Record<string, number> = {}
  const add = (reason: string, points: number): void => void (counts[reason] = (counts[reason] ?? 0) + points)
  const [merged, created] = ['merged', 'created'].map((reason) => (points: number) => add(reason, points))
  return { counts, account: { dropped: add, merged, created } }
}

describe('what is done by bytes', () => {
  it.each<InitialValue>(['auto', 'keep', 'drop'])('is the difference that objects give (%s)', (initialValue) => {
    fc.assert(
      fc.property(requests, (rounds) => {
        const results = [MetricBatch.fromOtlp.bind(MetricBatch), asObjects].map((read) => {
          const { counts, account } = counting()
          const delta = new CumulativeToDelta({ initialValue })
          const batches = rounds.map((metrics, round) => delta.apply(read(encode(metrics, round)), account))
          return { counts, sent: batches.map((batch) => toOtlpJson(MetricBatch.fromOtlp(batch.toOtlp()))) }
        })
        expect(results[0]).toEqual(results[1])
      }),
      { numRuns: 300 },
    )
  })

  it.each<InitialValue>(['auto', 'keep', 'drop'])(
    'is the difference that objects of histograms give (%s)',
    (initialValue) => {
      fc.assert(
        fc.property(histogramRequests, fc.constantFrom('none', 'reached', 'bounded'), (rounds, extremes) => {
          const results = [MetricBatch.fromOtlp.bind(MetricBatch), asObjects].map((read) => {
            const { counts, account } = counting()
            const delta = new CumulativeToDelta({ initialValue, extremes })
            const batches = rounds.map((metrics, round) => delta.apply(read(encodeHistograms(metrics, round)), account))
            return { counts, sent: batches.map((batch) => toOtlpJson(MetricBatch.fromOtlp(batch.toOtlp()))) }
          })
          expect(results[0]).toEqual(results[1])
        }),
        { numRuns: 1000 },
      )
    },
  )

  it('goes on from a point whether or not one of the two carries exemplars', () => {
    const delta = new CumulativeToDelta({ initialValue: 'drop' })
    const values = [1, 10, 100, 1000].map((value, round) => {
      const exemplars = round === 1 || round === 3 ? [{ asDouble: 1 }] : []
      const point = { series: 1, host: 'a', step: 1, value, int: true, start: 1, flags: 0, exemplars } as const
      const bytes = encode([{ name: 'm', kind: 'counter', points: [point] }], round)
      const batch = delta.apply(MetricBatch.fromOtlp(bytes), counting().account)
      return Array.from(batch.metrics(), ({ metric }) => (metric.points[0] as NumberPoint).value)
    })
    expect(values).toEqual([[], [9], [90], [900]])
  })

  it('is right for a metric that stands in a batch a second time under another name', () => {
    const twice = (bytes: Uint8Array): MetricBatch =>
      MetricBatch.fromOtlp(bytes).mapScopes((scope) =>
        scope.withMetrics(scope.metrics.flatMap((metric) => [metric, metric.withName(`copy.${metric.name}`)])),
      )
    const point = { series: 1, step: 1, start: 1, flags: 0, exemplars: [] } as const
    const counter = (value: number): Metric => {
      return { name: 'm', kind: 'counter', points: [{ ...point, host: undefined, value, int: true }] }
    }
    const counts = (count: number): Histogram => {
      const histogram = { ...point, bounds: [0, 10], sum: 2, min: 1, max: 9, large: 0 } as const
      return { name: 'h', points: [{ ...histogram, counts: [count, count, count] }] }
    }
    for (const rounds of [
      [1, 10, 100, 1000].map((value, round) => encode([counter(value)], round)),
      [1, 2, 4, 8].map((count, round) => encodeHistograms([counts(count)], round)),
    ]) {
      const delta = new CumulativeToDelta({ initialValue: 'drop' })
      const sent = rounds.map((bytes) => MetricBatch.fromOtlp(delta.apply(twice(bytes), counting().account).toOtlp()))
      for (const batch of sent.slice(1)) {
        const [first, second] = Array.from(batch.metrics(), ({ metric }) => metric)
        expect(second.name).toBe(`copy.${first.name}`)
        expect(toOtlpJson(MetricBatch.of({ metrics: [second.withName(first.name)] }))).toEqual(
          toOtlpJson(MetricBatch.of({ metrics: [first] })),
        )
      }
      const values = sent.slice(1).map((batch) => {
        const [point] = batch.resources[0].scopes[0].metrics[0].points
        return point.kind === 'number' ? point.value : point.kind === 'histogram' ? point.bucketCounts[0] : undefined
      })
      expect(values).toEqual(sent[1].resources[0].scopes[0].metrics[0].type === 'sum' ? [9, 90, 900] : [21, 22, 24])
    }
  })

  it.each(['v1', 'v2'])('is what Datadog gets from objects (%s)', async (version) => {
    const intake = await startIntake()
    try {
      const yaml = `datadog_native: { endpoint: "${intake.url}", api_key: k, series_version: ${version} }`
      await fc.assert(
        fc.asyncProperty(requests, async (rounds) => {
          const results = []
          for (const read of [MetricBatch.fromOtlp.bind(MetricBatch), asObjects]) {
            const before = intake.series().length
            const exporter = await testExporter(datadogNative, yaml)
            const balances = []
            for (const [round, metrics] of rounds.entries())
              balances.push(await exporter.deliver(read(encode(metrics, round))))
            const sent = intake
              .series()
              .slice(before)
              .map((series) => JSON.stringify(series))
              .sort()
            results.push({ sent, balance: balances.at(-1) })
          }
          expect(results[0]).toEqual(results[1])
        }),
        { numRuns: 40 },
      )
    } finally {
      await intake.close()
    }
  })

  it('is what Datadog gets of series that are known already, under the names that their metrics have now', async () => {
    const intake = await startIntake()
    try {
      const exporter = await testExporter(datadogNative, `datadog_native: { endpoint: "${intake.url}", api_key: k }`)
      const delta = new CumulativeToDelta({ initialValue: 'keep' })
      const point = { series: 1, host: 'a', step: 1, int: true, start: 1, flags: 0, exemplars: [] } as const
      for (const [round, name] of ['x', 'y', 'x', 'x', 'y'].entries()) {
        const metric: Metric = { name: 'm', kind: 'counter', points: [{ ...point, value: 10 ** round }] }
        const differences = delta.apply(MetricBatch.fromOtlp(encode([metric], round)), counting().account)
        expect(differences.resources[0].scopes[0].metrics[0].series).toBeDefined()
        await exporter.deliver(differences.mapMetrics((each) => each.withName(name)))
      }
      expect(intake.series().map(({ metric, points }) => [metric, points[0][1]])).toEqual([
        ['x', 1],
        ['y', 9],
        ['x', 90],
        ['x', 900],
        ['y', 9000],
      ])
    } finally {
      await intake.close()
    }
  })
})
