import { logDropped } from '../../component/dropped.ts'
import type { Account } from '../../component/exporter.ts'
import type { Logger } from '../../component/logger.ts'
import { errorMessage } from '../../errors.ts'
import type { Batch } from '../../otlp/signal.ts'
import type { DeliveryConfig } from '../config/settings.ts'
import { whole } from '../telemetry/telemetry.ts'
import type { ExporterSheet } from '../telemetry/telemetry.ts'
import { outOfAge, withinAge } from './age.ts'

/** Items that were not sent at the end: left on disk, or lost. */
export interface Leftovers {
  readonly kept: number
  readonly dropped: number
}

/** Counts the items of one delivery: those that wait in it, what its exporter says or fails to say of them, and what its stop leaves. */
export class Counting {
  /** Items that wait here; the sheet may also count those of a predecessor. */
  #queued = 0
  readonly #left = { kept: 0, dropped: 0 }

  constructor(
    readonly sheet: ExporterSheet,
    readonly log: Logger,
  ) {}

  get queued(): number {
    return this.#queued
  }

  get left(): Leftovers {
    return this.#left
  }

  /** Adds items to those that wait, or takes them away with a negative number. */
  queue(items: number): void {
    this.#queued += items
    this.sheet.queued += items
  }

  /** Items that are not sent before the end: on disk they stay, otherwise they are lost. */
  leave(items: number, { stored }: { readonly stored: boolean }): void {
    this.#left[stored ? 'kept' : 'dropped'] += items
    if (stored) this.sheet.kept += items
    else if (items > 0) this.sheet.lost('shutdown', items)
  }

  /** The batch without the items that are too old or too new now; those are dropped in `account`. */
  timely(
    batch: Batch,
    limits: Pick<DeliveryConfig, 'max_age' | 'max_ahead'>,
    now: number,
    account: Pick<Account, 'dropped'>,
  ): Batch {
    return withinAge(batch, limits, now, (reason, items) => {
      account.dropped(reason, items)
      this.log.warn(outOfAge(this.sheet.items, reason), { event: 'items_out_of_age', items })
    })
  }

  /** Items that are left out by a rule of the exporter. */
  dropped(reason: string, items: number): void {
    this.sheet.dropped(reason, items)
    logDropped(this.log, reason, items, this.sheet.items)
  }

  /** Items that an exporter neither passed on nor said anything about are lost; this is a fault of the exporter. */
  difference(reason: string, items: number): void {
    if (items === 0) return
    if (items < 0) {
      this.sheet.created -= items
      const fields = { items: -items }
      this.log.error(
        'The exporter accounts for more items than it was given; the surplus is counted as created.',
        fields,
      )
      return
    }
    this.sheet.lost(reason, items)
    if (reason === 'unaccounted') this.log.error('The exporter did not account for all items of a batch.', { items })
  }
}

/** What an exporter says while it prepares a batch. */
export class Preparing {
  /** Items that the result has to hold. */
  #left: number

  constructor(
    private readonly counting: Counting,
    items: number,
  ) {
    this.#left = items
  }

  readonly account: Account = {
    created: (items) => {
      this.#left += whole(items, '`account.created` must be given')
      this.counting.queue(items)
      this.counting.sheet.created += items
    },
    merged: (items) => {
      this.#leave(whole(items, '`account.merged` must be given'))
      this.counting.sheet.merged(items)
    },
    dropped: (reason, items) => {
      this.#leave(whole(items, '`account.dropped` must be given'))
      this.counting.dropped(reason, items)
    },
  }

  /** The result holds this many items. */
  end(items: number): void {
    this.counting.queue(items - this.#left)
    this.counting.difference('unaccounted', this.#left - items)
  }

  failed(error: unknown): void {
    this.counting.log.error('The exporter failed to prepare a batch, which is dropped and counted.', {
      event: 'exporter_failed',
      error: errorMessage(error),
    })
    this.counting.queue(-this.#left)
    this.counting.difference('exporter_error', this.#left)
  }

  #leave(items: number): void {
    this.#left -= items
    this.counting.queue(-items)
  }
}
