/*
 * What cumulative points of one series should become, according to somebody who knows which process counted what. The rules are
 * those that the documentation of `cumulative_to_delta` and the head of `senders.ts` state; no code of theirs is used.
 */

/** Processes of a series that are remembered, and the nanoseconds of silence after which one of several makes room for another. */
const MAX_PROCESSES = 4
const GONE = 300n * 1_000_000_000n

/** What was counted, part by part, as whole numbers. */
export type Amounts = readonly bigint[]

export const plus = (left: Amounts, right: Amounts): Amounts => left.map((amount, part) => amount + right[part])
const minus = (left: Amounts, right: Amounts): Amounts => left.map((amount, part) => amount - right[part])

/** A cumulative point, and what only its sender knows. */
export interface Said {
  /** Which process says it. Later processes have higher numbers. */
  readonly process: number
  /** Which of its counters: another one after each reset. */
  readonly run: number
  /** Which of the points of its run: the amounts of a later one are never less. */
  readonly order: number
  /** Nanoseconds; 0 where the process does not know its start. */
  readonly start: bigint
  readonly time: bigint
  readonly amounts: Amounts
}

export interface Rules {
  readonly initialValue: 'auto' | 'keep' | 'drop'
  /** Under `auto`, whoever started after this is counted from zero. */
  readonly watchedSince: bigint
  /** How many of the amounts can only grow; these come first. */
  readonly growing: number
  /** Whether the points have quantiles, for which they go on although their amounts do not. */
  readonly summary: boolean
}

interface Run {
  /** The last point that was taken. */
  taken?: Said
  /** Points that were dropped, and why. */
  readonly open: { readonly said: Said; readonly reason: string }[]
}

/**
 * The balance of a series. Each amount that a process reported arrives, or stands under exactly one reason:
 *
 *   first_value, counter_reset   all that a run had counted until the point from which it goes on
 *   counter_reset of a point that was given up, out_of_order, duplicate_timestamp, several_writers, too_many_series
 *                                what the point was the first to say of its run, until a later one of that run is taken
 *   withheld                     all that a run had counted until the point that fell, until the next point decides
 */
export class Balance {
  arrived: Amounts
  /** Points that were dropped, by reason. */
  dropped: Record<string, number> = {}
  /** Points that were withheld, and those that were given up after that. */
  merged = 0
  created = 0
  protected withheld: Said | undefined
  protected readonly countsResets: boolean
  readonly #nothing: Amounts
  readonly #runs = new Map<number, Run>()
  readonly #bases: { readonly reason: string; readonly amounts: Amounts }[] = []

  constructor(
    protected readonly rules: Rules,
    parts: number,
  ) {
    this.arrived = this.#nothing = Array<bigint>(parts).fill(0n)
    this.countsResets = rules.initialValue !== 'drop'
  }

