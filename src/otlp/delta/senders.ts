import { addDistributions } from '../metrics/distributions.ts'
import { bytesOf, countedFromZero, differenceOf, isRearranged, pointOf, remembered } from './difference.ts'
import type { CumulativePoint, Remembered } from './difference.ts'
import { addValues } from '../metrics/number_values.ts'
import type { DataPoint } from '../metrics/points.ts'

/** The points of a sender with one start. */
export interface Run {
  readonly last: Remembered
  /** The count before the first of them; `undefined`: nothing. */
  readonly base: Remembered | undefined
}

/** Its runs, the one with the last point first. There are several if it computes its start again and again. */
interface Sender {
  readonly runs: readonly Run[]
  /** Whether it had more starts than are remembered, so that an earlier one says nothing. */
  readonly wavers: boolean
}

/** Why a point is not passed on. */
type Withheld =
  'first_value' | 'counter_reset' | 'out_of_order' | 'duplicate_timestamp' | 'several_writers' | 'too_many_series'

export interface Step {
  /** The difference, or the reason why there is none; `later`: the next point will count this one, or give it up. */
  readonly result: DataPoint | Withheld | 'later'
  /** Why a point that was to be counted later is not counted. */
  readonly givenUp?: Withheld
}

export interface SenderRules {
  /** Whether nothing of a sender that began at `start` was counted before its first point, at `time`. */
  countsFromZero(start: bigint, time: bigint): boolean
  /** Whether a sender that restarted or was reset is counted from zero; otherwise its first point is only a new beginning. */
  readonly countsResets: boolean
}

/** The most senders of a series, and starts of a sender, that are remembered. */
const MAX_SENDERS = 4
/** Nanoseconds of silence after which one of several senders makes room for another. */
const GONE = 300_000_000_000n
/** Bytes that the senders of a series take in addition to their points. */
const SENDERS_BYTES = 400

/**
 * The senders of a series. Usually there is one process, and each start is a restart of it. The meaning of a start, for
 * a point that follows the previous one in time:
 *
 *   after the last point        a restart: counted from zero
 *   another, no fall            a sender that computes its start again and again: one counter
 *   the same or another, fall   withheld; the next point decides:
 *     no fall since before it     one point was too low, and is given up
 *     the same start again        a reset: counted from zero
 *     an earlier start, no fall
 *     since its own last point    several senders: each is a counter of its own, and what was not counted so far is now
 *
 * A point of an earlier sender that is older than the start of the last one is only late: it counts, and decides nothing.
 */
export class Senders {
  /** The one with the last point is first. */
  list: readonly Sender[]
  /** Whether they are known to be several, and not one that restarted. */
  several = false
  /** A point that fell, until the next one shows why. */
  withheld: Remembered | undefined
  /** When the last point came of a sender that has made room for another: a sender that began before that may be the same one. */
  forgottenUntil = 0n
  /** The bytes that are counted for it. */
  counted = 0

  /** One sender, which sent the given point last. */
  constructor(last: Remembered) {
    this.list = [{ runs: [{ last, base: undefined }], wavers: false }]
  }

  /** The last point. */
  get last(): Remembered {
    return this.list[0].runs[0].last
  }

  /** Replaces an earlier point by the last one. */
  set last(last: Remembered) {
    const [{ runs, wavers }, ...others] = this.list
    this.list = [{ runs: [{ ...runs[0], last }, ...runs.slice(1)], wavers }, ...others]
  }

  /** Whether there is nothing to remember but the last point. */
  get isOne(): boolean {
    const [{ runs, wavers }, ...others] = this.list
    return others.length === 0 && runs.length === 1 && !wavers && this.withheld === undefined
  }

  /** Counts the bytes that it takes; returns how many more these are than the last time. */
  count(): number {
    const points = this.list.flatMap(({ runs }) => runs.flatMap(({ last, base }) => [last, base ?? []].flat()))
    const bytes = [...points, this.withheld ?? []].flat().reduce((sum, point) => sum + bytesOf(point), SENDERS_BYTES)
    const more = bytes - this.counted
    this.counted = bytes
    return more
  }

