import fc from 'fast-check'
import { Attributes } from '../../src/otlp/common/attributes.ts'
import { MetricBatch } from '../../src/otlp/metrics/batch.ts'
import type { DeltaOptions } from '../../src/otlp/delta/cumulative_to_delta.ts'
import type { InitialValue } from '../../src/otlp/delta/first_values.ts'
import type { MetricFields } from '../../src/otlp/metrics/metric.ts'
import type { DataPoint } from '../../src/otlp/metrics/points.ts'
import { NewSeries, OneProcess, Refused, SeveralProcesses } from './counted.ts'
import type { Amounts, Balance, Said } from './counted.ts'
import { COUNTING_KINDS } from './counting_kinds.ts'
import type { CountingKind } from './counting_kinds.ts'

/* Random histories of counters of every kind, as requests, each with the balance that an observer should come to. */

const SECOND = 1_000_000_000n
/** Long before any test began, and long after. */
const LONG_AGO = 1_500_000_000n * SECOND
const WATCHED_SINCE = 3_000_000_000n * SECOND
const LATER = 4_000_000_000n * SECOND

/** A point on its way. */
interface Sent {
  readonly series: number
  readonly said: Said
  readonly coarse: number
  /** Whether it stands in a metric of its own in its request. */
  readonly apart: boolean
}

export interface History {
  readonly kind: CountingKind
  readonly options: DeltaOptions
  readonly requests: readonly MetricBatch[]
  /** The points of the requests, by series. */
  readonly said: ReadonlyMap<number, readonly Said[]>
  /** By series. Their reasons are those of the requests from `knownFrom` on. */
  readonly balances: ReadonlyMap<number, Balance>
  /** The request from which on it is known how many send a series; before, what is dropped may turn out not to be lost. */
  readonly knownFrom: number
  /** Whether nothing that matters is forgotten where the memory of series is taken over by another process. */
  readonly canDie: boolean
}

/** The series of a point. */
export const seriesOf = ({ attributes }: DataPoint): number => Number(attributes.get('series'))

/** Takes the points of the requests in order, but for those of which nobody could tell what they are: these are lost on the way. */
function historyOf<Kept extends Balance>(
  fields: Pick<History, 'kind' | 'options' | 'canDie'>,
  requests: readonly (readonly Sent[])[],
  { separate, knownFrom = 0 }: { separate: boolean; knownFrom?: number },
  balanceOf: (series: number, request: number) => Kept & { isClear(said: Said): boolean; take(said: Said): void },
): History {
  const said = new Map<number, Said[]>()
  const balances = new Map<number, Kept>()
  const batches = requests.map((request, number) => {
    const taken = new Set<Sent>()
    for (const sent of request.toSorted((left, right) => Number(left.said.time - right.said.time))) {
      const balance = balanceOf(sent.series, number)
      if (!balance.isClear(sent.said)) continue
      balance.take(sent.said)
      balances.set(sent.series, balance)
      said.set(sent.series, [...(said.get(sent.series) ?? []), sent.said])
      taken.add(sent)
    }
    return toBatch(
      fields.kind,
      separate,
      request.filter((sent) => taken.has(sent)),
    )
  })
  return { ...fields, requests: batches, said, balances, knownFrom }
}

/** `separate`: whether each series is a metric. */
function toBatch(kind: CountingKind, separate: boolean, request: readonly Sent[]): MetricBatch {
  const metrics: (MetricFields & { points: DataPoint[] })[] = []
  for (const { series, said, coarse, apart } of request) {
    const name = separate ? `m${series}` : 'm'
    const attributes = Attributes.of({ series })
    const point = kind.point(
      said.amounts,
      { attributes, startTimeUnixNano: said.start, timeUnixNano: said.time },
      coarse,
    )
    const last = metrics.at(-1)
    if (last?.name === name && !apart) last.points.push(point)
    else metrics.push({ ...kind.metric, name, points: [point] })
  }
  return MetricBatch.of({ resource: { 'service.name': 'shop' }, metrics })
}

const rulesOf = (kind: CountingKind, initialValue: InitialValue) => ({
  initialValue,
  watchedSince: WATCHED_SINCE,
  growing: kind.growing,
  summary: kind.metric.type === 'summary',
})

