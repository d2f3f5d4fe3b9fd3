import type { Divided } from '../../time/turns.ts'
import { MetricBatch } from './batch.ts'
import { fieldLength, writeVarint } from '../delta/histogram_delta.ts'
import { behind, viewOf } from '../wire/lazy_message.ts'
import type { Encoded, Source } from '../wire/lazy_message.ts'
import type { MetricShape } from './layout.ts'
import { Metric } from './metric.ts'
import type { MetricFields, ResourceMetrics, ScopeMetrics } from './metric.ts'
import type { SeriesNumbers } from './series_numbers.ts'

/*
 * Large batches are worked on part by part, so that others have a turn in between (docs/decisions/0203-turns.md).
 */

/** Data points and metrics of a part, about. */
export const PART = 1000

/**
 * A part of a batch: whole resources; or, of a resource that is larger, whole metrics of one scope or some points of one metric. Small
 * batches are never divided.
 */
export interface Part {
  readonly batch: MetricBatch
  /** The resource, scope and metric of the batch that it is a part of, by their places; `WHOLE` where it holds them as a whole. */
  readonly resource: number
  readonly scope: number
  readonly metric: number
}
const WHOLE = -1

/**
 * What `change` makes of the batch, done part by part. It must treat each point without regard to others, keep their order, and may leave
 * out points, metrics, scopes and resources. `cuts`: whether it may be given some points of a metric rather than all.
 */
export function* inParts(
  batch: MetricBatch,
  change: (part: MetricBatch) => MetricBatch,
  cuts = true,
): Divided<MetricBatch> {
  const parts: Part[] = []
  const results: MetricBatch[] = []
  for (const part of partsOf(batch, cuts)) {
    parts.push(part)
    results.push(change(part.batch))
    yield
  }
  return joined(batch, parts, results)
}

/** Does the work of `toOtlp` part by part, and leaves it little to do. */
export function* writeInParts(batch: MetricBatch): Divided<void> {
  if (batch.isWritten) return
  batch.writtenAs(yield* inParts(batch, (part) => MetricBatch.fromOtlp(part.toOtlp())))
}

/** The parts of a batch, in order: together they hold exactly its points, each once. */
export function* partsOf(batch: MetricBatch, cuts = true): Generator<Part> {
  let small: ResourceMetrics[] = []
  let size = 0
  const take = (): Part => {
    const part = { batch: MetricBatch.fromResources(small), resource: WHOLE, scope: WHOLE, metric: WHOLE }
    small = []
    size = 0
    return part
  }
  for (const [place, entry] of batch.resources.entries()) {
    const own = sizeOf(entry)
    if (small.length > 0 && size + own > PART) yield take()
    if (own > PART) yield* partsOfResource(entry, place, cuts)
    else {
      small.push(entry)
      size += own
    }
  }
  if (small.length > 0) yield take()
}

/** Data points and metrics in a resource, not counted further than that it is larger than a part. */
function sizeOf({ scopes }: ResourceMetrics): number {
  let size = 1
  for (const { metrics } of scopes) {
    size += 1
    for (const { pointCount } of metrics) if ((size += 1 + pointCount) > PART) return size
  }
  return size
}

function* partsOfResource(entry: ResourceMetrics, resource: number, cuts: boolean): Generator<Part> {
  for (const [scope, whole] of entry.scopes.entries()) {
    const partOf = (metrics: readonly Metric[], metric: number): Part => ({
      batch: MetricBatch.fromResources([entry.withScopes([whole.withMetrics(metrics)])]),
      resource,
      scope,
      metric,
    })
    let small: Metric[] = []
    let size = 0
    for (const [place, metric] of whole.metrics.entries()) {
      const own = 1 + metric.pointCount
      const isCut = cuts && own > PART
      if (small.length > 0 && (isCut || size + own > PART)) {
        yield partOf(small, WHOLE)
        small = []
        size = 0
      }
      if (isCut) for (const piece of piecesOf(metric)) yield partOf([piece], place)
      else {
        small.push(metric)
        size += own
      }
    }
    if (small.length > 0 || whole.metrics.length === 0) yield partOf(small, WHOLE)
  }
}

