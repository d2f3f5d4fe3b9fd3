import { MetricBatch } from '../../src/otlp/metrics/batch.ts'
import type { NumberPoint } from '../../src/otlp/metrics/points.ts'
import type { Random } from '../kit/random.ts'
import type { Answer, Destination } from './network.ts'

/** What a destination answers at a time. */
export const moods = ['taking', 'unavailable', 'throttling', 'unauthorized', 'small', 'refusing'] as const
export type Mood = (typeof moods)[number]

/** Data points that a destination takes at once while it is `small`. */
const SMALL = 3

/** What became of a data point when it came last. */
export interface Arrival {
  /** The number of the process that sent it. */
  readonly life: number
  /** Whether that knows. */
  answered: boolean
}

/** A destination that keeps what it takes, each data point by what makes it the same if it comes again. */
abstract class SimulatedDestination<Point> implements Destination {
  mood: Mood = 'taking'
  /** Data points of the requests that were taken, as their senders know. */
  answered = 0
  /** Whether a request was ever too large. */
  divided = false

  constructor(private readonly random: Random) {}

  protected abstract read(body: Buffer): readonly Point[]
  /** Keeps the points. Returns what is to happen when their sender knows. */
  protected abstract keep(points: readonly Point[], late: boolean): () => void
  protected abstract refuse(points: readonly Point[]): void

  take(_path: string, body: Buffer, late: boolean): Answer {
    const points = this.read(body)
    const status = this.#status(points.length)
    const known = status === 200 ? this.keep(points, late) : () => undefined
    const waits = status !== 200 && this.random.chance(0.5)
    return {
      status,
      headers: waits ? { 'retry-after': String(this.random.below(20)) } : {},
      arrived: () => {
        known()
        if (status === 200) this.answered += points.length
        if (status === 400) this.refuse(points)
      },
    }
  }

  #status(points: number): number {
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
        if (points <= SMALL) return 200
        this.divided = true
        return 413
      case 'refusing':
        return this.random.chance(0.5) ? 400 : 200
    }
  }
}

/** A destination of OTLP. Each data point has a value that no other has. */
export class OtlpDestination extends SimulatedDestination<number> {
  readonly taken = new Map<number, Arrival>()
  /** Points that it refused for good, as their sender knows. */
  readonly refused = new Set<number>()

  /** @param repeated called when a point comes again, with what became of it before */
  constructor(
    random: Random,
    private readonly life: () => number,
    private readonly repeated: (id: number, before: Arrival) => void,
  ) {
    super(random)
  }

  protected read(body: Buffer): number[] {
    return idsOf(MetricBatch.fromOtlp(body))
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

/** The values of a batch. @throws where one is not as it was sent */
function idsOf(batch: MetricBatch): number[] {
  return [...batch.metrics()].flatMap(({ metric }) =>
    metric.points.map((point) => {
      const { value, attributes } = point as NumberPoint
      if (attributes.text('id') !== String(value)) throw new Error(`the data point ${String(value)} was changed`)
      return Number(value)
    }),
  )
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

  protected read(body: Buffer): Count[] {
    const { series } = JSON.parse(body.toString()) as {
      series: { tags: string[]; points: [second: number, value: number][] }[]
    }
    return series.flatMap(({ tags, points }) => {
      const counter = tags.find((tag) => tag.startsWith('counter:'))!
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
