import { doubled } from '../otlp/wire/bytes_index.ts'
import { RememberedBytes } from '../otlp/common/remembered_bytes.ts'

/** The number of last seconds of every series for which it is known whether a count was sent in them. */
const WINDOW = 32
/** The same for a shared series: more than the hour beyond which Datadog accepts nothing. */
const SHARED_WINDOW = 4096
/** The most seconds by which a count is sent ahead of the newest one of its series. Datadog accepts nothing ten minutes ahead. */
const FARTHEST = 300
/** The last seconds of a shared series that a checkpoint writes. */
const RECENT = 64
/** The most shared series, and the bytes of each. */
const MAX_SHARED = 100_000
const SHARED_BYTES = 700

/** The seconds in which values of a shared series were sent: one that several sources feed, or one with more than one value a second. */
class SharedSeconds {
  readonly #sent = new Int32Array(SHARED_WINDOW / 32)
  /** The last second in which a value was sent. */
  last = -Infinity
  /** The newest second that a value had by itself. */
  newest = -Infinity

  /** @param since nothing is known of the seconds before it */
  constructor(
    readonly since: number,
    readonly isCount: boolean,
  ) {}

  has(second: number): boolean {
    if (second > this.last || second <= this.last - SHARED_WINDOW) return false
    const place = second % SHARED_WINDOW
    return (this.#sent[place >> 5] & (1 << (place & 31))) !== 0
  }

  /** Whether a value was sent in the second, or may have been. */
  mayHave(second: number): boolean {
    return this.has(second) || (second < this.since && second > this.last - SHARED_WINDOW)
  }

  /** The first second after `second`, up to `end`, in which certainly no value was sent. */
  free(second: number, end: number): number | undefined {
    for (let next = Math.max(second + 1, this.since); next <= end; next++) if (!this.has(next)) return next
    return undefined
  }

  add(second: number): void {
    if (second <= this.last - SHARED_WINDOW) return
    if (second - this.last >= SHARED_WINDOW) this.#sent.fill(0)
    else for (let between = this.last + 1; between < second; between++) this.delete(between)
    this.last = Math.max(this.last, second)
    const place = second % SHARED_WINDOW
    this.#sent[place >> 5] |= 1 << (place & 31)
  }

  delete(second: number): void {
    const place = second % SHARED_WINDOW
    this.#sent[place >> 5] &= ~(1 << (place & 31))
  }
}

/**
 * Remembers the seconds in which values were last sent, because Datadog keeps one value a second of each series, the
 * last one to arrive, even across requests.
 */
export class SentSeconds {
  /** By series: the last second since 1970 in which a value was sent; Infinity if `#shared` knows more. */
  #last = new Float64Array(64)
  /** For a count: a bit for each second of the window, the last second lowest. For a gauge: its time, as in `Samples`. */
  #details = new Int32Array(64)
  readonly #shared = new Map<number, SharedSeconds>()
  /** The memory of series before the last batch changed it, in the order of the changes. */
  #changed = { series: new Int32Array(64), last: new Float64Array(64), details: new Int32Array(64), count: 0 }
  /** The seconds of shared series that the last batch took, and those of every batch: a series, then a second. */
  #taken: number[] = []
  readonly #takenBy = new WeakMap<object, readonly number[]>()
  /** Holds the last batch only. */
  #lastBatch = new WeakSet<object>()

  /** @param certain called with each second in which a count of a shared series was sent, once no part of its batch will be sent again */
  constructor(
    private readonly certain: (series: number, second: number) => void = () => undefined,
    private readonly remembered = new RememberedBytes(),
  ) {}

