import { PART } from '../common/parts.ts'
import { EncodedRequest } from '../wire/lazy_message.ts'
import type { Encoded } from '../wire/lazy_message.ts'
import { fieldEnd, varintLength, writeVarint } from '../wire/wire_format.ts'
import type { MetricLayout } from './layout.ts'
import { Metric } from './metric.ts'
import type { MetricFields } from './metric.ts'
import type { SeriesNumbers } from './series_numbers.ts'

/** Metrics of at most `PART` points that together have the points of one. Those made from bytes have bytes of their own. */
export function* piecesOf(metric: Metric): Generator<Metric> {
  const { encoded, layout, renamed, series, pointCount } = metric
  if (encoded === undefined || layout === undefined) {
    const { points } = metric
    for (let start = 0; start < points.length; start += PART) {
      yield metric.withPoints(points.slice(start, start + PART))
    }
    return
  }
  const { bytes } = encoded.source
  for (let at = layout.dataStart, count = 0; count < pointCount;) {
    const first = count
    const runs: Run[] = []
    while (at < layout.dataEnd && count - first < PART) {
      if (bytes[at] === POINT) {
        const end = fieldEnd(bytes, at + 1)
        addRun(runs, at, end)
        at = end
        count++
      } else at += SCALAR
    }
    const written = writtenMetric(encoded, layout, [{ source: encoded.source, runs }])
    yield new Metric(written, renamed, undefined, series && { ...series, start: series.start + first })
  }
}

/** The tag of the repeated points, field 1 of a metric's data. */
const POINT = 0x0a
/** Bytes of a field of the data that is no point: the temporality, or whether a sum is monotonic. */
const SCALAR = 2

/** Concatenates bytes. */
type Run = [start: number, end: number]

function addRun(runs: Run[], start: number, end: number): void {
  const last = runs.at(-1)
  if (last?.[1] === start) last[1] = end
  else runs.push([start, end])
}

/** The positions of a metric's points. */
function pointRuns({ source: { bytes } }: Encoded<MetricFields>, { dataStart, dataEnd }: MetricLayout): Run[] {
  const runs: Run[] = []
  for (let at = dataStart; at < dataEnd;) {
    const end = bytes[at] === POINT ? fieldEnd(bytes, at + 1) : at + SCALAR
    if (bytes[at] === POINT) addRun(runs, at, end)
    at = end
  }
  return runs
}

/** A metric like `encoded` with the points at these positions, in bytes of its own. */
function writtenMetric(
  encoded: Encoded<MetricFields>,
  { headerEnd, temporalityAt, monotonic }: MetricLayout,
  points: readonly { readonly source: EncodedRequest; readonly runs: readonly Run[] }[],
): Encoded<MetricFields> {
  const { bytes } = encoded.source
  // AggregationTemporality aggregation_temporality = 2; bool is_monotonic = 3;
  const scalars = [...(temporalityAt < 0 ? [] : [0x10, bytes[temporalityAt]]), ...(monotonic ? [0x18, 1] : [])]
  let length = scalars.length
  for (const { runs } of points) for (const [start, end] of runs) length += end - start
  const head = headerEnd - encoded.start
  const written = Buffer.allocUnsafe(head + varintLength(length) + length)
  bytes.copy(written, 0, encoded.start, headerEnd)
  let at = writeVarint(written, head, length)
  for (const { source, runs } of points) {
    for (const [start, end] of runs) at += source.bytes.copy(written, at, start, end)
  }
  written.set(scalars, at)
  const sources = points.map(({ source }) => source)
  const source = new EncodedRequest(written, {
    items: 0,
    canonical: true,
    pointKeys: sources.reduce((keys, { pointKeys }) => keys | pointKeys, 0),
    plainNumbers: sources.every(({ plainNumbers }) => plainNumbers),
    pointsChanged: sources.some(({ pointsChanged }) => pointsChanged),
  })
  return encoded.movedTo(source, 0, written.length)
}

/** The metric with the points of these pieces of one metric; made from bytes if all of them are. */
export function joinedMetric(pieces: readonly Metric[]): Metric {
  const [first] = pieces
  if (pieces.length === 1) return first
  const points: { source: EncodedRequest; runs: Run[] }[] = []
  for (const piece of pieces) {
    const { encoded, layout } = piece
    if (encoded === undefined || layout === undefined || !isSameHead(first, piece, layout)) break
    points.push({ source: encoded.source, runs: pointRuns(encoded, layout) })
  }
  const { encoded, layout, renamed } = first
  if (encoded === undefined || layout === undefined || points.length < pieces.length) {
    return first.with({ points: pieces.flatMap((piece) => piece.points) })
  }
  return new Metric(writtenMetric(encoded, layout, points), renamed, undefined, joinedNumbers(pieces))
}

/** Whether a metric with `layout` has the name, description, unit, type and temporality of another. */
function isSameHead(first: Metric, metric: Metric, layout: MetricLayout): boolean {
  if (metric.renamed !== first.renamed || metric.temporality !== first.temporality) return false
  if (metric.monotonic !== first.monotonic) return false
  const { source, start } = metric.encoded as Encoded<MetricFields>
  const [encoded, own] = [first.encoded as Encoded<MetricFields>, first.layout as MetricLayout]
  return encoded.source.bytes.compare(source.bytes, start, layout.headerEnd, encoded.start, own.headerEnd) === 0
}

/** The numbers of the series of all pieces, if they are consecutive. */
function joinedNumbers(pieces: readonly Metric[]): SeriesNumbers | undefined {
  const [{ series }] = pieces
  let next = series?.start
  for (const piece of pieces) {
    if (piece.series === undefined || piece.series.numbers !== series?.numbers || piece.series.start !== next) return
    next += piece.pointCount
  }
  return series
}
