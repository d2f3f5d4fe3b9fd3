import { logDropped } from '../../component/dropped.ts'
import type { Account } from '../../component/exporter.ts'
import type { Logger } from '../../component/logger.ts'
import { errorMessage } from '../../errors.ts'
import { whole } from '../telemetry/telemetry.ts'
import type { ExporterSheet } from '../telemetry/telemetry.ts'
import { outOfAge } from './age.ts'

/** Counts the items that an exporter reports of its batches, and those that it does not report. */
export class Counting {
  constructor(
    readonly sheet: ExporterSheet,
    private readonly log: Logger,
  ) {}

  /** Items that are left out by a rule of the exporter. */
  dropped(reason: string, items: number): void {
    this.sheet.dropped(reason, items)
    logDropped(this.log, reason, items, this.sheet.items)
  }

  /** Reports that items are left out because of their time; they are counted elsewhere. */
  outOfAge(reason: Parameters<typeof outOfAge>[1], items: number): void {
    this.log.warn(outOfAge(this.sheet.items, reason), { event: 'items_out_of_age', items })
  }

  /** Items that an exporter neither passed on nor accounted for are lost; this is a fault of the exporter. */
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

/** The account of an exporter while it prepares a batch. Each change in the number of waiting items is given to `queued`. */
export class Preparing {
  /** Items that the result has to hold. */
  #left: number

  constructor(
    private readonly counting: Counting,
    private readonly log: Logger,
    private readonly queued: (change: number) => void,
    items: number,
  ) {
    this.#left = items
  }

  readonly account: Account = {
    created: (items) => {
      this.#left += whole(items, '`account.created` must be given')
      this.queued(items)
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
    this.queued(items - this.#left)
    this.counting.difference('unaccounted', this.#left - items)
  }

  failed(error: unknown): void {
    this.log.error('The exporter failed to prepare a batch, which is dropped and counted.', {
      event: 'exporter_failed',
      error: errorMessage(error),
    })
    this.queued(-this.#left)
    this.counting.difference('exporter_error', this.#left)
  }

  #leave(items: number): void {
    this.#left -= items
    this.queued(-items)
  }
}
