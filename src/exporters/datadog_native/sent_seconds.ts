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
    if (timestamp < this.#last[series]) return
    this.#last[series] = timestamp
    this.#details[series] = time
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
      this.#last[series] = timestamp
      this.#details[series] = before > -WINDOW ? (taken << -before) | 1 : 1
      return timestamp
    }
    if (before >= WINDOW && (taken !== ALL || before >= FARTHEST)) return timestamp
    for (let bit = Math.min(before, WINDOW - 1); bit >= 0; bit--) {
      if ((taken & (1 << bit)) !== 0) continue
      this.#details[series] = taken | (1 << bit)
      return last - bit
    }
    this.#last[series] = last + 1
    this.#details[series] = (taken << 1) | 1
    return last + 1
  }
}
