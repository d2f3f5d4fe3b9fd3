import type { Account, ExportRequest } from '../../component/exporter.ts'
import { errorMessage } from '../../errors.ts'
import { describe } from '../../otlp/common/handed_over.ts'
import type { Batch } from '../../otlp/signal.ts'
import { signals } from '../../otlp/signals.ts'
import type { Clock } from '../../time/clock.ts'
import { InTurns, limited, LONG, ownTurn } from '../../time/turns.ts'
import type { Divided } from '../../time/turns.ts'
import type { Queue } from '../queue/queue.ts'
import type { Counting } from './counting.ts'
import type { Said } from './in_hand.ts'
import type { AnyExporter, Sending } from './sending.ts'

type Requests = Iterable<ExportRequest>

/** What an exporter made of a batch of which nothing has come to an end. */
interface Encoded {
  readonly exporter: AnyExporter
  /** The batch as far as it was timely. */
  readonly timely: Batch
  readonly requests: Requests
  readonly said: readonly Said[]
}

interface EncodingOptions {
  readonly queue: Queue
  readonly counting: Counting
  readonly clock: Clock
  readonly sending: () => Sending
}

/** What encoding a batch reports to its caller. */
export interface Encoder {
  readonly account: Account
  /** Called with the timely part of the batch, before that is encoded. */
  begin(timely: Batch): void
}

/** Has exporters make requests of batches: one batch at a time, in their order, and no batch twice by the same exporter. */
export class Encoding {
  /**
   * Of batches that are sent again by the same exporter: an attempt whose answer was lost may have been taken, and an exporter need
   * not make the same of a batch twice.
   */
  readonly #encoded = new WeakMap<Batch, Encoded>()
  /** Set while a large batch is encoded, and while others have a turn before. */
  #turn: Promise<void> | undefined
  #work: InTurns<Requests> | undefined

  constructor(private readonly options: EncodingOptions) {}

  /** The work on a large batch that is encoded in turns. */
  get work(): InTurns<Requests> | undefined {
    return this.#work
  }

  /** Whether requests were made of the batch, which may have arrived. */
  has(batch: Batch): boolean {
    return this.#encoded.has(batch)
  }

  /** Keeps what an exporter has made of a batch, for when it is sent again. */
  keep(batch: Batch, encoded: Encoded): void {
    this.#encoded.set(batch, encoded)
  }

  /** Takes out what the exporter made of the batch before. */
  take(batch: Batch, exporter: AnyExporter): Encoded | undefined {
    const encoded = this.#encoded.get(batch)
    this.#encoded.delete(batch)
    return encoded?.exporter === exporter ? encoded : undefined
  }

  /**
   * Encodes a batch, as far as it is timely. Others have turns before and while a large one is encoded; the batches that come
   * after it wait. Resolves with `undefined` when the batch is for another exporter by then.
   * @throws what `encode` throws, or a TypeError where that returns no requests
   */
  encode(batch: Batch, sending: Sending, encoder: Encoder): Requests | Promise<Requests | undefined> {
    const before = this.#turn
    const isLong = batch.itemCount >= LONG
    if (!isLong && before === undefined) return this.#encode(batch, sending, encoder)
    const encoded = (async () => {
      await before
      if (isLong) await ownTurn()
      if (sending.isRetired) return undefined
      return this.#encode(batch, sending, encoder)
    })()
    const end = (): void => {
      if (this.#turn === turn) this.#turn = undefined
    }
    const turn = encoded.then(end, end)
    this.#turn = turn
    return encoded
  }

  /** Says to the exporter that nothing of a batch will be sent any more. */
  end(batch: Batch, exporter: AnyExporter): void {
    try {
      exporter.ended?.(batch)
      this.#note(exporter)
    } catch (error) {
      this.options.counting.log.error('The exporter failed at the end of a batch.', {
        event: 'exporter_failed',
        error: errorMessage(error),
      })
    }
  }

  #encode(batch: Batch, { exporter, config }: Sending, encoder: Encoder): Requests | Promise<Requests> {
    const { counting, clock } = this.options
    const { account } = encoder
    const timelyOf = (part: Batch): Batch => counting.timely(part, config, clock.now(), account)
    const encode = (timely: Batch): Requests => (timely.itemCount === 0 ? [] : exporter.encode(timely, account))
    const { join_interval, batch: { max_size = 0 } = {} } = config.sending_queue
    const taken = (requests: Requests): Requests => {
      this.#note(exporter)
      checkRequests(requests)
      return join_interval > 0 && max_size > 0 ? divided(requests, max_size) : requests
    }
    if (batch.itemCount < LONG) {
      const timely = timelyOf(batch)
      encoder.begin(timely)
      return taken(encode(timely))
    }
    const work = function* (): Divided<Requests> {
      const timely = yield* signals[batch.signal].inParts(batch, timelyOf)
      encoder.begin(timely)
      if (timely.itemCount < LONG || exporter.encodeInTurns === undefined) return encode(timely)
      return yield* limited(exporter.encodeInTurns(timely, account))
    }
    this.#work = new InTurns(this.#inTurns(work()))
    return this.#work.result.then(taken)
  }

  *#inTurns(work: Divided<Requests>): Divided<Requests> {
    try {
      return yield* work
    } finally {
      this.#work = undefined
    }
  }

  /** Keeps on disk what an exporter remembers of the batches that it encoded. */
  #note(exporter: AnyExporter): void {
    if (exporter.ended !== undefined && exporter === this.options.sending().exporter) void this.options.queue.note()
  }
}

/** @throws TypeError */
function checkRequests(requests: unknown): void {
  if (typeof (requests as Requests | undefined | null)?.[Symbol.iterator] === 'function') return
  if (requests instanceof Promise) requests.catch(() => undefined)
  throw new TypeError(
    `\`encode\` must return requests, at once: a list of them, or a generator; not ${describe(requests)}`,
  )
}

/** Requests of at most so many `items` each, as far as they can be divided. */
function* divided(requests: Requests, items: number): Generator<ExportRequest> {
  for (const request of requests) {
    const parts = request.items > items ? request.divide?.() : undefined
    if (parts === undefined) yield request
    else yield* divided(parts, items)
  }
}
