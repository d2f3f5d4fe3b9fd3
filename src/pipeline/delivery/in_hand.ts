import type { Account } from '../../component/exporter.ts'
import { whole } from '../telemetry/telemetry.ts'
import type { Counting } from './counting.ts'

/** What an exporter says of some items of a batch. */
export interface Said {
  readonly items: number
  readonly say: () => void
}

/**
 * Counts what becomes of a batch that was taken out of the queue. What the exporter says of it counts from its first request on that has
 * come to an end: until then another exporter may have to encode it instead.
 */
export class InHand {
  /** Items that have not come to an end. */
  #remaining: number
  /** Items that nothing was said of yet. */
  #open: number
  #said: Said[] | undefined

  /** @param said what the exporter said of the batch when it encoded it before */
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

  /** What was said and does not count yet; `undefined` once some of the batch has come to an end. */
  get said(): readonly Said[] | undefined {
    return this.#said
  }

  /** Some of its items have come to their end in a request. */
  leave(items: number): void {
    this.settle()
    this.#open -= items
    this.#end(items)
  }

  /** What was said counts. */
  settle(): void {
    const said = this.#said ?? []
    this.#said = undefined
    for (const each of said) this.#count(each)
  }

  /** Nothing more becomes of it here. */
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