  /** Takes the next point of the series. */
  follow(point: CumulativePoint, rules: SenderRules): Step {
    const { startTimeUnixNano, timeUnixNano: time } = point
    // An unknown start says nothing: the point belongs to the sender of the previous one.
    const start = startTimeUnixNano === 0n ? (this.withheld ?? this.last).startTimeUnixNano : startTimeUnixNano
    const sender = this.list.find(({ runs }) => runs.some(({ last }) => last.startTimeUnixNano === start))
    const before = this.#lastTime(start, sender)
    const next = { point, start, time, rules }
    if (before >= time) return { result: before === time ? 'duplicate_timestamp' : 'out_of_order' }
    if (!this.several && sender !== undefined && sender !== this.list[0] && time <= this.last.startTimeUnixNano) {
      return { result: this.#ofOneBefore(point, start, sender) ?? 'out_of_order' }
    }
    if (this.withheld !== undefined) return this.#decide(next, this.withheld, sender)
    const result = sender === undefined ? this.#ofUnknownStart(next) : this.#ofKnownStart(next, sender)
    if (result !== undefined) return { result }
    if (sender !== undefined && isRearranged(sender.runs[0].last, point)) {
      this.list = [goneOn(sender, point, start), ...this.list.filter((one) => one !== sender)]
      return { result: 'counter_reset' }
    }
    return this.several ? { result: this.#resetTo(next) } : this.#withhold(next)
  }

  /** The time of the point that any point with this start has to follow. */
  #lastTime(start: bigint, sender: Sender | undefined): bigint {
    const { withheld } = this
    if (withheld !== undefined && (sender === undefined || withheld.startTimeUnixNano === start)) {
      return withheld.timeUnixNano
    }
    return lastTime(sender ?? this.list[0])
  }

  /** Explains the point that fell, now that another point has come. */
  #decide(next: Next, withheld: Remembered, sender: Sender | undefined): Step {
    const { point, start, rules } = next
    const given: Pick<Step, 'givenUp'> = rules.countsResets ? { givenUp: 'counter_reset' } : {}
    const onward = differenceOf(withheld, point)
    this.withheld = undefined
    if (start === withheld.startTimeUnixNano) {
      // It continues from before the fall, so that one point alone was too low: a figure of the kernel that is
      // corrected, or a point of another sender with this very start.
      const counted = differenceOf(this.last, point)
      if (counted !== undefined) return { result: this.#goOn(next, counted), ...given }
    } else if (sender !== undefined) {
      const counted = this.#ofKnownStart(next, sender)
      if (counted !== undefined) return this.#alsoCount(counted, withheld, rules)
    } else {
      const result = this.#ofUnknownStart(next)
      if (result !== undefined) return { result, ...given }
    }
    if (onward === undefined) return { ...this.#withhold(next), ...given }
    const result = this.#resetTo(next)
    return { result: rules.countsResets ? result : onward }
  }

  /** The last sender goes on, whatever its start is. */
  #goOn(next: Next, counted: DataPoint): DataPoint {
    const [sender, ...others] = this.list
    if (sender.runs.every(({ last }) => last.startTimeUnixNano !== next.start)) return this.#waver(next, counted)
    this.list = [goneOn(sender, next.point, next.start), ...others]
    return counted
  }

  /** The withheld point belonged to another sender, because the sender of the previous one goes on. */
  #alsoCount(result: DataPoint, withheld: Remembered, rules: SenderRules): Step {
    const { startTimeUnixNano: start, timeUnixNano: time } = withheld
    this.several = true
    const [first, ...others] = this.list
    this.#keep([first, senderOf(withheld), ...others])
    if (!rules.countsResets) return { result }
    return rules.countsFromZero(start, time) ? { result: plus(result, withheld) } : { result, givenUp: 'first_value' }
  }

