import { normalizeTag } from '../../../datadog/names.ts'
import { completeBuckets } from '../../../otlp/metrics/explicit_buckets.ts'
import type { ExplicitBuckets } from '../../../otlp/metrics/explicit_buckets.ts'
import type { ExponentialHistogramPoint, HistogramPoint } from '../../../otlp/metrics/points.ts'
import { countInBuckets, sketchOfHistogram } from '../sketch/explicit_sketch.ts'
import type { ExplicitHistogram } from '../sketch/explicit_sketch.ts'
import { sketchOfExponential } from '../sketch/exponential_sketch.ts'
import { Sketch } from '../sketch/sketch.ts'
import type { SketchRefusal } from '../sketch/sketch.ts'

/** Distributions, a count for each bucket, or neither. */
export const HISTOGRAM_MODES = ['distributions', 'counters', 'nobuckets'] as const

export interface HistogramSettings {
  /** For histograms with explicit bounds; exponential ones always become distributions. */
  readonly mode: (typeof HISTOGRAM_MODES)[number]
  /** Whether `.count`, `.sum`, `.min` and `.max` are sent as well. With `nobuckets`, nothing else is sent. */
  readonly sendAggregationMetrics: boolean
}

/** The suffixes of the names of a metric that turns into several. */
export const SUFFIXES = ['.count', '.sum', '.min', '.max', '.bucket', '.quantile'] as const

/** A value of a series that a histogram or summary turns into. */
export interface DerivedSample {
  readonly suffix: (typeof SUFFIXES)[number]
  readonly type: 'count' | 'gauge'
  readonly value: number
  /** Normalised; in addition to those of the point. */
  readonly tags: readonly string[]
  /** Whether the value is in the unit of the metric; otherwise it is a number of observations. */
  readonly inUnit: boolean
}

/** A point of a histogram with explicit bounds, as an object or on the wire. */
export type Explicit = ExplicitHistogram & { readonly kind: 'histogram' }

/** The values that are sent for one point of a histogram: at least one of both kinds. */
export interface MappedHistogram {
  readonly sketch: Sketch | undefined
  readonly samples: readonly DerivedSample[]
}

export const NO_TAGS: readonly string[] = []
const NO_SAMPLES: readonly DerivedSample[] = []

/**
 * The values that Datadog gets for a histogram of differences of either kind, or the reason under which the point is
 * counted as dropped. A point is sent as a whole or not at all.
 */
export function mapHistogram(
  point: Explicit | ExponentialHistogramPoint,
  settings: HistogramSettings,
): MappedHistogram | SketchRefusal | 'not_finite' {
  if (point.kind === 'exponential_histogram') return withSketch(sketchOfExponential(point), point, settings)
  if (settings.mode === 'distributions') return withSketch(sketchOfHistogram(point), point, settings)
  const samples = settings.sendAggregationMetrics ? aggregations(point, point) : []
  if (settings.mode === 'counters' && point.bucketCounts.length > 0) {
    const buckets = completeBuckets(point)
    if (countInBuckets(buckets) === undefined) return 'malformed_histogram'
    addBuckets(samples, buckets)
  }
  if (samples.length > 0) return { sketch: undefined, samples }
  return settings.mode === 'counters' ? 'no_buckets' : 'not_finite'
}

function withSketch(
  sketch: Sketch | SketchRefusal,
  point: Explicit | ExponentialHistogramPoint,
  { sendAggregationMetrics }: HistogramSettings,
): MappedHistogram | SketchRefusal {
  const samples = sendAggregationMetrics ? aggregations(point, sketch instanceof Sketch ? sketch : point) : NO_SAMPLES
  if (sketch instanceof Sketch) return { sketch, samples }
  // If there is nothing to distribute, the counts still show that.
  const complete = sketch === 'no_observations' || sketch === 'no_buckets'
  return complete && samples.length > 0 ? { sketch: undefined, samples } : sketch
}

/**
 * Nothing for a sum that is not a number: the count may be wrong, too. A missing sum is left out, and so are missing
 * extremes; existing ones are those of the distribution.
 */
function aggregations(
  { count, sum, min, max }: Explicit | ExponentialHistogramPoint,
  extremes: Pick<HistogramPoint, 'min' | 'max'>,
): DerivedSample[] {
  if (sum !== undefined && !Number.isFinite(sum)) return []
  const samples: DerivedSample[] = [
    { suffix: '.count', type: 'count', value: Number(count), tags: NO_TAGS, inUnit: false },
  ]
  if (sum !== undefined) samples.push({ suffix: '.sum', type: 'count', value: sum, tags: NO_TAGS, inUnit: true })
  if (Number.isFinite(min)) {
    samples.push({ suffix: '.min', type: 'gauge', value: extremes.min as number, tags: NO_TAGS, inUnit: true })
  }
  if (Number.isFinite(max)) {
    samples.push({ suffix: '.max', type: 'gauge', value: extremes.max as number, tags: NO_TAGS, inUnit: true })
  }
  return samples
}

function addBuckets(samples: DerivedSample[], { bucketCounts, explicitBounds }: ExplicitBuckets): void {
  const tags = bucketTags(explicitBounds)
  for (let index = 0; index < bucketCounts.length; index++) {
    const value = Number(bucketCounts[index])
    samples.push({ suffix: '.bucket', type: 'count', value, tags: tags[index], inUnit: false })
  }
}

/** The tags of the last bounds: most histograms of a batch have the same bounds. */
let known: { readonly bounds: readonly number[]; readonly tags: readonly (readonly string[])[] } = {
  bounds: [],
  tags: [tagsOfBucket(-Infinity, Infinity)],
}

function bucketTags(bounds: ArrayLike<number>): readonly (readonly string[])[] {
  if (bounds.length !== known.bounds.length || known.bounds.some((bound, index) => bound !== bounds[index])) {
    const own = Array.from(bounds)
    const edges = [-Infinity, ...own, Infinity]
    known = { bounds: own, tags: edges.slice(1).map((upper, index) => tagsOfBucket(edges[index], upper)) }
  }
  return known.tags
}

function tagsOfBucket(lower: number, upper: number): readonly string[] {
  return [normalizeTag('lower_bound', numberText(lower)), normalizeTag('upper_bound', numberText(upper))]
}

/**
 * A number as Datadog writes bounds and quantiles in tags: the shortest digits, a power of ten from 1e+06 on and below
 * 1e-04, and `.0` after whole numbers. Source: datadog-agent, otlp/metrics/metrics_translator.go, `formatFloat`.
 */
export function numberText(value: number): string {
  if (Number.isNaN(value)) return 'nan'
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf'
  if (value === 0) return '0'
  const magnitude = Math.abs(value)
  const text = magnitude >= 1e-4 && magnitude < 1e6 ? String(value) : powerText(value)
  return Number.isInteger(value) ? `${text}.0` : text
}

/** With a sign and at least two digits in the exponent. */
function powerText(value: number): string {
  const [digits, exponent] = value.toExponential().split('e')
  return `${digits}e${exponent[0]}${exponent.slice(1).padStart(2, '0')}`
}
