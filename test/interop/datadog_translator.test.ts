import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { isDeepStrictEqual } from 'node:util'
import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { normalizeName, normalizeTag } from '../../src/datadog/names.ts'
import { splitTag } from '../../src/datadog/tags.ts'
import datadogNative from '../../src/exporters/datadog_native.ts'
import { fromOtlpJson } from '../../src/otlp/json/read.ts'
import { testExporter } from '../kit/exporting.ts'
import { runs } from '../kit/fuzzing.ts'
import { seriesOf, startIntake } from '../kit/intake.ts'

/*
 * What our exporter sends is held against what Datadog's own translator makes of the same metrics: its results stand in
 * test/cases/datadog_translator. Where ours differs on purpose, a decision says why. `npm run datadog:translate` makes these
 * results anew; with DATADOG_TRANSLATOR_BIN set to the program that it leaves, /tmp/datadog_translator, histograms made up by chance
 * are compared, too.
 */

const CASES = fileURLToPath(new URL('../cases/datadog_translator', import.meta.url))

/** What one of both sends: a value of a series, or a distribution. */
interface Sample {
  readonly name: string
  readonly type: string
  readonly host?: string
  readonly tags: readonly string[]
  readonly unit?: string
  readonly interval?: number
  readonly time: number
  readonly value?: number
  readonly count?: number
  readonly sum?: number
  readonly average?: number
  readonly min?: number
  readonly max?: number
  readonly bins?: readonly (readonly [key: number, count: number])[]
}

function read(...path: readonly string[]): string {
  return readFileSync(join(CASES, ...path), 'utf8')
}

/** What our exporter sends for each of the requests, as it arrives. */
async function ours(settings: object, requests: readonly string[]): Promise<Sample[][]> {
  const intake = await startIntake()
  // A first value is sent by `auto` only of what begins after this process: some begin in 2100.
  const own = { series_version: 'v2', host_metrics_names: 'otel', max_ahead: '0s', ...settings }
  const yaml = JSON.stringify({ datadog_native: { ...own, endpoint: intake.url, api_key: 'k' } })
  const exporter = await testExporter(datadogNative, yaml)
  const answers: Sample[][] = []
  for (const request of requests) {
    const [series, sketches] = [intake.requests.length, intake.sketches().length]
    await exporter.deliver(fromOtlpJson(request))
    answers.push([
      ...intake.requests
        .slice(series)
        .flatMap(seriesOf)
        .flatMap(({ metric: name, points, ...rest }) =>
          points.map(([time, value]) => ({ name, time, value, ...rest })),
        ),
      ...intake
        .sketches()
        .slice(sketches)
        .flatMap(({ metric: name, host, tags, dogsketches }) =>
          dogsketches.map(({ ts: time, cnt: count, avg: average, k, n, ...figures }) => {
            const bins = k.map((key, index) => [key, n[index]] as const)
            return { name, type: 'distribution', host: host || undefined, tags, time, count, average, ...figures, bins }
          }),
        ),
    ])
  }
  await exporter.stop()
  await intake.close()
  return answers
}

/** As Datadog stores it: names and tags in its writing, a distribution without the unit, which is of the name. */
function stored(sample: Sample): Sample {
  const { unit, ...rest } = sample
  const tags = sample.tags.map((tag) => normalizeTag(...splitTag(tag)))
  return {
    ...(sample.type === 'distribution' || unit === undefined ? rest : sample),
    ...{ name: normalizeName(sample.name), tags: [...new Set(tags)].sort() },
  }
}

/** By name, tags and time. */
function byKey(samples: readonly Sample[]): Map<string, Sample> {
  return new Map(samples.map(stored).map((sample) => [[sample.name, ...sample.tags, sample.time].join(' '), sample]))
}

/** Up to their last bits, since a power and a logarithm are not the same everywhere; nothing below the least key is told apart. */
function same(left: unknown, right: unknown): boolean {
  if (typeof left !== 'number' || typeof right !== 'number') return isDeepStrictEqual(left, right)
  return Math.abs(left - right) <= Math.max(1e-9, 1e-12 * Math.abs(right))
}

/**
 * The metrics of which both do not send the same, with what they send instead. `tags`: whether ours may have more tags. Ours may
 * tell an interval where Datadog's tells none.
 */
function differences(own: readonly Sample[][], datadog: readonly Sample[][], tags: 'the same' | 'more'): object {
  const found: Record<string, object> = {}
  datadog.forEach((samples, request) => {
    const [ours, theirs] = [byKey(own[request]), byKey(samples)]
    const match = (sample: Sample): [string, Sample] | undefined =>
      [...ours].find(
        ([, { name, tags: more }]) => name === sample.name && sample.tags.every((tag) => more.includes(tag)),
      )
    for (const [key, sample] of theirs) {
      const [ourKey, our] = tags === 'more' ? (match(sample) ?? []) : [key, ours.get(key)]
      ours.delete(ourKey ?? '')
      const fields = Object.keys({ ...sample, ...our }) as (keyof Sample)[]
      const equal = fields.every(
        (field) =>
          (field === 'tags' && tags === 'more') ||
          (field === 'interval' && (sample.interval === undefined || sample.type === 'distribution')) ||
          same(our?.[field], sample[field]),
      )
      if (our === undefined || !equal) found[sample.name] = { ours: our, datadog: sample }
    }
    for (const sample of ours.values()) found[sample.name] = { ours: sample, datadog: undefined }
  })
  return found
}

