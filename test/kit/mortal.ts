import type { MetricBatch } from '../../src/otlp/metrics/batch.ts'
import { CumulativeToDelta } from '../../src/otlp/delta/cumulative_to_delta.ts'
import type { DeltaOptions } from '../../src/otlp/delta/cumulative_to_delta.ts'
import type { DeltaAccount } from '../../src/otlp/delta/work.ts'
import { VirtualClock } from '../../src/time/virtual_clock.ts'

/** An engine whose memory is kept as a queue on disk keeps it, over any number of deaths. Its time stands still unless `options` has a clock. */
export class Mortal {
  /** What was told, by `begin`. */
  files: { bytes: Uint8Array; age: number }[][] = [[]]
  readonly #options: DeltaOptions
  #engine: CumulativeToDelta

  constructor(options: DeltaOptions) {
    this.#options = { clock: new VirtualClock(Date.now()), ...options }
    this.#engine = new CumulativeToDelta(this.#options)
    this.#engine.state.begin()
  }

  apply(batch: MetricBatch, account: DeltaAccount): MetricBatch {
    const differences = this.#engine.apply(batch, account)
    const { bytes, all } = this.#engine.state.changes()
    this.files.at(-1)?.push({ bytes, age: 0 })
    if (all) this.files.splice(0, this.files.length - 1)
    return differences
  }

  tellAnew(): void {
    this.#engine.state.begin()
    this.files.push([])
  }

  die(): void {
    this.#engine = new CumulativeToDelta(this.#options)
    this.#engine.state.restore(this.files.map((told) => told.filter(({ bytes }) => bytes.length > 0)))
    this.tellAnew()
  }
}
