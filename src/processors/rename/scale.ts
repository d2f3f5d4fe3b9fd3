import type { Metric } from '../../otlp/metrics/metric.ts'
import { storable } from '../../otlp/metrics/number_values.ts'
import type { NumberValue } from '../../otlp/metrics/number_values.ts'
import type {
  Buckets,
  DataPoint,
  Exemplar,
  ExponentialHistogramPoint,
  HistogramPoint,
  NumberPoint,
  SummaryPoint,
} from '../../otlp/metrics/points.ts'

/**
 * Whether every value of a metric can be multiplied. The buckets of an exponential histogram can only move by whole
 * buckets, so most factors have to be approximated. The approximation depends on the scale, and a cumulative histogram
 * whose scale changed would then lose counts in some buckets, which looks like a restart: everything it ever counted
 * would count twice.
 */
export function canScale(metric: Metric, factor: number): boolean {
  const { type, temporality } = metric
  if (type === 'none') return false
  return (
    type !== 'exponential_histogram' ||
    temporality === 'delta' ||
    metric.points.every(
      (point) => point.kind !== 'exponential_histogram' || Number.isInteger(bucketsIn(factor, point.scale)),
    )
  )
}

/** Multiplies every value of a metric that `canScale` accepts. */
export function scaleMetric(metric: Metric, factor: number): Metric {
  const points = metric.points.map((point) => scalePoint(point, factor))
  // A value that only grew only falls if it is multiplied by a negative number.
  return metric.with({ points, monotonic: metric.monotonic && factor > 0 })
}

function scalePoint(point: DataPoint, factor: number): DataPoint {
  switch (point.kind) {
    case 'number':
      return scaleNumber(point, factor)
    case 'histogram':
      return scaleHistogram(point, factor)
    case 'exponential_histogram':
      return scaleExponential(point, factor)
    case 'summary':
      return scaleSummary(point, factor)
  }
}

function scaleNumber(point: NumberPoint, factor: number): NumberPoint {
  if (point.value === undefined) return point
  return point.with({ ...scaleValue(point, factor), exemplars: scaleExemplars(point.exemplars, factor) })
}

function scaleHistogram(point: HistogramPoint, factor: number): HistogramPoint {
  const bounds = point.explicitBounds.map((bound) => bound * factor)
  return point.with({
    ...scaleFigures(point, factor),
    explicitBounds: factor > 0 ? bounds : bounds.toReversed(),
    bucketCounts: factor > 0 ? point.bucketCounts : point.bucketCounts.toReversed(),
    exemplars: scaleExemplars(point.exemplars, factor),
  })
}

function scaleExponential(point: ExponentialHistogramPoint, factor: number): ExponentialHistogramPoint {
  const { scale, positive, negative } = point
  const shift = Math.round(bucketsIn(factor, scale))
  const moved = (side: Buckets | undefined): Buckets | undefined => side && { ...side, offset: side.offset + shift }
  return point.with({
    ...scaleFigures(point, factor),
    // Together with the buckets, because it is a bound of one.
    zeroThreshold: point.zeroThreshold * 2 ** (shift / 2 ** scale),
    positive: moved(factor > 0 ? positive : negative),
    negative: moved(factor > 0 ? negative : positive),
    exemplars: scaleExemplars(point.exemplars, factor),
  })
}

function scaleSummary(point: SummaryPoint, factor: number): SummaryPoint {
  const quantiles = point.quantileValues.map((each) => ({ ...each, value: each.value * factor }))
  return point.with({
    sum: point.sum * factor,
    quantileValues:
      factor > 0 ? quantiles : quantiles.map((each) => ({ ...each, quantile: 1 - each.quantile })).toReversed(),
  })
}

/** How many buckets a factor spans at a scale: the base of the buckets is 2^(2^-scale). */
function bucketsIn(factor: number, scale: number): number {
  return Math.log2(Math.abs(factor)) * 2 ** scale
}

type Figures = Pick<HistogramPoint, 'sum' | 'min' | 'max'>

function scaleFigures({ sum, min, max }: Figures, factor: number): Figures {
  const times = (value: number | undefined): number | undefined => (value === undefined ? undefined : value * factor)
  return { sum: times(sum), min: times(factor > 0 ? min : max), max: times(factor > 0 ? max : min) }
}

function scaleExemplars(exemplars: readonly Exemplar[], factor: number): readonly Exemplar[] {
  return exemplars.map((exemplar) => {
    const { value = 0, isInt } = scaleValue(exemplar, factor)
    return { ...exemplar, value, isInt }
  })
}

/** An int stays an int if the factor is a whole number and int64 holds the result. */
function scaleValue({ value = 0, isInt }: NumberValue, factor: number): NumberValue {
  if (isInt && Number.isInteger(factor)) return storable({ value: BigInt(value) * BigInt(factor), isInt })
  return { value: Number(value) * factor, isInt: false }
}