/** One value usually, each of the others now and then. */
export const often = <T>(usual: T, times: number, ...others: readonly T[]): fc.Arbitrary<T> =>
  fc.constantFrom(...Array<T>(times).fill(usual), ...others)

const kinds = fc.constantFrom(...Object.values(COUNTING_KINDS))
const initialValues = fc.constantFrom<InitialValue>('auto', 'keep', 'drop')

const PARTS = Math.max(...Object.values(COUNTING_KINDS).map(({ parts }) => parts))
const EVENTS = ['reset', 'reset', 'restart', 'restart', 'restart, start unknown', 'clock set back', 'clock set forward']
/** What one process does before it says something, and what becomes of that. */
const step = fc.record({
  series: fc.nat(1),
  /** Seconds since the step before. */
  pause: often(10, 4, 1, 45),
  counted: fc.array(fc.nat(9), { minLength: PARTS, maxLength: PARTS }),
  /** Whether it counts more than 2^53. */
  much: often(false, 9, true),
  event: often('nothing', 8, ...EVENTS),
  /** Whether it is said more roughly from now on, where that can be. */
  coarser: often(false, 5, true),
  fate: often('arrives', 7, 'arrives late', 'is lost', 'arrives twice'),
  /** Whether what is late comes with it. */
  catchesUp: fc.boolean(),
  /** Whether it comes in the request of the step before. */
  joins: often(false, 2, true),
  apart: fc.boolean(),
})
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

/** What one process counts. */
class Counter {
  readonly #kind: CountingKind
  readonly #process: number
  #run: number
  #order = 0
  #amounts: Amounts
  #coarse = 0

  constructor(kind: CountingKind, process: number) {
    this.#kind = kind
    this.#process = process
    this.#run = process * 1000
    this.#amounts = Array<bigint>(kind.parts).fill(0n)
  }

  reset(): void {
    this.#run++
    this.#amounts = this.#amounts.map(() => 0n)
    this.#coarse = 0
  }

  /** Counts, and says what it has counted; `more` of the first part than the step says. */
  say({ counted, coarser }: Step, start: bigint, time: bigint, more = 0n): Pick<Sent, 'said' | 'coarse'> {
    this.#amounts = this.#amounts.map((amount, part) => {
      // What may fall is a sum.
      const by = BigInt(part < this.#kind.growing ? counted[part] : counted[part] - 4)
      return amount + by + (part === 0 ? more : 0n)
    })
    this.#coarse = Math.min(this.#coarse + (coarser ? 1 : 0), 2)
    this.#order++
    const said = { process: this.#process, run: this.#run, order: this.#order, start, time, amounts: this.#amounts }
    return { said, coarse: this.#coarse }
  }

  get total(): bigint {
    return this.#amounts.slice(0, this.#kind.growing).reduce((left, right) => left + right)
  }
}

/** Brings what is said into requests: at once, late, twice or never. */
class Way {
  readonly requests: Sent[][] = []
  #late: Sent[] = []

  send({ fate, joins, apart, catchesUp }: Step, series: number, said: Pick<Sent, 'said' | 'coarse'>): void {
    const sent = { series, apart, ...said }
    const sendings = fate === 'arrives' ? [sent] : fate === 'arrives twice' ? [sent, { ...sent, apart: true }] : []
    if (catchesUp) sendings.push(...this.#late.splice(0))
    if (fate === 'arrives late') this.#late.push(sent)
    if (joins && this.requests.length > 0) this.requests[this.requests.length - 1].push(...sendings)
    else this.requests.push(sendings)
  }
}

const starts = fc.constantFrom('fixed', 'fixed', 'wavers', 'one of a few', 'never said')

/** A process, and those that come after it. */
class Successors {
  readonly #kind: CountingKind
  readonly #starts: string
  #process = 0
  #counter: Counter
  #points = 0
  #boot: bigint
  #now: bigint
  /** How far the clock is ahead. */
  #ahead = 0n

  constructor(kind: CountingKind, starts: string, boot: bigint) {
    this.#kind = kind
    this.#starts = starts
    this.#counter = new Counter(kind, 0)
    this.#boot = boot
    this.#now = boot + 5n * SECOND
  }

