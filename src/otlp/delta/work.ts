import type { HistogramCursor } from '../metrics/histogram_cursor.ts'
import type { Metric } from '../metrics/metric.ts'
import type { NumberPointCursor } from '../metrics/number_cursor.ts'
import type { SeriesNumbers } from '../metrics/series_numbers.ts'
import type { EncodedRequest } from '../wire/lazy_message.ts'
import type { HistogramDeltaWriter } from './histogram_delta.ts'

/** A merged point will be counted with a later one; if it is not after all, it is created again, and dropped. */
export interface DeltaAccount {
  created(points: number): void
  merged(points: number): void
  dropped(reason: string, points: number): void
}

/** The context while the differences of a batch are taken. */
export interface Work {
  readonly account: DeltaAccount
  /** As in `PointMemory`. */
  readonly now: number
  /** Metrics that have no point left. */
  readonly emptied: Set<Metric>
  /** By request: the copy that is changed in place. */
  readonly copies: Map<EncodedRequest, EncodedRequest>
  readonly writers: Map<EncodedRequest, HistogramDeltaWriter>
  /** By request: the end of the last metric that was changed in its bytes. */
  readonly ends: Map<EncodedRequest, number>
  readonly numbers: SeriesNumbers & { start: number }
  readonly cursor: NumberPointCursor
  /** Made for the first histogram: most batches have none. */
  histogramCursor: HistogramCursor | undefined
}
