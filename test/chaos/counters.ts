import type { Signal } from '../../src/otlp/signal.ts'
import { Stand, until } from './stand.ts'
import type { Tally } from './stand.ts'

const FIRST = 1000

/** What a client counts, in a cumulative series of its own. */
interface Counter {
  /** What it sent last, and for which second. */
  count: number
  second: number
  /** Of the request in which it did. */
  number: number
  /** Whether it was ever answered. */
  known: boolean
}

/**
 * A stand whose clients send cumulative counters to an exporter that takes their differences. After a request without an
 * answer a client sends either the same once more or what it has counted since. What is accepted and delivered is what was counted.
 */
export class CounterStand extends Stand {
  readonly #counters: Counter[] = []
  readonly #start = Math.floor(Date.now() / 1000) - 1800

  override start(): Promise<void> {
    return super.start({ exporter: 'datadog_native', more: 'api_key: any', signals: this.signals })
  }

  protected override get signals(): readonly Signal[] {
    return ['metrics']
  }

  override signalOf(): Signal {
    return 'metrics'
  }

  protected override item({ number, sender }: { readonly number: number; readonly sender: number }): object {
    const counter = (this.#counters[sender] ??= { count: FIRST, second: this.#start, number, known: false })
    const answered = this.acknowledged.has(counter.number)
    counter.known ||= answered
    if (answered || (counter.known && this.random() < 0.5)) {
      counter.count += 1 + Math.floor(this.random() * 9)
      counter.second += 1
    }
    counter.number = number
    const point = {
      asInt: counter.count,
      attributes: [{ key: 'client', value: { stringValue: String(sender) } }],
      startTimeUnixNano: `${this.#start - 3600}000000000`,
      timeUnixNano: `${counter.second}000000000`,
    }
    return { name: 'chaos', sum: { aggregationTemporality: 2, isMonotonic: true, dataPoints: [point] } }
  }

  override async drain(): Promise<void> {
    // The last that each client has to say is acknowledged.
    this.load()
    await this.accepted(1)
    await until('the clients to be answered', () => this.#counters.every(({ known }) => known))
    await super.drain()
  }

  override missing(): number {
    return this.tally().lost
  }

  /** As Datadog does, which keeps one value for a series and second. `lost` is what any series has too little or too much. */
  override tally(): Tally {
    const seconds = this.#counters.map(() => new Map<number, number>())
    let twice = 0
    for (const { tags, points } of this.intake.series()) {
      const client = Number(tags.find((tag) => tag.startsWith('client:'))?.slice('client:'.length))
      for (const [second, value] of points) {
        if (seconds[client]?.has(second) === true) twice += 1
        seconds[client]?.set(second, value)
      }
    }
    const accepted = this.#counters.map(({ count }) => count - FIRST)
    const delivered = seconds.map((values) => [...values.values()].reduce((sum, value) => sum + value, 0))
    const total = (counts: readonly number[]): number => counts.reduce((sum, count) => sum + count, 0)
    const lost = total(accepted.map((count, client) => Math.abs(count - (delivered[client] ?? 0))))
    return { accepted: total(accepted), delivered: total(delivered), twice, lost }
  }
}