  say(step: Step): Pick<Sent, 'said' | 'coarse'> {
    const before = this.#now
    this.#now += BigInt(step.pause) * SECOND
    if (step.event === 'clock set back') this.#ahead -= 25n * SECOND
    if (step.event === 'clock set forward') this.#ahead += 3600n * SECOND
    // One that says one of a few starts says the same again after a reset, as if it were several.
    if (step.event === 'reset' && this.#starts !== 'one of a few') this.#counter.reset()
    const restarts = step.event.startsWith('restart') && this.#starts !== 'never said'
    if (restarts) {
      this.#counter = new Counter(this.#kind, ++this.#process)
      this.#boot = this.#ahead + (step.event === 'restart' ? before + SECOND / 2n : this.#now)
    }
    this.#points++
    const time = this.#now + this.#ahead
    const start = restarts && step.event !== 'restart' ? time : this.#start()
    return this.#counter.say(step, start, time, step.much && this.#kind.large ? 2n ** 54n + 1n : 0n)
  }

  /** Where it wavers it is never later than at first. */
  #start(): bigint {
    const points = this.#points
    if (this.#starts === 'never said') return 0n
    if (this.#starts === 'fixed') return this.#boot
    if (this.#starts === 'one of a few') return this.#boot - BigInt((points * points) % 3)
    return this.#boot - BigInt((points * 7_919) % 400) * 1_000_000n - BigInt(points)
  }
}

/** Up to two series, each of one process at a time. */
export const ofOneProcess: fc.Arbitrary<History> = fc
  .record({
    kind: kinds,
    initialValue: initialValues,
    separate: fc.boolean(),
    maxSeries: often(2, 3, 1),
    boot: fc.constantFrom(LONG_AGO, LATER),
    starts: fc.tuple(starts, starts),
    steps: fc.array(step, { minLength: 1, maxLength: 40, size: 'max' }),
  })
  .map(({ kind, initialValue, separate, maxSeries, boot, starts, steps }) => {
    const processes = starts.map((starts) => new Successors(kind, starts, boot))
    const way = new Way()
    for (const step of steps) way.send(step, step.series, processes[step.series].say(step))
    // Which series of one request are too many is left open.
    const first = way.requests.find((request) => request.length > 0)
    if (maxSeries === 1) first?.splice(0, Infinity, ...first.filter(({ series }) => series === first[0].series))
    const balances = new Map<number, OneProcess | Refused>()
    return historyOf(
      { kind, options: { initialValue, maxSeries, summaries: true }, canDie: true },
      way.requests,
      // In a metric of several series, those that appear later may be new under `auto`.
      { separate: separate || initialValue === 'auto' },
      (series) => {
        const Balance = balances.size < maxSeries ? OneProcess : Refused
        const balance = balances.get(series) ?? new Balance(rulesOf(kind, initialValue), kind.parts)
        balances.set(series, balance)
        return balance
      },
    )
  })

/** A series of several processes at a time. First they become known to be several; then each restarts, is reset, comes and goes. */
export const ofSeveralProcesses: fc.Arbitrary<History> = fc
  .record({
    kind: kinds,
    initialValue: initialValues,
    boot: fc.constantFrom(LONG_AGO, LATER),
    count: fc.integer({ min: 2, max: 4 }),
    /** By process, how far its clock is ahead. */
    skews: fc.array(fc.constantFrom(0n, 0n, -2n, 2n), { minLength: 40, maxLength: 40 }),
    meeting: fc.array(fc.tuple(fc.nat(100), step), { maxLength: 15 }),
    turns: fc.array(step, { minLength: 12, maxLength: 12 }),
    free: fc.array(fc.tuple(fc.nat(100), step, often('nothing', 6, 'reset', 'restarts', 'joins', 'leaves')), {
      maxLength: 30,
      size: 'max',
    }),
  })
  .map(({ kind, initialValue, boot, count, skews, meeting, turns, free }) => {
    let now = boot + 100n * SECOND
    let processes = 0
    const begin = (at: bigint) => {
      const skew = skews[processes] * SECOND
      // Nobody can tell those apart that started in the same nanosecond.
      return { skew, start: at + skew + BigInt(processes), counter: new Counter(kind, processes++) }
    }
    const alive = Array.from({ length: count }, () => begin(boot))
    const way = new Way()
    const say = ({ counter, start, skew }: (typeof alive)[number], step: Step, more = 0n): void => {
      now += BigInt(step.pause) * SECOND
      way.send(step, 0, counter.say(step, start, now + skew, more))
    }
    const sayNow = (one: (typeof alive)[number], step: Step, more = 0n): void => {
      say({ ...one, skew: 0n }, { ...step, fate: 'arrives' }, more)
    }
    if (initialValue === 'keep' || (initialValue === 'auto' && boot === LATER)) {
      for (const [which, step] of meeting) sayNow(alive[which % count], step)
      // Each has more than the next, so that every turn falls.
      alive.sort((left, right) => Number(right.counter.total - left.counter.total))
      turns.slice(0, 3 * count).forEach((step, turn) => {
        const at = turn % count
        sayNow(alive[at], step, turn < count ? BigInt(count - at) * 10_000n : 0n)
      })
    } else {
      // Where first values do not count, nobody can tell how much was counted before one that does not fall.
      sayNow(alive[0], turns[0], 100_000n)
      alive.slice(1).forEach((one, at) => {
        sayNow(one, turns[2 * at + 1])
        sayNow(alive[0], turns[2 * at + 2])
      })
    }
    const knownFrom = way.requests.push([]) - 1
    for (const [which, step, event] of free) {
      const at = which % alive.length
      if (event === 'reset') alive[at].counter.reset()
      if (event === 'restarts') alive[at] = begin(now + SECOND / 2n)
      if (event === 'leaves' && alive.length > 1) alive.splice(at, 1)
      if (event === 'joins') alive.push(begin(now + SECOND / 2n))
      say(event === 'joins' ? alive[alive.length - 1] : alive[which % alive.length], step)
    }
    const balance = new SeveralProcesses(rulesOf(kind, initialValue), kind.parts)
    const history = historyOf(
      { kind, options: { initialValue, summaries: true }, canDie: true },
      way.requests,
      { separate: true, knownFrom },
      (_series, request) => {
        if (request >= knownFrom) balance.know()
        return balance
      },
    )
    balance.know()
    return history
  })

/** Exports of one metric, whose series appear one after the other; each export may be split over requests. */
export const ofNewSeries: fc.Arbitrary<History> = fc
  .record({
    kind: kinds,
    seconds: fc.constantFrom(1, 10, 60),
    /** By series: the export that it is in first. */
    first: fc.array(fc.nat(6), { minLength: 1, maxLength: 5 }).map((all) => [0, ...all]),
    exports: fc.array(
      fc.record({
        /** In hundredths of the interval. */
        late: fc.nat(5),
        /** Milliseconds between the points of its requests. Before the interval is known, many more could be another export. */
        spread: fc.nat(25),
        requests: fc.integer({ min: 1, max: 4 }),
        /** By series, its request. */
        placed: fc.array(fc.nat(3), { minLength: 6, maxLength: 6 }),
        counted: fc.array(step, { minLength: 6, maxLength: 6 }),
      }),
      { minLength: 1, maxLength: 10, size: 'max' },
    ),
  })
  .map(({ kind, seconds, first, exports }) => {
    const interval = BigInt(seconds) * SECOND
    const counters = first.map((_, series) => new Counter(kind, series))
    const requests = exports.flatMap(({ late, spread, requests, placed, counted }, number) => {
      const split = Array.from({ length: requests }, (): Sent[] => [])
      const time = LONG_AGO + interval * BigInt(number + 1) + (interval * BigInt(late)) / 100n
      first.forEach((from, series) => {
        if (number < from) return
        const request = placed[series] % requests
        const said = counters[series].say(counted[series], LONG_AGO, time + BigInt(request * spread) * 1_000_000n)
        split[request].push({ series, apart: false, ...said })
      })
      return split
    })
    const rules = rulesOf(kind, 'auto')
    const balances = first.map((exportsBefore) => new NewSeries(rules, kind.parts, exportsBefore))
    return historyOf(
      { kind, options: { initialValue: 'auto', summaries: true }, canDie: false },
      requests,
      { separate: false },
      (series) => balances[series],
    )
  })
