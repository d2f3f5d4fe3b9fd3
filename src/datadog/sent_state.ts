import type { ExporterState, StateRecord } from '../component/exporter.ts'
import { viewOf } from '../otlp/wire/lazy_message.ts'
import type { SentSeconds } from './sent_seconds.ts'

/** Series told at a time that have not changed. */
const SLICE = 500

/** Series of counts, by what they are written as. */
interface Series {
  bytes(number: number): Uint8Array
  /** -1 where it is not to be remembered. */
  numberOf(view: DataView, start: number, end: number): number
  /** Forgets all. */
  forget(): void
}

/**
 * Tells in which seconds counts of shared series were sent, so that neither after a restart nor after a reload one takes the place of
 * another. Those of a batch only when nothing of it will be sent again: what a queue on disk hands out again is to get the same
 * seconds as before. Entry after entry of 32-bit numbers: that of a series, how many bytes it is written as (0: they
 * were told), the second before which nothing is known, how many seconds follow, and these; then the bytes.
 */
export class SentState implements ExporterState {
  /** Series whose bytes were told; `undefined` where nobody asked to be told. */
  #named: Set<number> | undefined
  /** Series that are still to be told. */
  #untold: number[] = []
  /** What has become certain since: seconds by series. */
  readonly #changed = new Map<number, number[]>()

  constructor(
    private readonly sent: SentSeconds,
    private readonly series: Series,
  ) {}

  /** It is certain that a count was sent in the second. */
  add(series: number, second: number): void {
    if (this.#named === undefined) return
    const seconds = this.#changed.get(series)
    if (seconds === undefined) this.#changed.set(series, [second])
    else seconds.push(second)
  }

  /** The number of a series is given to another. */
  forgetSeries(series: number): void {
    this.#named?.delete(series)
    this.#changed.delete(series)
  }

  forget(): void {
    this.series.forget()
  }

  beginCheckpoint(): void {
    this.#named = new Set()
    this.#untold = this.sent.sharedCounts()
  }

  changes(): { bytes: Uint8Array; all: boolean } {
    const parts: Uint8Array[] = []
    const named = (this.#named ??= new Set())
    const tell = (series: number, since: number, seconds: readonly number[]): void => {
      const bytes = named.has(series) ? new Uint8Array() : this.series.bytes(series)
      named.add(series)
      const numbers = [series, bytes.length, since, seconds.length, ...seconds]
      const head = Buffer.allocUnsafe(4 * numbers.length)
      numbers.forEach((number, index) => head.writeUInt32LE(number, 4 * index))
      parts.push(head, bytes)
    }
    for (const [series, seconds] of this.#changed) tell(series, this.sent.recent(series).since, seconds)
    this.#changed.clear()
    for (const series of this.#untold.splice(-SLICE)) {
      const { seconds, since } = this.sent.recent(series)
      if (seconds.length > 0) tell(series, since, seconds)
    }
    return { bytes: Buffer.concat(parts), all: this.#untold.length === 0 }
  }

  restore(checkpoints: readonly (readonly StateRecord[])[]): void {
    for (const records of checkpoints) {
      const numbers = new Map<number, number>()
      for (const { bytes } of records) this.#take(bytes, numbers)
    }
  }

  #take(bytes: Uint8Array, numbers: Map<number, number>): void {
    const view = viewOf(bytes)
    for (let at = 0; at < bytes.length;) {
      const [number, length, since, count] = [0, 4, 8, 12].map((place) => view.getUint32(at + place, true))
      const secondsAt = at + 16
      const keyAt = secondsAt + 4 * count
      at = keyAt + length
      if (length > 0) numbers.set(number, this.series.numberOf(view, keyAt, at))
      const series = numbers.get(number)
      if (series === undefined) throw new Error('a series has no name')
      if (series < 0) continue
      const seconds = Array.from({ length: count }, (_, index) => view.getUint32(secondsAt + 4 * index, true))
      this.sent.restore(series, since, seconds)
    }
  }
}