interface Translated {
  readonly samples: readonly Sample[]
}

/** What Datadog's translator sent, request by request. */
function translated(text: string): Sample[][] {
  return (JSON.parse(text) as readonly Translated[]).map(({ samples }) => [...samples])
}

describe("Datadog's own translator", () => {
  it.each(readdirSync(CASES))('sends the same, but for what is decided otherwise, in %s', async (name) => {
    const { settings, differs, tags } = JSON.parse(read(name, 'case.json')) as {
      settings: object
      /** By the name of the metric: the decision that says why. */
      differs: Record<string, string>
      tags?: 'more'
    }
    const own = await ours(settings, read(name, 'requests.jsonl').trimEnd().split('\n'))
    const found = differences(own, translated(read(name, 'datadog.json')), tags ?? 'the same')
    for (const metric of Object.keys(differs)) {
      expect(found).toHaveProperty([metric])
      delete found[metric as keyof typeof found]
    }
    expect(found).toEqual({})
  })
})

const NOON = 1_767_268_800
const seconds = (time: number): string => `${NOON + time}000000000`
const counts = fc.array(fc.oneof(fc.constant(0), fc.nat(20), fc.nat(100_000)), { minLength: 2, maxLength: 12 })
const bound = fc.double({ min: -1e12, max: 1e12, noNaN: true })
/** Beyond every bucket: both place values alike as long as no bucket reaches further than the extremes (0188). */
const extremes = fc.option(
  fc.tuple(fc.double({ min: -1e300, max: -1e130, noNaN: true }), fc.double({ min: 1e130, max: 1e300, noNaN: true })),
  { nil: undefined },
)

/** A point of differences whose figures do not contradict each other: Datadog's sends those of others as they are. */
function point(all: number, total: number, between: [number, number] | undefined): object {
  const [min, max] = between ?? []
  return { startTimeUnixNano: seconds(0), timeUnixNano: seconds(10), count: String(all), sum: total, min, max }
}

/** Of more than one value or none, and none in an open bucket (0188). */
const explicitHistogram = fc
  .record({
    inner: counts.filter((each) => each.reduce((left, right) => left + right) !== 1),
    bounds: fc.uniqueArray(bound, { minLength: 13, maxLength: 13 }),
    between: extremes,
  })
  .map(({ inner, bounds, between }) => {
    const all = inner.reduce((left, right) => left + right)
    const explicitBounds = bounds.slice(0, inner.length + 1).toSorted((left, right) => left - right)
    const middles = inner.map((count, index) => (count * (explicitBounds[index] + explicitBounds[index + 1])) / 2)
    const total = middles.reduce((left, right) => left + right)
    const bucketCounts = [0, ...inner, 0].map(String)
    const dataPoints = [{ ...point(all, total, between), explicitBounds, bucketCounts }]
    return { histogram: { aggregationTemporality: 1, dataPoints } }
  })

/** Of more than one value and none above 4.2e211, of which both differ on purpose. */
const exponentialHistogram = fc
  .record({
    ...{
      positive: counts,
      negative: fc.oneof(fc.constant<number[]>([]), counts),
      zeros: fc.integer({ min: 2, max: 100 }),
    },
    ...{
      scale: fc.integer({ min: -3, max: 20 }),
      offset: fc.integer({ min: -40, max: 40 }),
      between: extremes,
    },
  })
  .map(({ positive, negative, zeros, scale, offset, between }) => {
    const all = [...positive, ...negative].reduce((left, right) => left + right, zeros)
    const side = (bucketCounts: readonly number[]) => ({ offset, bucketCounts: bucketCounts.map(String) })
    const buckets = { scale, zeroCount: String(zeros), positive: side(positive), negative: side(negative) }
    return {
      exponentialHistogram: {
        aggregationTemporality: 1,
        dataPoints: [{ ...point(all, 0, between), ...buckets }],
      },
    }
  })

const translator = process.env.DATADOG_TRANSLATOR_BIN
const suite = translator === undefined ? describe.skip : describe
suite(`Datadog's own translator${translator === undefined ? ' (DATADOG_TRANSLATOR_BIN names none)' : ''}`, () => {
  it('makes the same distributions and sums of whatever histograms', async () => {
    const metrics = fc.array(fc.oneof(explicitHistogram, exponentialHistogram), { minLength: 1, maxLength: 30 })
    const settings = { histograms: { mode: 'distributions', send_aggregation_metrics: true } }
    await fc.assert(
      fc.asyncProperty(metrics, async (made) => {
        const folder = mkdtempSync(join(tmpdir(), 'datadog-translator-'))
        try {
          const named = made.map((metric, index) => ({ name: `metric.${index}`, ...metric }))
          const request = JSON.stringify({ resourceMetrics: [{ scopeMetrics: [{ metrics: named }] }] })
          writeFileSync(join(folder, 'case.json'), JSON.stringify({ settings }))
          writeFileSync(join(folder, 'requests.jsonl'), request)
          const { status, stderr } = spawnSync(translator as string, [folder], { encoding: 'utf8' })
          expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
          const theirs = translated(readFileSync(join(folder, 'datadog.json'), 'utf8'))
          expect(theirs.flat().length).toBeGreaterThanOrEqual(made.length)
          expect(differences(await ours(settings, [request]), theirs, 'the same')).toEqual({})
        } finally {
          rmSync(folder, { recursive: true })
        }
      }),
      runs(100),
    )
  })
})
