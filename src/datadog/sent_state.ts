import type { ExporterState, StateRecord } from '../component/exporter.ts'
import { viewOf } from '../otlp/wire/lazy_message.ts'
import type { SentSeconds } from './sent_seconds.ts'

/** Unchanged series that are written per call. */
const SLICE = 500

/** Series of counts, by their written form. */
interface Series {
  bytes(number: number): Uint8Array
  /** -1 if it cannot be remembered. */
  numberOf(view: DataView, start: number, end: number): number
  /** Forgets everything. */
  forget(): void
}

/**
 * Saves the seconds in which counts of shared series were sent, so that after a restart or reload no count replaces
 * another. Those of a batch are saved only when no part of it will be sent again: a batch that a queue on disk hands
 * out again must get the same seconds as before. The format is a sequence of entries of 32-bit numbers: the number of a
 * series, the length of its written form in bytes (0: already saved), the second before which nothing is known, the
 * number of seconds that follow, and these; then the bytes.
 */
export class SentState implements ExporterState {
  /** Series whose bytes were saved; `undefined` if no checkpoint was begun. */
  #named: Set<number> | undefined
  /** Series that are still to be saved. */
  #untold: number[] = []
  /** The seconds that have become certain since then, by series. */
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
