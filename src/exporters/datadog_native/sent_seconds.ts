import { grown } from '../../otlp/bytes_index.ts'
import { nanosecondsBetween } from './samples.ts'

/** Seconds of which it is remembered whether a count was sent in them: the last one and those before it. */
const WINDOW = 32
const ALL = -1
/** Seconds that a count is moved at most. Datadog takes nothing that lies ten minutes ahead. */
const FARTHEST = 300

/**
 * Remembers when what was sent last, because Datadog keeps one value a second of each series, whichever comes last, also where
 * they come in different requests.
 */
export class SentSeconds {
  /** By series: the last second since 1970 in which something was sent. */
  #last = new Float64Array(64)
  /** Of a count: a bit for each second of the window, the last one lowest. Of a gauge: its time, as in `Samples`. */
  #details = new Int32Array(64)
  /** What was remembered of series before the last batch changed it, in the order of the changes. */
  #changed = { series: new Int32Array(64), last: new Float64Array(64), details: new Int32Array(64), count: 0 }
  /** Holds the last batch only. */
  #lastBatch = new WeakSet<object>()

  /** The same batch again as the last time takes the same seconds again. */
  begin(batch: object): void {
    const { series, last, details } = this.#changed
    if (this.#lastBatch.has(batch)) {
      for (let index = this.#changed.count - 1; index >= 0; index--) {
        this.#last[series[index]] = last[index]
        this.#details[series[index]] = details[index]
      }
    }
    this.#changed.count = 0
    // A WeakRef would keep every batch to the end of the task.
    this.#lastBatch = new WeakSet([batch])
  }

  /** Of the series nothing is known. */
  forget(series: number): void {
    while (series >= this.#last.length) {
      this.#last = grown(this.#last)
      this.#details = grown(this.#details)
    }
    this.#last[series] = -Infinity
    this.#details[series] = 0
  }

  /** Whether something may have been sent in that second. */
  mayHold(series: number, timestamp: number): boolean {
    return timestamp <= this.#last[series]
  }

  /** Whether a count was sent in that second, as far as is known. */
  holdsCount(series: number, timestamp: number): boolean {
    const before = this.#last[series] - timestamp
    return before >= 0 && before < WINDOW && (this.#details[series] & (1 << before)) !== 0
  }

  /** Whether a gauge was sent that is later within the same second. */
  holdsLater(series: number, timestamp: number, time: number): boolean {
    return timestamp === this.#last[series] && nanosecondsBetween(this.#details[series], time) < 0
  }

  takeGauge(series: number, timestamp: number, time: number): void {
    if (timestamp >= this.#last[series]) this.#change(series, timestamp, time)
  }

  /**
   * The second in which a count is to be sent: its own, or the next in which none was. Of seconds before the window nothing is
   * known: they are taken for free, unless every second of the window was not.
   */
  takeCount(series: number, timestamp: number): number {
    const last = this.#last[series]
    const taken = this.#details[series]
    const before = last - timestamp
    if (before < 0) {
      this.#change(series, timestamp, before > -WINDOW ? (taken << -before) | 1 : 1)
      return timestamp
    }
    if (before >= WINDOW && (taken !== ALL || before >= FARTHEST)) return timestamp
    for (let bit = Math.min(before, WINDOW - 1); bit >= 0; bit--) {
      if ((taken & (1 << bit)) !== 0) continue
      this.#change(series, last, taken | (1 << bit))
      return last - bit
    }
    this.#change(series, last + 1, (taken << 1) | 1)
    return last + 1
  }

  #change(series: number, last: number, details: number): void {
    const changed = this.#changed
    const index = changed.count++
    if (index === changed.series.length) {
      changed.series = grown(changed.series)
      changed.last = grown(changed.last)
      changed.details = grown(changed.details)
    }
    changed.series[index] = series
    changed.last[index] = this.#last[series]
    changed.details[index] = this.#details[series]
    this.#last[series] = last
    this.#details[series] = details
  }
}