  /** If the last batch comes again, it takes the same seconds again. */
  begin(batch: object): void {
    if (this.#lastBatch.has(batch)) this.#undo()
    this.#changed.count = 0
    this.#taken = []
    // A WeakRef would keep every batch to the end of the task.
    this.#lastBatch = new WeakSet([batch])
  }

  /** The batch has taken its seconds; those of `passing` are no longer known when it is delivered. */
  end(batch: object, passing: ReadonlySet<number> = new Set()): void {
    const lasting =
      passing.size === 0 ? this.#taken : this.#taken.filter((_, index) => !passing.has(this.#taken[index & ~1]))
    if (lasting.length > 0) this.#takenBy.set(batch, lasting)
  }

  /** Nothing is known of the series. */
  forget(series: number): void {
    while (series >= this.#last.length) {
      this.#last = doubled(this.#last)
      this.#details = doubled(this.#details)
    }
    this.#last[series] = -Infinity
    this.#details[series] = 0
    this.#forgetShared(series)
  }

  /** Takes the second for a count; `false` if one was sent in it: then `move` finds another. */
  takeCount(series: number, second: number): boolean {
    const before = this.#last[series] - second
    if (before < 0) {
      this.#change(series, second, before > -WINDOW ? (this.#details[series] << -before) | 1 : 1)
      return true
    }
    return this.#takeEarlier(series, second, before)
  }

  #takeEarlier(series: number, second: number, before: number): boolean {
    const shared = this.#shared.get(series)
    if (shared !== undefined) {
      shared.newest = Math.max(shared.newest, second)
      if (shared.mayHave(second)) return false
      this.#take(series, shared, second)
      return true
    }
    // A single source that sends late has most likely not sent in that second before.
    if (before >= WINDOW) return true
    const taken = this.#details[series]
    if ((taken & (1 << before)) !== 0) return false
    this.#change(series, second + before, taken | (1 << before))
    return true
  }

  /**
   * The second for a count whose own is taken: the nearest later one in which none was sent, or `target`, the nearest
   * later one for which the batch already has a count of the series (Infinity: none), to which it is to be added. Only
   * without a target may it be a second after all others; NaN if that would be too far ahead.
   */
  move(series: number, second: number, target: number): number {
    const shared = this.#shared.get(series) ?? this.share(series, true)
    const free = shared.free(second, Math.min(shared.last, second + FARTHEST, target - 1))
    const place = free ?? Math.min(target, Math.max(shared.last, second) + 1)
    if (place >= target) return target
    if (place > shared.newest + FARTHEST) return NaN
    this.#take(series, shared, place)
    return place
  }

  /** Whether a value may have been sent in the second. */
  mayHold(series: number, second: number): boolean {
    return second <= this.#last[series]
  }

  /** Whether a gauge was sent in the second, as far as is known. */
  holdsGauge(series: number, second: number): boolean {
    return this.#shared.get(series)?.has(second) ?? second === this.#last[series]
  }

  /** Whether a gauge of `time` may be sent in a second that has one of the same source: it must not be older than that. */
  isNewest(series: number, second: number, time: number): boolean {
    return second === this.#lastOf(series) && nanosecondsBetween(this.#details[series], time) >= 0
  }

