import type { ExportRequest } from '../../component/exporter.ts'
import { errorMessage } from '../../errors.ts'
import { Linked, LinkedList } from '../../linked_list.ts'
import type { Clock } from '../../time/clock.ts'
import type { Batch } from '../../otlp/signal.ts'
import type { Taken } from '../queue/queue.ts'
import { isTooOld } from './age.ts'
import type { Counting } from './counting.ts'
import type { Encoding } from './encoding.ts'
import { InHand } from './in_hand.ts'
import type { AnyExporter, Outcome, Sending, Sent } from './sending.ts'
import type { Shared } from './shared.ts'

const MORE =
  'the requests of `encode` must not hold more items than it was given; it must first report those that it makes, with `account.created`'

/** A batch that was taken out of the queue, until it has come to its end. */
class Consumer extends Linked<Consumer> {
  end: Promise<void> = Promise.resolve()

  constructor(readonly taken: Taken) {
    super()
  }
}

interface ConsumersOptions {
  readonly counting: Counting
  readonly encoding: Encoding
  readonly shared: Shared
  readonly clock: Clock
  /** Whether the requests that the exporter makes have to be checked. */
  readonly custom: boolean
  readonly sending: () => Sending
  /** Who sends a batch again that another exporter, or the same one with other settings, is to have. */
  readonly successor: () => { readonly exporter: AnyExporter; readonly encoding: Encoding }
  /** Called when a batch has come to its end here. */
  readonly ended: (taken: Taken, outcome: Outcome) => void
}

/** The batches in hand: each is encoded, and its requests are sent one after the other. */
export class Consumers {
  readonly #all = new LinkedList<Consumer>()

  constructor(private readonly options: ConsumersOptions) {}

  get size(): number {
    return this.#all.size
  }

  /** The batches in hand. */
  get taken(): Taken[] {
    return Array.from(this.#all, ({ taken }) => taken)
  }

  /** Resolves when those that are in hand now have come to their end here. */
  async ended(): Promise<void> {
    await Promise.all(Array.from(this.#all, ({ end }) => end))
  }

  /** Sends a batch. */
  consume(taken: Taken): void {
    const { counting, shared, ended } = this.options
    counting.sheet.requestsInFlight += 1
    shared.consumers += 1
    const consumer = new Consumer(taken)
    this.#all.add(consumer)
    consumer.end = this.#send(taken).then((outcome) => {
      this.#all.remove(consumer)
      counting.sheet.requestsInFlight -= 1
      shared.consumers -= 1
      ended(taken, outcome)
    })
  }

  /** Never rejects. */
  async #send({ batch, stored }: Taken): Promise<Outcome> {
    const { counting, encoding, clock, custom, successor } = this.options
    const sending = this.options.sending()
    const { exporter, config } = sending
    const known = encoding.take(batch, exporter)
    counting.queue(-batch.itemCount)
    const inHand = new InHand(counting, batch.itemCount, known?.said)
    let timely = known?.timely ?? batch
    const encoder = {
      account: inHand.account,
      begin: (part: Batch): void => {
        timely = part
      },
    }
    const sent: Sent = {
      stored,
      isWhole: () => inHand.said !== undefined,
      isTooOld: () => isTooOld(timely, config, clock.now()),
      leave: (items) => inHand.leave(items),
    }
    let reason = 'unaccounted'
    let outcome: Outcome = 'settled'
    try {
      const encoded = known?.requests ?? encoding.encode(batch, sending, encoder)
      const requests = encoded instanceof Promise ? await encoded : encoded
      if (requests === undefined) outcome = 'renewed'
      const again: ExportRequest[] = []
      for (const request of requests ?? []) {
        if (custom && Number((request as ExportRequest | undefined)?.items) > inHand.open) throw new TypeError(MORE)
        if (outcome === 'settled') outcome = await sending.send(request, sent)
        if (outcome === 'left' || (outcome === 'renewed' && successor().exporter !== exporter)) break
        if (outcome === 'renewed') again.push(request)
      }
      const { said } = inHand
      if (said !== undefined && again.length > 0)
        successor().encoding.keep(batch, { exporter, timely, requests: again, said })
    } catch (error) {
      reason = 'exporter_error'
      counting.log.error('The exporter failed to encode a batch, which is dropped and counted.', {
        event: 'exporter_failed',
        error: errorMessage(error),
      })
    }
    if (outcome === 'renewed') counting.queue(inHand.remaining)
    // What stays on disk as a whole is encoded, and spoken of, at the next start.
    else if (outcome === 'settled' || !stored) inHand.settle()
    if (outcome === 'left') counting.leave(inHand.remaining, { stored })
    if (outcome === 'settled') {
      counting.difference(reason, inHand.remaining)
      encoding.end(timely, exporter)
    }
    inHand.close()
    return outcome
  }
}
