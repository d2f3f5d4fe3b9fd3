import { handedOver, signals } from '../../otlp/signals.ts'
import type { Account } from '../../component/exporter.ts'
import type { Batch } from '../../otlp/signal.ts'
import type { Clock } from '../../time/clock.ts'
import { atOnce, limited, LONG } from '../../time/turns.ts'
import type { Divided } from '../../time/turns.ts'
import type { QueueConfig } from '../queue/queue.ts'
import { Preparing } from './counting.ts'
import type { Counting } from './counting.ts'
import type { Sending } from './sending.ts'

export interface PreparationOptions {
  readonly counting: Counting
  readonly sending: () => Sending
  readonly clock: Clock
  /** Whether the batches that the exporter returns have to be checked. */
  readonly custom: boolean
}

/** Gives each batch to the exporter before it is queued, and counts what the exporter makes of it. */
export class Preparation {
  constructor(private readonly options: PreparationOptions) {}

  /** Returns what is to be queued, without the parts of requests that nobody needs; `undefined` when the exporter failed. */
  prepare(batch: Batch): Batch | undefined {
    const { exporter } = this.options.sending()
    const preparing = new Preparing(this.options.counting, batch.itemCount)
    try {
      const timely = this.#timely(batch, preparing.account)
      const given = exporter.prepare?.(timely, preparing.account) ?? timely
      const prepared = atOnce(signals[batch.signal].compacted(this.#checked(given, timely)))
      preparing.end(prepared.itemCount)
      return prepared
    } catch (error) {
      preparing.failed(error)
      return undefined
    }
  }

  /** `prepare` in turns. What is returned is also written, where the queue would take long to do that. */
  *prepareInTurns(batch: Batch): Divided<Batch | undefined> {
    const { exporter, config } = this.options.sending()
    const type = signals[batch.signal]
    const preparing = new Preparing(this.options.counting, batch.itemCount)
    try {
      const timely = yield* type.inParts(batch, (part) => this.#timely(part, preparing.account))
      const given =
        exporter.prepareInTurns === undefined
          ? (exporter.prepare?.(timely, preparing.account) ?? timely)
          : yield* limited(exporter.prepareInTurns(timely, preparing.account))
      const prepared = yield* type.compacted(this.#checked(given, timely))
      if (mustBeWritten(prepared, config.sending_queue)) yield* type.writeInTurns(prepared)
      yield
      preparing.end(prepared.itemCount)
      return prepared
    } catch (error) {
      preparing.failed(error)
      return undefined
    }
  }

  #checked(given: Batch, timely: Batch): Batch {
    return given === timely || !this.options.custom ? given : handedOver(given, [this.options.counting.sheet.signal])
  }

  /** What an exporter remembers must not be an item that is never sent: all that come after one of tomorrow would be too late. */
  #timely(batch: Batch, account: Account): Batch {
    const { counting, sending, clock } = this.options
    return counting.timely(batch, { max_age: 0, max_ahead: sending().config.max_ahead }, clock.now(), account)
  }
}

/** Whether the queue has to know how many bytes a batch has, and it takes long to find out. */
export function mustBeWritten(batch: Batch, { directory, sizer }: QueueConfig): boolean {
  return batch.itemCount >= LONG && !batch.isWritten && (directory !== undefined || sizer === 'bytes')
}