  takeGauge(series: number, second: number, time: number): void {
    const shared = this.#shared.get(series)
    if (second >= this.#lastOf(series)) this.#change(series, shared === undefined ? second : Infinity, time)
    if (shared !== undefined) this.#take(series, shared, second)
  }

  isShared(series: number): boolean {
    return this.#shared.has(series)
  }

  /** The series is shared: from now on its seconds are remembered for longer. */
  share(series: number, isCount: boolean): SharedSeconds {
    const known = this.#shared.get(series)
    if (known !== undefined) return known
    const last = this.#last[series]
    const shared = new SharedSeconds(last - WINDOW + 1, isCount)
    const before = new Set(isCount ? this.#secondsBefore(series) : [])
    for (const second of secondsOf(last, isCount ? this.#details[series] : 1)) {
      if (before.has(second)) this.certain(series, second)
      else this.#taken.push(series, second)
      shared.add(second)
    }
    shared.newest = last
    this.#rememberShared(series, shared)
    this.#change(series, Infinity, this.#details[series])
    return shared
  }

  /** No part of a batch will be sent any more, or again. */
  ended(batch: object): void {
    const taken = this.#takenBy.get(batch) ?? []
    for (let index = 0; index < taken.length; index += 2) {
      if (this.#shared.get(taken[index])?.isCount) this.certain(taken[index], taken[index + 1])
    }
  }

  /** The series of counts that are shared. */
  sharedCounts(): number[] {
    return Array.from(this.#shared).flatMap(([series, { isCount }]) => (isCount ? [series] : []))
  }

  /** The last seconds in which values of a shared series were sent, and the first second for which that is known. */
  recent(series: number): { readonly seconds: readonly number[]; readonly since: number } {
    const shared = this.#shared.get(series)
    if (shared === undefined) return { seconds: [], since: 0 }
    const since = Math.max(0, shared.since, shared.last - RECENT + 1)
    const seconds = Array.from({ length: shared.last - since + 1 }, (_, index) => since + index)
    return { seconds: seconds.filter((second) => shared.has(second)), since }
  }

  /** Takes over the memory of a shared series of counts from an earlier process, or another exporter. */
  restore(series: number, since: number, seconds: readonly number[]): void {
    const shared = this.#shared.get(series) ?? new SharedSeconds(since, true)
    for (const second of seconds) shared.add(second)
    shared.newest = shared.last
    this.#rememberShared(series, shared)
    this.#last[series] = Infinity
  }

  /** Replaces the series that was shared first, if there is no room. */
  #rememberShared(series: number, shared: SharedSeconds): void {
    if (this.#shared.has(series)) return
    if (this.#shared.size >= MAX_SHARED || (this.#shared.size > 0 && !this.remembered.hasRoom(SHARED_BYTES)))
      this.#unshare()
    this.#shared.set(series, shared)
    this.remembered.add(SHARED_BYTES)
  }

  #forgetShared(series: number): void {
    if (this.#shared.delete(series)) this.remembered.add(-SHARED_BYTES)
  }

  /** Reduces the memory of the series that was shared first to that of a series that is not shared. */
  #unshare(): void {
    const [[series, { last }]] = this.#shared
    this.#forgetShared(series)
    this.#last[series] = last
    this.#details[series] = 1
  }

  /** The memory of a count before this batch. */
  #secondsBefore(series: number): readonly number[] {
    const changed = this.#changed
    const index = changed.series.subarray(0, changed.count).indexOf(series)
    if (index < 0) return secondsOf(this.#last[series], this.#details[series])
    return secondsOf(changed.last[index], changed.details[index])
  }

  #lastOf(series: number): number {
    return this.#shared.get(series)?.last ?? this.#last[series]
  }

  #take(series: number, shared: SharedSeconds, second: number): void {
    shared.add(second)
    this.#taken.push(series, second)
  }

  #change(series: number, last: number, details: number): void {
    const changed = this.#changed
    const index = changed.count++
    if (index === changed.series.length) {
      changed.series = doubled(changed.series)
      changed.last = doubled(changed.last)
      changed.details = doubled(changed.details)
    }
    changed.series[index] = series
    changed.last[index] = this.#last[series]
    changed.details[index] = this.#details[series]
    this.#last[series] = last
    this.#details[series] = details
  }

  #undo(): void {
    for (let index = 0; index < this.#taken.length; index += 2) {
      this.#shared.get(this.#taken[index])?.delete(this.#taken[index + 1])
    }
    const { series, last, details, count } = this.#changed
    for (let index = count - 1; index >= 0; index--) {
      this.#last[series[index]] = last[index]
      this.#details[series[index]] = details[index]
      if (last[index] !== Infinity) this.#forgetShared(series[index])
    }
  }
}

/** The seconds of a window, one for each bit. */
function secondsOf(last: number, bits: number): number[] {
  const seconds: number[] = []
  for (let before = WINDOW - 1; before >= 0 && last !== -Infinity; before--) {
    if ((bits & (1 << before)) !== 0) seconds.push(last - before)
  }
  return seconds
}

/** From one time to another within a second; only the lower 32 bits of both are known. */
export function nanosecondsBetween(earlier: number, later: number): number {
  return (later - earlier) | 0
}
