import { Attributes } from '../../otlp/common/attributes.ts'
import { addDistributions } from '../../otlp/metrics/distributions.ts'
import { MadePoints } from '../../otlp/metrics/made_points.ts'
import type { Metric } from '../../otlp/metrics/metric.ts'
import { addInts, storable } from '../../otlp/metrics/number_values.ts'
import type { NumberValue } from '../../otlp/metrics/number_values.ts'
import { NumberPointCursor } from '../../otlp/metrics/number_cursor.ts'
import { PART } from '../../otlp/common/parts.ts'
import { NumberPoint } from '../../otlp/metrics/points.ts'
import type { DataPoint } from '../../otlp/metrics/points.ts'
import { piecesOf } from '../../otlp/metrics/pieces.ts'
import { rememberedBytes } from '../../otlp/common/remembered_bytes.ts'
import { LONG } from '../../time/turns.ts'
import type { Divided } from '../../time/turns.ts'
import type { AggregationType } from './settings.ts'

/** The most sets of attributes whose change is remembered for each aggregating operation, and the bytes that they take. */
const MAX_REMEMBERED = 65_536
const MAX_BYTES = 2 ** 25
/** Bytes that a set takes, as texts, keys and objects, for each of its bytes and in addition to them. */
const BYTE_BYTES = 4
const SET_BYTES = 300

/** The value of a gauge or a sum in a form for aggregation. */
interface Sample extends NumberValue {
  readonly attributes: Attributes
  /** Nanoseconds since 1970. */
  readonly time: bigint
  readonly start: bigint
  /** Set if it was read as an object. */
  readonly point?: NumberPoint
}

/**
 * Makes one point of the points of a metric that have the same time and, after the change, the same attributes.
 * Histograms and summaries are added, whatever the type of aggregation.
 */
export function aggregateBy(
  change: (attributes: Attributes) => Attributes,
  type: AggregationType,
): (metric: Metric) => Divided<Metric> {
  const readSamples = sampleReader(change)
  return function* (metric) {
    if (metric.type !== 'gauge' && metric.type !== 'sum') return yield* addAlike(metric, change)
    let read = 0
    const groups: Sample[][] = []
    const found = new Map<Attributes, Map<bigint, Sample[]>>()
    for (const sample of readSamples(metric)) {
      if (++read % PART === 0) yield
      let byTime = found.get(sample.attributes)
      if (byTime === undefined) found.set(sample.attributes, (byTime = new Map<bigint, Sample[]>()))
      // Points without a value are separate: no time is negative.
      const time = hasValue(sample) ? sample.time : -1n - sample.time
      const group = byTime.get(time)
      if (group !== undefined) {
        group.push(sample)
        continue
      }
      const started = [sample]
      byTime.set(time, started)
      groups.push(started)
    }
    const points = new MadePoints(metric)
    for (const samples of groups) {
      points.set(points.length, combine(samples, type))
      if (points.length % PART === 0) yield
    }
    // The number of series goes up and down, whatever they count.
    return metric.with({ points: points.all(), monotonic: metric.monotonic && type !== 'count' })
  }
}

/** Adds the points of histograms and summaries; those that cannot be added, because their bounds differ, stay two. */
function* addAlike(metric: Metric, change: (attributes: Attributes) => Attributes): Divided<Metric> {
  const points = new MadePoints(metric)
  const places = new Map<string, number[]>()
  for (const piece of fewOf(metric)) {
    for (const original of piece.points) {
      const point = original.withAttributes(change(original.attributes))
      const key = `${point.timeUnixNano} ${point.attributes.identity}`
      const alike = places.get(key) ?? []
      const added = alike.some((place) => {
        const sum = addPoints(points.at(place), point)
        if (sum !== undefined) points.set(place, sum)
        return sum !== undefined
      })
      if (added) continue
      places.set(key, [...alike, points.length])
      points.set(points.length, point)
    }
    yield
  }
  return metric.withPoints(points.all())
}

/** A metric, or the pieces of a large one, of which no more than one is to be read at a time. */
export function fewOf(metric: Metric): Iterable<Metric> {
  return metric.pointCount < LONG ? [metric] : piecesOf(metric)
}

function addPoints(first: DataPoint, second: DataPoint): DataPoint | undefined {
  if (!first.hasValue && !second.hasValue) return first
  const sum = addDistributions(first, second)?.with({
    startTimeUnixNano: least(first.startTimeUnixNano, second.startTimeUnixNano),
    exemplars: [...first.exemplars, ...second.exemplars],
  })
  if (sum?.kind !== 'summary') return sum
  // The quantiles of one part are not those of the whole, unless the other part counted nothing.
  const parts = [first, second].filter((part) => part.kind === 'summary' && Number(part.count) > 0)
  return parts.length === 2 ? sum.with({ quantileValues: [] }) : sum
}

function least(left: bigint, right: bigint): bigint {
  return left < right ? left : right
}

