interface Exports {
  /** The times of the last export and of the one before it; nanoseconds since 1970. */
  latest: bigint
  previous: bigint
  /** The time between the two. */
  interval: bigint
  /** How many exports came at this interval, one after the other. */
  count: number
  /** The starts of known series, the last one first: those of the processes that export the metric. */
  starts: readonly bigint[]
  /** Whether a series of the metric was forgotten, so that one that seems new may be an old one. */
  forgot: boolean
}

/** The most starts of a metric that are remembered. */
const MAX_STARTS = 4
/** Exports of a metric after which a series that was in none of them before the last must be new. */
const ENOUGH = 3
/** Nanoseconds below which a time never counts as another export, because the interval is not known at the beginning. */
const SHORTEST = 500_000_000n

/**
 * When metrics were exported, by their numbers, from the times of their points. Times less than half an interval apart
 * count as one export, because some senders split an export over several requests, or give each instrument a time of
 * its own. If an interval is more than twice the one before, the earlier one was within one export.
 */
export class ExportTimes {
  readonly #exports = new Map<number, Exports>()

  /** Notes the latest time of points that came together. */
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

  /** Notes that a series of the metric is no longer remembered, or never was. */
  forgot(metric: number): void {
    const exports = this.#exports.get(metric)
    if (exports !== undefined) exports.forgot = true
  }

  /**
   * The time of the last complete export, if a series whose first point has this start and time was in neither that
   * export nor the one before, although its process exported the metric; otherwise `undefined`. A process that started
   * before that and is not known may have exported the series elsewhere.
   */
  lastWithout(metric: number, start: bigint, time: bigint): bigint | undefined {
    const exports = this.#exports.get(metric)
    if (exports === undefined || exports.forgot || exports.count < ENOUGH) return undefined
    // A late point of an earlier export.
    if ((exports.latest - time) * 2n >= exports.interval) return undefined
    return start > exports.previous || exports.starts.includes(start) ? exports.previous : undefined
  }

  /** Forgets the metrics that are not among these. */
  keep(metrics: ReadonlySet<number>): void {
    for (const metric of this.#exports.keys()) if (!metrics.has(metric)) this.#exports.delete(metric)
  }
}