/** Metrics of `PART` points at most that together have the points of one. Those of bytes have their own. */
export function* piecesOf(metric: Metric): Generator<Metric> {
  const { encoded, shape, renamed, series, pointCount } = metric
  if (encoded === undefined || shape === undefined) {
    const { points } = metric
    for (let start = 0; start < points.length; start += PART) {
      yield metric.withPoints(points.slice(start, start + PART))
    }
    return
  }
  const { bytes } = encoded.source
  for (let at = shape.dataStart, count = 0; count < pointCount;) {
    const first = count
    const runs: Run[] = []
    while (at < shape.dataEnd && count - first < PART) {
      if (bytes[at] === POINT) {
        const end = behind(bytes, at + 1)
        addRun(runs, at, end)
        at = end
        count++
      } else at += SCALAR
    }
    const written = writtenMetric(encoded, shape, [{ source: encoded.source, runs }])
    yield new Metric(written, renamed, undefined, series && { ...series, start: series.start + first })
  }
}

/** Repeated points = 1; of the data of a metric: the tag. */
const POINT = 0x0a
/** Bytes of a field of the data that is none: of the temporality, or whether a sum is monotonic. */
const SCALAR = 2

/** Bytes that stand one behind the other. */
type Run = [start: number, end: number]

function addRun(runs: Run[], start: number, end: number): void {
  const last = runs.at(-1)
  if (last?.[1] === start) last[1] = end
  else runs.push([start, end])
}

/** Where the points of a metric stand. */
function pointRuns({ source: { bytes } }: Encoded<MetricFields>, { dataStart, dataEnd }: MetricShape): Run[] {
  const runs: Run[] = []
  for (let at = dataStart; at < dataEnd;) {
    const end = bytes[at] === POINT ? behind(bytes, at + 1) : at + SCALAR
    if (bytes[at] === POINT) addRun(runs, at, end)
    at = end
  }
  return runs
}

/** A metric like `encoded` that has the points that stand in these bytes, in bytes of its own. */
function writtenMetric(
  encoded: Encoded<MetricFields>,
  { headerEnd, temporalityAt, monotonic }: MetricShape,
  points: readonly { readonly source: Source; readonly runs: readonly Run[] }[],
): Encoded<MetricFields> {
  const { bytes } = encoded.source
  // AggregationTemporality aggregation_temporality = 2; bool is_monotonic = 3;
  const scalars = [...(temporalityAt < 0 ? [] : [0x10, bytes[temporalityAt]]), ...(monotonic ? [0x18, 1] : [])]
  let length = scalars.length
  for (const { runs } of points) for (const [start, end] of runs) length += end - start
  const head = headerEnd - encoded.start
  const written = Buffer.allocUnsafe(head - 1 + fieldLength(length))
  bytes.copy(written, 0, encoded.start, headerEnd)
  let at = writeVarint(written, head, length)
  for (const { source, runs } of points) {
    for (const [start, end] of runs) at += source.bytes.copy(written, at, start, end)
  }
  written.set(scalars, at)
  const sources = points.map(({ source }) => source)
  const source: Source = {
    bytes: written,
    view: viewOf(written),
    regular: true,
    pointKeys: sources.reduce((keys, { pointKeys }) => keys | pointKeys, 0),
    plainNumbers: sources.every(({ plainNumbers }) => plainNumbers),
  }
  return encoded.in(source, 0, written.length)
}

