import { services } from '../../src/otlp/services.ts'
import type { Signal } from '../../src/otlp/signal.ts'
import { SIGNALS, signals } from '../../src/otlp/signals.ts'
import type { AnyBatch } from '../../src/otlp/signals.ts'
import type { Random } from '../kit/random.ts'
import { itemsOf } from './items.ts'
import type { Route } from './items.ts'
import type { Answer, Destination } from './network.ts'

/** What a destination answers at a time. */
export const moods = ['taking', 'unavailable', 'throttling', 'unauthorized', 'small', 'refusing'] as const
export type Mood = (typeof moods)[number]

/** Items that a destination takes at once while it is `small`. */
const SMALL = 3

/** What became of an item when it came last. */
export interface Arrival {
  /** The number of the process that sent it. */
  readonly life: number
  /** Whether that knows. */
  answered: boolean
}

/** A destination that keeps what it takes, each item by what makes it the same if it comes again. */
abstract class SimulatedDestination<Item> implements Destination {
  mood: Mood = 'taking'
  /** Items of the requests that were taken, as their senders know. */
  answered: Record<Signal, number> = { metrics: 0, logs: 0, traces: 0 }
  /** Whether a request was ever too large. */
  divided = false

  constructor(private readonly random: Random) {}

  protected abstract signalOf(path: string): Signal
  /** @throws where something in it does not belong here */
  protected abstract read(body: Buffer, signal: Signal): readonly Item[]
  /** Keeps the items. Returns what is to happen when their sender knows. */
  protected abstract keep(items: readonly Item[], late: boolean): () => void
  protected abstract refuse(items: readonly Item[]): void

  take(path: string, body: Buffer, late: boolean): Answer {
    const signal = this.signalOf(path)
    const items = this.read(body, signal)
    const status = this.#status(items.length)
    const known = status === 200 ? this.keep(items, late) : () => undefined
    const waits = status !== 200 && this.random.chance(0.5)
    return {
      status,
      headers: waits ? { 'retry-after': String(this.random.below(20)) } : {},
      arrived: () => {
        known()
        if (status === 200) this.answered[signal] += items.length
        if (status === 400) this.refuse(items)
      },
    }
  }

  #status(items: number): number {
    switch (this.mood) {
      case 'taking':
        return 200
      case 'unavailable':
        return 503
      case 'throttling':
        return 429
      case 'unauthorized':
        return 401
      case 'small':
        if (items <= SMALL) return 200
        this.divided = true
        return 413
      case 'refusing':
        return this.random.chance(0.5) ? 400 : 200
    }
  }
}

/** A destination of OTLP. It knows which clients' items may come to it. */
export class OtlpDestination extends SimulatedDestination<number> {
  readonly taken = new Map<number, Arrival>()
  /** Items that it refused for good, as their sender knows. */
  readonly refused = new Set<number>()

  /** @param repeated called when an item comes again, with what became of it before */
  constructor(
    random: Random,
    private readonly routes: readonly Route[],
    private readonly life: () => number,
    private readonly repeated: (id: number, before: Arrival) => void,
  ) {
    super(random)
  }

  protected signalOf(path: string): Signal {
    const signal = SIGNALS.find((known) => services[known].path === path)
    if (signal === undefined) throw new Error(`a request came to ${path}`)
    return signal
  }

  protected read(body: Buffer, signal: Signal): number[] {
    return itemsOf(signals[signal].fromOtlp(body) as AnyBatch).map(({ id, route }) => {
      if (!this.routes.includes(route))
        throw new Error(`item ${id} of ${signal} came from ${route} to the exporter of ${this.routes[0]}`)
      return id
    })
  }

  protected keep(ids: readonly number[], late: boolean): () => void {
    const arrival = { life: this.life(), answered: false }
    for (const id of ids) {
      const before = this.taken.get(id)
      if (before !== undefined && !late) this.repeated(id, before)
      if (before === undefined || !late) this.taken.set(id, arrival)
    }
    return () => (arrival.answered = true)
  }

  protected refuse(ids: readonly number[]): void {
    for (const id of ids) this.refused.add(id)
  }
}

interface Count {
  readonly counter: string
  readonly second: number
  readonly value: number
}

/** Datadog, which keeps one value of a series and second: the last. */
export class DatadogDestination extends SimulatedDestination<Count> {
  readonly #counts = new Map<string, Map<number, number>>()

  /** What a counter has counted, by all that came. */
  sum(counter: string): number {
    return [...(this.#counts.get(counter)?.values() ?? [])].reduce((sum, value) => sum + value, 0)
  }

  protected signalOf(): Signal {
    return 'metrics'
  }

  protected read(body: Buffer): Count[] {
    const { series } = JSON.parse(body.toString()) as {
      series: { tags: string[]; points: [second: number, value: number][] }[]
    }
    return series.flatMap(({ tags, points }) => {
      const counter = tags.find((tag) => tag.startsWith('counter:'))
      if (counter === undefined) throw new Error(`a series came to Datadog that is no counter: ${tags.join(', ')}`)
      return points.map(([second, value]) => ({ counter, second, value }))
    })
  }

  protected keep(counts: readonly Count[]): () => void {
    for (const { counter, second, value } of counts) {
      const seconds = this.#counts.get(counter) ?? new Map<number, number>()
      this.#counts.set(counter, seconds.set(second, value))
    }
    return () => undefined
  }

  protected refuse(): void {}
}
