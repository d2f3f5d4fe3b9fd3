interface Exports {
  /** The time of the export that came last, and that of the one before it; nanoseconds since 1970. */
  latest: bigint
  previous: bigint
  /** Between the two. */
  interval: bigint
  /** How many came at such an interval, one after the other. */
  count: number
  /** The starts of series that were known, the one that came last first: those of the processes that export the metric. */
  starts: readonly bigint[]
  /** Whether a series of the metric was forgotten, so that one that seems to be new may have been there before. */
  forgot: boolean
}

/** Starts of a metric that are remembered. */
const MAX_STARTS = 4
/** Exports of a metric after which a series that was in none of those before the last must be new. */
const ENOUGH = 3
/** Nanoseconds below which a time is never another export: the interval is not known from the beginning. */
const SHORTEST = 500_000_000n

/**
 * When metrics were exported, by their numbers: the times of their points. Times less than half an interval apart are one
 * export, because some senders split an export over several requests, or give each instrument a time of its own. Where an
 * interval is more than twice the one before, that was no interval, but within one export.
 */
export class ExportTimes {
  readonly #exports = new Map<number, Exports>()

  /** Notes the latest time of the points that came together. */
  note(metric: number, time: bigint): void {
    const exports = this.#exports.get(metric)
    if (exports === undefined) {
      this.#exports.set(metric, { latest: time, previous: 0n, interval: 0n, count: 1, starts: [], forgot: false })
      return
    }
    const interval = time - exports.latest
    if (interval < SHORTEST || interval * 2n < exports.interval) return
    exports.count = interval > exports.interval * 2n ? 2 : exports.count + 1
    exports.interval = interval
    exports.previous = exports.latest
    exports.latest = time
  }

  /** Notes the start of a series that was known before. */
  noteStart(metric: number, start: bigint): void {
    const exports = this.#exports.get(metric)
    if (exports === undefined || exports.starts[0] === start) return
    exports.starts = [start, ...exports.starts.filter((other) => other !== start)].slice(0, MAX_STARTS)
  }

  /** The start that was noted last. */
  lastStart(metric: number): bigint | undefined {
    return this.#exports.get(metric)?.starts[0]
  }

  /** Notes that a series of the metric is not remembered any more, or was not to begin with. */
  forgot(metric: number): void {
    const exports = this.#exports.get(metric)
    if (exports !== undefined) exports.forgot = true
  }

  /**
   * The time of the last export that is complete, where a series whose first point has this start and time was in neither that
   * nor the one before, although its process exported the metric; otherwise `undefined`. Who started before that and is
   * not known may have exported it elsewhere.
   */
  lastWithout(metric: number, start: bigint, time: bigint): bigint | undefined {
    const exports = this.#exports.get(metric)
    if (exports === undefined || exports.forgot || exports.count < ENOUGH) return undefined
    // A point of an earlier export that comes late.
    if ((exports.latest - time) * 2n >= exports.interval) return undefined
    return start > exports.previous || exports.starts.includes(start) ? exports.previous : undefined
  }

  /** Forgets the metrics that are not among these. */
  keep(metrics: ReadonlySet<number>): void {
    for (const metric of this.#exports.keys()) if (!metrics.has(metric)) this.#exports.delete(metric)
  }
}
