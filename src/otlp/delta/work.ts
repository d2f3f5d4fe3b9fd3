import type { Metric } from '../metrics/metric.ts'
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
  emptied: Set<Metric> | undefined
  readonly changes: Map<EncodedRequest, Change>
  readonly numbers: SeriesNumbers & { start: number }
}

/** The changes to one request. */
export interface Change {
  /** Its copy, in which numbers are changed in place. */
  copy: EncodedRequest | undefined
  /** The destination of its histograms. */
  writer: HistogramDeltaWriter | undefined
  /** The end of the last metric that was changed in its bytes. */
  end: number
}