/** One batch of what became of the parts of a batch: what was one resource, scope or metric is one again, and what did not change is the same. */
export function joined(batch: MetricBatch, parts: readonly Part[], results: readonly MetricBatch[]): MetricBatch {
  if (parts.every((part, index) => part.batch === results[index])) return batch
  const resources: ResourceMetrics[] = []
  for (const [first, end] of runsOf(parts, 0, parts.length, 'resource')) {
    const { resource } = parts[first]
    const all = results.slice(first, end).flatMap((result) => result.resources)
    if (resource === WHOLE || all.length === 0) resources.push(...all)
    else resources.push(all[0].withScopes(joinedScopes(batch.resources[resource], parts, results, first, end)))
  }
  return MetricBatch.fromResources(resources)
}

function joinedScopes(
  before: ResourceMetrics,
  parts: readonly Part[],
  results: readonly MetricBatch[],
  from: number,
  to: number,
): ScopeMetrics[] {
  const scopes: ScopeMetrics[] = []
  for (const [first, end] of runsOf(parts, from, to, 'scope')) {
    const { metrics } = before.scopes[parts[first].scope]
    const left: Metric[] = []
    for (const [start, stop] of runsOf(parts, first, end, 'metric')) {
      const { metric } = parts[start]
      const pieces = results.slice(start, stop).flatMap(metricsOf)
      if (metric === WHOLE || pieces.length === 0) left.push(...pieces)
      else {
        const isSame =
          pieces.length === stop - start && pieces.every((piece, at) => piece === metricsOf(parts[start + at].batch)[0])
        left.push(isSame ? metrics[metric] : joinedMetric(pieces))
      }
    }
    const [scope] = results.slice(first, end).flatMap((result) => result.resources.flatMap(({ scopes }) => scopes))
    if (scope !== undefined) scopes.push(scope.withMetrics(left))
  }
  return scopes
}

/** Where parts of the same resource, scope or metric begin and end. Parts of whole ones of these are runs, too. */
function* runsOf(
  parts: readonly Part[],
  from: number,
  to: number,
  of: 'resource' | 'scope' | 'metric',
): Generator<readonly [first: number, end: number]> {
  for (let first = from, end = from; first < to; first = end) {
    while (end < to && parts[end][of] === parts[first][of]) end++
    yield [first, end]
  }
}

function metricsOf(batch: MetricBatch): readonly Metric[] {
  return batch.resources.flatMap(({ scopes }) => scopes.flatMap(({ metrics }) => metrics))
}

/** The metric that has the points of these, which are pieces of one: of bytes where all are. */
export function joinedMetric(pieces: readonly Metric[]): Metric {
  const [first] = pieces
  if (pieces.length === 1) return first
  const points: { source: Source; runs: Run[] }[] = []
  for (const { encoded, shape, renamed } of pieces) {
    if (encoded === undefined || shape === undefined || renamed !== first.renamed) break
    if (!isSameHead(first, encoded, shape)) break
    points.push({ source: encoded.source, runs: pointRuns(encoded, shape) })
  }
  const { encoded, shape, renamed } = first
  if (encoded === undefined || shape === undefined || points.length < pieces.length) {
    return first.with({ points: pieces.flatMap((piece) => piece.points) })
  }
  return new Metric(writtenMetric(encoded, shape, points), renamed, undefined, joinedNumbers(pieces))
}

/** Whether a metric has the name, description, unit, type and temporality of another. */
function isSameHead(first: Metric, { source, start }: Encoded<MetricFields>, shape: MetricShape): boolean {
  const [encoded, own] = [first.encoded as Encoded<MetricFields>, first.shape as MetricShape]
  if (own.temporality !== shape.temporality || own.monotonic !== shape.monotonic) return false
  return encoded.source.bytes.compare(source.bytes, start, shape.headerEnd, encoded.start, own.headerEnd) === 0
}

/** The numbers of the series of all pieces, where they stand one behind the other. */
function joinedNumbers(pieces: readonly Metric[]): SeriesNumbers | undefined {
  const [{ series }] = pieces
  let next = series?.start
  for (const piece of pieces) {
    if (piece.series === undefined || piece.series.numbers !== series?.numbers || piece.series.start !== next) return
    next += piece.pointCount
  }
  return series
}
