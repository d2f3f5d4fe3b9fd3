import type { Account } from '../../component/exporter.ts'
import { whole } from '../telemetry/telemetry.ts'
import type { Counting } from './counting.ts'

/** The account of some items of a batch by an exporter. */
export interface Said {
  readonly items: number
  readonly say: () => void
}

/**
 * Counts the fate of a batch that was taken out of the queue. The exporter's account counts as soon as its first
 * request has been completed: until then, another exporter may have to encode the batch instead.
 */
export class InHand {
  /** Items that are not completed. */
  #remaining: number
  /** Items that are not accounted for yet. */
  #open: number
  #said: Said[] | undefined

  /** @param said the account of the exporter when it encoded the batch before */
  constructor(
    private readonly counting: Counting,
    items: number,
    said: readonly Said[] = [],
  ) {
    this.#remaining = items
    this.#said = [...said]
    this.#open = said.reduce((sum, each) => sum - each.items, items)
    counting.sheet.inFlight += items
  }

  readonly account: Account = {
    created: (items) => {
      this.#say(-whole(items, '`account.created` must be given'), () => (this.counting.sheet.created += items))
    },
    merged: (items) => {
      this.#say(whole(items, '`account.merged` must be given'), () => this.counting.sheet.merged(items))
    },
    dropped: (reason, items) => {
      this.#say(whole(items, '`account.dropped` must be given'), () => this.counting.dropped(reason, items))
    },
  }

  get remaining(): number {
    return this.#remaining
  }

  get open(): number {
    return this.#open
  }

  /** The account that does not count yet; `undefined` once some of the batch is completed. */
  get said(): readonly Said[] | undefined {
    return this.#said
  }

  /** Some of its items were completed in a request. */
  leave(items: number): void {
    this.settle()
    this.#open -= items
    this.#end(items)
  }

  /** Makes the account count. */
  settle(): void {
    const said = this.#said ?? []
    this.#said = undefined
    for (const each of said) this.#count(each)
  }

  /** Nothing more happens to the batch here. */
  close(): void {
    this.counting.sheet.inFlight -= this.#remaining
  }

  #say(items: number, say: () => void): void {
    this.#open -= items
    if (this.#said === undefined) this.#count({ items, say })
    else this.#said.push({ items, say })
  }

  #count({ items, say }: Said): void {
    this.#end(items)
    say()
  }

  #end(items: number): void {
    this.#remaining -= items
    this.counting.sheet.inFlight -= items
  }
}