  /** A late point of a sender that has restarted since; it says nothing about the point after it. `undefined`: a part of it fell. */
  #ofOneBefore(point: CumulativePoint, start: bigint, sender: Sender): DataPoint | undefined {
    const counted = differenceOf(sender.runs[0].last, point)
    if (counted === undefined) return undefined
    const next = goneOn(sender, point, start)
    this.list = this.list.map((one) => (one === sender ? next : one))
    return counted
  }

  /** `undefined`: a part of it fell. */
  #ofKnownStart(next: Next, sender: Sender): DataPoint | undefined {
    const { point, start, time } = next
    const [latest] = sender.runs
    const run = sender.runs.find(({ last }) => last.startTimeUnixNano === start) as Run
    const counted = differenceOf(latest.last, point)
    if (counted !== undefined) {
      // A sender that restarted sends nothing more with the previous start.
      if (sender !== this.list[0]) this.several = true
      this.list = [goneOn(sender, point, start), ...this.list.filter((one) => one !== sender)]
      return counted
    }
    const alone = run === latest ? undefined : this.#split(next, sender, run)
    if (alone !== undefined) return alone
    if (this.several || sender === this.list[0]) return undefined
    const wavering = time > this.last.timeUnixNano ? differenceOf(this.last, point) : undefined
    if (wavering === undefined) return undefined
    this.list = this.list.filter((one) => one !== sender)
    return this.#waver(next, wavering)
  }

  /** The runs of a sender turn out to be senders of their own: increases that one counter for all could not count are counted now. */
  #split({ point, start }: Next, sender: Sender, run: Run): DataPoint | undefined {
    const counted = differenceOf(run.last, point)
    if (counted === undefined) return undefined
    const [latest, ...earlier] = sender.runs
    // The counted part was the latest value less the base of the first.
    let missing = earlier.map(({ last }) => last).reduce(sum)
    for (const { base } of [latest, ...earlier]) if (base !== undefined) missing = less(missing, base)
    this.several = true
    const own = sender.runs.filter((one) => one !== run).map(({ last }) => senderOf(last))
    const others = this.list.filter((one) => one !== sender)
    this.#keep([senderOf(remembered(point, start, run.last)), ...own, ...others])
    return plus(counted, missing)
  }

  /** `undefined`: a part of it fell. */
  #ofUnknownStart(next: Next): DataPoint | Withheld | undefined {
    if (next.start <= this.forgottenUntil) this.several = true
    const restarted = this.#restart(next)
    if (restarted !== undefined) return restarted
    const counted = differenceOf(this.last, next.point)
    return counted && this.#waver(next, counted)
  }

  /** The first point of a sender that was not there before; `undefined`: its start says that it was. */
  #restart(next: Next): DataPoint | Withheld | undefined {
    const { start, time, rules } = next
    // A start after its own point comes from a clock that was set.
    if (start > time) return undefined
    if (start === time) return this.#begin(next, rules.countsFromZero(start, time) ? undefined : 'counter_reset')
    if (!this.several) return start > this.last.timeUnixNano ? this.#begin(next, undefined) : undefined
    if (this.list.length === MAX_SENDERS) {
      const oldest = this.list.reduce((left, right) => (lastTime(right) < lastTime(left) ? right : left))
      if (time - lastTime(oldest) < GONE) return 'several_writers'
      this.#keep([...this.list.filter((one) => one !== oldest), oldest], MAX_SENDERS - 1)
    }
    const wasWatched = this.list.some((one) => lastTime(one) < start)
    const isNew = start > this.forgottenUntil && (wasWatched || rules.countsFromZero(start, time))
    return this.#begin(next, isNew ? undefined : 'first_value')
  }

  /** `reason`: why the first point of a sender is not counted. */
  #begin({ point, start, rules }: Next, reason: Withheld | undefined): DataPoint | Withheld {
    this.#keep([senderOf(remembered(point, start, undefined)), ...this.list])
    if (reason !== undefined) return reason
    return rules.countsResets ? countedFromZero(undefined, point) : 'counter_reset'
  }

  /** The last sender has another start, and goes on. */
  #waver({ point, start, time, rules }: Next, counted: DataPoint): DataPoint {
    const [{ runs, wavers }, ...others] = this.list
    const last = remembered(point, start, runs[0].last)
    const sender =
      wavers || runs.length === MAX_SENDERS
        ? { runs: [{ last, base: undefined }], wavers: true }
        : { runs: [{ last, base: rules.countsFromZero(start, time) ? undefined : last }, ...runs], wavers }
    this.list = [sender, ...others]
    return counted
  }

  /** The point counts from zero; the earlier points with its start belong to another count. */
  #resetTo({ point, start, rules }: Next): DataPoint | Withheld {
    const own = this.list.flatMap(({ runs }) => runs).find(({ last }) => last.startTimeUnixNano === start)
    const previous = own?.last ?? this.last
    const others = this.list
      .map(({ runs, wavers }) => ({ runs: runs.filter(({ last }) => last.startTimeUnixNano !== start), wavers }))
      .filter(({ runs }) => runs.length > 0)
    const list = [senderOf(remembered(point, start, undefined)), ...others]
    // If a sender gives another start each time, its runs before its resets are not senders that could return.
    if (this.several) this.#keep(list)
    else this.list = list.slice(0, MAX_SENDERS)
    return rules.countsResets ? countedFromZero(previous, point) : 'counter_reset'
  }

  /** Remembers the first of these senders. */
  #keep(list: readonly Sender[], most = MAX_SENDERS): void {
    this.list = list.slice(0, most)
    for (const sender of list.slice(most)) {
      if (lastTime(sender) > this.forgottenUntil) this.forgottenUntil = lastTime(sender)
    }
  }

  #withhold({ point, start, rules }: Next): Step {
    this.withheld = remembered(point, start, undefined)
    return { result: rules.countsResets ? 'later' : 'counter_reset' }
  }
}

/** A point to be counted, with its effective start. */
interface Next {
  readonly point: CumulativePoint
  readonly start: bigint
  readonly time: bigint
  readonly rules: SenderRules
}

function senderOf(last: Remembered): Sender {
  return { runs: [{ last, base: undefined }], wavers: false }
}

/** The sender after another of its points, whose start is that of one of its runs. */
function goneOn(sender: Sender, point: CumulativePoint, start: bigint): Sender {
  const run = sender.runs.find(({ last }) => last.startTimeUnixNano === start) as Run
  const last = remembered(point, start, sender.runs[0].last)
  return { ...sender, runs: [{ ...run, last }, ...sender.runs.filter((one) => one !== run)] }
}

function lastTime({ runs }: Sender): bigint {
  return runs[0].last.timeUnixNano
}

/** A difference, together with the count of another sender. */
function plus(difference: DataPoint, also: Remembered): DataPoint {
  const added = pointOf(also)
  if (difference.kind === 'number' && added.kind === 'number') return difference.with(addValues(difference, added))
  return addDistributions(added, difference) ?? difference
}

function sum(left: Remembered, right: Remembered): Remembered {
  return plus(pointOf(left), right)
}

/** Nothing if it would be less than that. */
function less(left: Remembered, base: Remembered): Remembered {
  return (differenceOf(base, pointOf(left)) ?? differenceOf(left, pointOf(left))) as CumulativePoint
}
