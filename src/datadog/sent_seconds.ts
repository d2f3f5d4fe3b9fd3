import { doubled } from '../otlp/wire/bytes_index.ts'
import { RememberedBytes } from '../otlp/common/remembered_bytes.ts'

/** The last seconds of every series, for which it is known whether a count was sent in them. */
const WINDOW = 32
/** The same of a shared series: more than the hour beyond which Datadog takes nothing. */
const SHARED_WINDOW = 4096
/** Seconds that a count is sent ahead of the newest one of its series at most. Datadog takes nothing that lies ten minutes ahead. */
const FARTHEST = 300
/** The last seconds of a shared series that are told when all is told. */
const RECENT = 64
/** Shared series at most, and what each takes. */
const MAX_SHARED = 100_000
const SHARED_BYTES = 700

/** The seconds in which values of a shared series were sent: of one that several sources feed, or one more than once a second. */
class SharedSeconds {
  readonly #sent = new Int32Array(SHARED_WINDOW / 32)
  /** The last second in which a value was sent. */
  last = -Infinity
  /** The newest second that a value had by itself. */
  newest = -Infinity

  /** @param since of seconds before it nothing is known */
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

  /** The first second behind `second`, up to `end`, in which surely none was sent. */
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
 * Remembers when what was sent last, because Datadog keeps one value a second of each series, whichever comes last, also where
 * they come in different requests.
 */
export class SentSeconds {
  /** By series: the last second since 1970 in which something was sent; Infinity where `#shared` knows more. */
  #last = new Float64Array(64)
  /** Of a count: a bit for each second of the window, the last one lowest. Of a gauge: its time, as in `Samples`. */
  #details = new Int32Array(64)
  readonly #shared = new Map<number, SharedSeconds>()
  /** What was remembered of series before the last batch changed it, in the order of the changes. */
  #changed = { series: new Int32Array(64), last: new Float64Array(64), details: new Int32Array(64), count: 0 }
  /** The seconds of shared series that the last batch took, and those of every batch: a series, then a second. */
  #taken: number[] = []
  readonly #takenBy = new WeakMap<object, readonly number[]>()
  /** Holds the last batch only. */
  #lastBatch = new WeakSet<object>()

  /** @param certain told of each second in which a count of a shared series was sent, once nothing of its batch will be sent again */
  constructor(
    private readonly certain: (series: number, second: number) => void = () => undefined,
    private readonly remembered = new RememberedBytes(),
  ) {}

  /** The same batch again as the last time takes the same seconds again. */
  begin(batch: object): void {
    if (this.#lastBatch.has(batch)) this.#undo()
    this.#changed.count = 0
    this.#taken = []
    // A WeakRef would keep every batch to the end of the task.
    this.#lastBatch = new WeakSet([batch])
  }

  /** The batch has taken its seconds; those of `passing` are no longer known when it was delivered. */
  end(batch: object, passing: ReadonlySet<number> = new Set()): void {
    const lasting =
      passing.size === 0 ? this.#taken : this.#taken.filter((_, index) => !passing.has(this.#taken[index & ~1]))
    if (lasting.length > 0) this.#takenBy.set(batch, lasting)
  }

  /** Of the series nothing is known. */
  forget(series: number): void {
    while (series >= this.#last.length) {
      this.#last = doubled(this.#last)
      this.#details = doubled(this.#details)
    }
    this.#last[series] = -Infinity
    this.#details[series] = 0
    this.#forgetShared(series)
  }

  /** Takes the second for a count; `false` when one was sent in it: then `move` says where it goes. */
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
   * The second for a count whose own is taken: the nearest later one in which none was sent, or `target`, the nearest later one
   * for which the batch has a count of the series already (Infinity: none), to which it is to be added. Only without a target it
   * may be one behind all others; NaN when that would be too far ahead.
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

  /** Whether something may have been sent in the second. */
  mayHold(series: number, second: number): boolean {
    return second <= this.#last[series]
  }

  /** Whether a gauge was sent in the second, as far as is known. */
  holdsGauge(series: number, second: number): boolean {
    return this.#shared.get(series)?.has(second) ?? second === this.#last[series]
  }

  /** Whether a gauge of `time` may be sent in a second that holds one of the same source: it is not older than that. */
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

  /** The series is shared: from now on it is remembered for longer when what was sent. */
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

  /** Nothing of a batch will be sent any more, or again. */
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

  /** The last seconds in which something of a shared series was sent, and the first for which that is known. */
  recent(series: number): { readonly seconds: readonly number[]; readonly since: number } {
    const shared = this.#shared.get(series)
    if (shared === undefined) return { seconds: [], since: 0 }
    const since = Math.max(0, shared.since, shared.last - RECENT + 1)
    const seconds = Array.from({ length: shared.last - since + 1 }, (_, index) => since + index)
    return { seconds: seconds.filter((second) => shared.has(second)), since }
  }

  /** Takes over what an earlier process, or exporter, remembered of a shared series of counts. */
  restore(series: number, since: number, seconds: readonly number[]): void {
    const shared = this.#shared.get(series) ?? new SharedSeconds(since, true)
    for (const second of seconds) shared.add(second)
    shared.newest = shared.last
    this.#rememberShared(series, shared)
    this.#last[series] = Infinity
  }

  /** In the place of the one that was shared first, where there is no room. */
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

  /** Remembers of the series that was shared first no more than of one that is not. */
  #unshare(): void {
    const [[series, { last }]] = this.#shared
    this.#forgetShared(series)
    this.#last[series] = last
    this.#details[series] = 1
  }

  /** What was remembered of a count before this batch. */
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

/** The seconds of a window, of which one stands for each bit. */
function secondsOf(last: number, bits: number): number[] {
  const seconds: number[] = []
  for (let before = WINDOW - 1; before >= 0 && last !== -Infinity; before--) {
    if ((bits & (1 << before)) !== 0) seconds.push(last - before)
  }
  return seconds
}

/** From one time to another of the same second, of both of which only the lower 32 bits are known. */
export function nanosecondsBetween(earlier: number, later: number): number {
  return (later - earlier) | 0
}