/**
 * Makes a function that reads a metric's samples with their attributes changed: equal results are the same object.
 * Points are read by their bytes if possible, and attributes that came before are not changed again.
 */
function sampleReader(change: (attributes: Attributes) => Attributes): (metric: Metric) => Generator<Sample> {
  const byBytes = new Map<string, Attributes>()
  const byIdentity = new Map<string, Attributes>()
  let taken = 0
  let isReading = false
  const cache = {
    clear(): void {
      // Never within a metric, in which equal results have to be the same object.
      if (isReading) return
      byBytes.clear()
      byIdentity.clear()
      taken = 0
    },
  }
  rememberedBytes.addCache(cache)

  function changed(bytes: string, holder: { attributes(): Attributes }): Attributes {
    let result = byBytes.get(bytes)
    if (result !== undefined) return result
    const attributes = change(holder.attributes())
    result = byIdentity.get(attributes.identity)
    // Without the request that it came in.
    if (result === undefined) byIdentity.set(attributes.identity, (result = Attributes.from([...attributes])))
    byBytes.set(bytes, result)
    taken += SET_BYTES + BYTE_BYTES * bytes.length
    return result
  }

  return function* (metric) {
    if (byBytes.size >= MAX_REMEMBERED || taken > MAX_BYTES) cache.clear()
    isReading = true
    const cursor = new NumberPointCursor()
    if (cursor.reads(metric) && cursor.open(metric)) {
      while (cursor.next()) {
        const attributes = changed(cursor.bytesIdentity(), cursor)
        const { isInt } = cursor
        yield { attributes, time: cursor.time(), start: cursor.start(), value: cursor.exactValue(), isInt }
      }
      isReading = false
      return
    }
    for (const piece of fewOf(metric)) {
      for (const point of piece.points as readonly NumberPoint[]) {
        const attributes = changed(point.attributes.bytesIdentity, { attributes: () => point.attributes })
        const { timeUnixNano: time, startTimeUnixNano: start, value, isInt } = point
        yield { attributes, time, start, value, isInt, point }
      }
      if (piece !== metric) piece.forget()
    }
    isReading = false
  }
}

function hasValue({ value, point }: Sample): boolean {
  return value !== undefined && point?.hasValue !== false
}

function combine(samples: readonly Sample[], type: AggregationType): NumberPoint {
  const [first, ...others] = samples
  const { attributes, time: timeUnixNano, point } = first
  const stays = !hasValue(first) || (others.length === 0 && type !== 'count')
  if (point !== undefined && stays) return point.withAttributes(attributes)
  const fields = {
    attributes,
    timeUnixNano,
    startTimeUnixNano: others.reduce((start, sample) => least(start, sample.start), first.start),
    ...(stays ? valueOf(first) : combineValues(samples, type)),
  }
  if (point === undefined) return new NumberPoint(fields)
  return point.with({ ...fields, exemplars: samples.flatMap((sample) => sample.point?.exemplars ?? []) })
}

function combineValues(samples: readonly NumberValue[], type: AggregationType): NumberValue {
  switch (type) {
    case 'sum':
      return total(samples)
    case 'mean':
      return mean(samples)
    case 'count':
      return { value: samples.length, isInt: true }
    // NaN cannot be compared with any value, so the result is NaN, in any order.
    case 'min':
      return valueOf(samples.reduce((least, sample) => (isNaN(sample) || compare(sample, least) < 0 ? sample : least)))
    case 'max':
      return valueOf(samples.reduce((most, sample) => (isNaN(sample) || compare(sample, most) > 0 ? sample : most)))
    case 'median': {
      const unknown = samples.find(isNaN)
      if (unknown !== undefined) return valueOf(unknown)
      const sorted = samples.toSorted(compare)
      const middle = sorted.slice((sorted.length - 1) >> 1, (sorted.length >> 1) + 1)
      return middle.length === 1 ? valueOf(middle[0]) : mean(middle)
    }
  }
}

function isNaN({ value }: NumberValue): boolean {
  return Number.isNaN(value)
}

/** 0 if one of them is NaN. */
function compare({ value: left = 0 }: NumberValue, { value: right = 0 }: NumberValue): number {
  return left < right ? -1 : left > right ? 1 : 0
}

/** Ints are added exactly, whatever comes between them, so that their order does not matter. */
function total(samples: readonly NumberValue[]): NumberValue {
  if (samples.some(({ isInt }) => !isInt)) {
    return { value: samples.reduce((sum, { value = 0 }) => sum + Number(value), 0), isInt: false }
  }
  return storable({
    value: samples.reduce<number | bigint>((sum, { value = 0 }) => addInts(sum, value), 0),
    isInt: true,
  })
}

function mean(samples: readonly NumberValue[]): NumberValue {
  return { value: Number(total(samples).value) / samples.length, isInt: false }
}

function valueOf({ value, isInt }: NumberValue): NumberValue {
  return { value, isInt }
}