  /** What stands under each reason. */
  standing(): ReadonlyMap<string, Amounts> {
    const standing = new Map<string, Amounts>()
    const add = (reason: string, amounts: Amounts): void => {
      standing.set(reason, plus(standing.get(reason) ?? this.#nothing, amounts))
    }
    for (const { reason, amounts } of this.#bases) add(reason, amounts)
    for (const [number, { taken, open }] of this.#runs) {
      let before = taken?.amounts ?? this.#nothing
      const withheld = this.withheld?.run === number ? [{ said: this.withheld, reason: 'withheld' }] : []
      for (const { said, reason } of [...open, ...withheld].sort((left, right) => left.said.order - right.said.order)) {
        if (taken !== undefined && said.order <= taken.order) continue
        add(reason, minus(said.amounts, before))
        before = said.amounts
      }
    }
    return standing
  }

  protected drop(reason: string, said: Said): void {
    this.#count(reason)
    this.#run(said).open.push({ said, reason })
  }

  /** The run goes on. */
  protected goOn(said: Said): void {
    const run = this.#run(said)
    this.arrived = plus(this.arrived, minus(said.amounts, run.taken?.amounts ?? this.#nothing))
    run.taken = said
  }

  /** What the run has counted until now does not arrive. */
  protected base(reason: 'first_value' | 'counter_reset', said: Said): void {
    this.#count(reason)
    const run = this.#run(said)
    this.#bases.push({ reason, amounts: minus(said.amounts, run.taken?.amounts ?? this.#nothing) })
    run.taken = said
  }

  protected withhold(said: Said): void {
    this.withheld = said
    if (!this.countsResets) this.base('counter_reset', said)
    else if (!this.rules.summary) this.merged++
  }

  protected giveUp(): void {
    const { withheld } = this
    this.withheld = undefined
    if (withheld === undefined || !this.countsResets) return
    this.#run(withheld).open.push({ said: withheld, reason: 'counter_reset' })
    if (this.rules.summary) return
    this.created++
    this.#count('counter_reset')
  }

  protected countsFromZero({ start, time }: Said): boolean {
    const { initialValue, watchedSince } = this.rules
    return initialValue === 'keep' || (initialValue === 'auto' && start > watchedSince && start < time)
  }

  /** Whether a point is so low that it must have fallen, whatever its parts are. */
  protected falls(from: Said, to: Said): boolean {
    const total = ({ amounts }: Said): bigint =>
      amounts.slice(0, this.rules.growing).reduce((left, right) => left + right)
    return total(to) < total(from)
  }

  /** Whether a later point of its run was taken before it. */
  protected isOvertaken(said: Said): boolean {
    const { taken } = this.#run(said)
    return [taken, this.withheld].some((one) => one?.run === said.run && one.order > said.order)
  }

  #run({ run }: Said): Run {
    let known = this.#runs.get(run)
    if (known === undefined) this.#runs.set(run, (known = { open: [] }))
    return known
  }

  #count(reason: string): void {
    // A summary goes on for its quantiles.
    if (this.rules.summary && !DROPS_SUMMARIES.has(reason)) return
    this.dropped[reason] = (this.dropped[reason] ?? 0) + 1
  }
}

/** Why not even the quantiles of a summary go on. */
const DROPS_SUMMARIES = new Set(['out_of_order', 'duplicate_timestamp', 'too_many_series'])

/** A series that is one too many. */
export class Refused extends Balance {
  isClear(): boolean {
    return true
  }

  take(said: Said): void {
    this.drop('too_many_series', said)
  }
}

/** A series of one process at a time, which may say another start with each point, or none. */
export class OneProcess extends Balance {
  /** The latest point that was taken. */
  #latest: Said | undefined
  /** By process. */
  readonly #last = new Map<number, Said>()
  /** By start, the process that said it. */
  readonly #processes = new Map<bigint, number>()

  /**
   * Whether anybody who sees only starts, times and amounts can tell what the point is. Nobody can where
   *   - a counter began again, but is not less than before and does not say a start after the last point;
   *   - a counter goes on, but says such a start, or what was counted later arrived with an earlier time;
   *   - the second point after a reset has reached what was counted before;
   *   - a point comes after a restart, of the process before, but with a time after the start of the next;
   *   - two processes say the very same start.
   */
  isClear(seen: Said): boolean {
    const said = this.#withStart(seen)
    const { withheld } = this
    const latest = this.#latest
    if (latest === undefined || this.#late(said) !== undefined) return true
    if (this.isOvertaken(said) || (this.#processes.get(said.start) ?? said.process) !== said.process) return false
    if (said.process < latest.process) {
      return said.time <= latest.start && this.#last.get(said.process)?.run === said.run
    }
    const before = withheld ?? latest
    if (this.#restarts(said, latest)) return said.process !== latest.process && said.process !== before.process
    if (before.run !== said.run) return this.falls(before, said) && this.falls(latest, said)
    return withheld === undefined || this.falls(latest, said)
  }

  take(seen: Said): void {
    const said = this.#withStart(seen)
    const latest = this.#latest
    const late = this.#late(said)
    if (late !== undefined) return this.drop(late, said)
    if (latest === undefined) {
      if (this.countsFromZero(said)) this.goOn(said)
      else this.base('first_value', said)
    } else if (said.process < latest.process) this.goOn(said)
    else if (this.#restarts(said, latest)) {
      this.giveUp()
      const unknown = said.start === said.time && !this.countsFromZero(said)
      if (unknown || !this.countsResets) this.base('counter_reset', said)
      else this.goOn(said)
    } else {
      const before = this.withheld ?? latest
      if (before.run !== said.run) {
        this.giveUp()
        return this.withhold(said)
      }
      this.withheld = undefined
      this.goOn(said)
    }
    if (latest === undefined || said.process >= latest.process) this.#latest = said
    this.#last.set(said.process, said)
    if (this.#last.size > MAX_PROCESSES) this.#last.delete(Math.min(...this.#last.keys()))
    this.#processes.set(said.start, said.process)
    // A start that lies after its point is known again when its time has come.
    if (seen.start > seen.time) this.#processes.set(seen.start, said.process)
  }

  /** A start that is not known, or lies after its point, is as that of the point before. */
  #withStart(said: Said): Said {
    const { start, time } = said
    return start === 0n || start > time ? { ...said, start: (this.withheld ?? this.#latest)?.start ?? 0n } : said
  }

  /** Why the point comes too late. A process is known again by its start; one that is not is held against what came last. */
  #late(said: Said): 'out_of_order' | 'duplicate_timestamp' | undefined {
    const { withheld } = this
    const process = this.#processes.get(said.start)
    const known = process === undefined ? undefined : this.#last.get(process)
    const isOfWithheld = withheld !== undefined && (known === undefined || withheld.start === said.start)
    const before = isOfWithheld ? withheld : (known ?? this.#latest)
    if (before === undefined || before.time < said.time) return undefined
    return before.time === said.time ? 'duplicate_timestamp' : 'out_of_order'
  }

  #restarts({ start, time }: Said, latest: Said): boolean {
    return !this.#processes.has(start) && (start > latest.time || start === time)
  }
}

/** A series of several processes at a time, each with a start of its own. */
export class SeveralProcesses extends Balance {
  #areKnown = false
  /** The point that was taken last. */
  #latest: Said | undefined
  /** By start, the last point that was taken. */
  readonly #last = new Map<bigint, Said>()
  /** When the last point came of a process that has made room for another, which may come back. */
  #forgottenUntil = 0n

  /** From now on anybody can know that they are several: one has gone on after a point of another that was less. */
  know(): void {
    if (this.#areKnown) return
    this.#areKnown = true
    this.dropped = {}
  }

  /** Whether anybody who sees only starts, times and amounts can tell what the point is: not where a reset did not make it less. */
  isClear(said: Said): boolean {
    const own = this.#last.get(said.start)
    if (own === undefined || own.time >= said.time) return true
    return !this.isOvertaken(said) && (own.run === said.run || this.falls(own, said))
  }

  take(said: Said): void {
    const own = this.#last.get(said.start)
    const before = own ?? this.#latest
    if (before !== undefined && before.time >= said.time) {
      return this.drop(before.time === said.time ? 'duplicate_timestamp' : 'out_of_order', said)
    }
    if (own?.run === said.run) this.goOn(said)
    else if (own !== undefined) this.#fromZero(said)
    else {
      if (!this.#makeRoom(said)) return this.drop('several_writers', said)
      const isWatched = [...this.#last.values()].some(({ time }) => time < said.start)
      if (said.start > this.#forgottenUntil && (isWatched || this.countsFromZero(said))) this.#fromZero(said)
      else
        this.base(before === undefined || this.#areKnown || this.countsResets ? 'first_value' : 'counter_reset', said)
    }
    this.#latest = said
    this.#last.set(said.start, said)
  }

  #fromZero(said: Said): void {
    if (this.countsResets) this.goOn(said)
    else this.base('counter_reset', said)
  }

  #makeRoom({ time }: Said): boolean {
    if (this.#last.size < MAX_PROCESSES) return true
    const oldest = [...this.#last.values()].reduce((left, right) => (right.time < left.time ? right : left))
    if (time - oldest.time < GONE) return false
    if (oldest.time > this.#forgottenUntil) this.#forgottenUntil = oldest.time
    return this.#last.delete(oldest.start)
  }
}

/** A series of a metric that was exported before, which is known to be new where two exports came without it. */
export class NewSeries extends Balance {
  #isKnown = false

  constructor(
    rules: Rules,
    parts: number,
    private readonly exportsBefore: number,
  ) {
    super(rules, parts)
  }

  isClear(): boolean {
    return true
  }

  take(said: Said): void {
    if (this.#isKnown || this.exportsBefore >= 2) this.goOn(said)
    else this.base('first_value', said)
    this.#isKnown = true
  }
}
