import { partial } from '../../errors.ts'
import type { Batch } from '../../otlp/signal.ts'

/** What travels through the graph: a batch, and beside it the receipt that tells its receiver what became of it. */
export interface Envelope {
  readonly batch: Batch
  readonly receipt: Receipt
}

/**
 * The fate of one batch over all the branches it takes through the graph. It settles when every branch has ended:
 * as refused only if no branch took the batch, one refused it and its receiver can be told; else as accepted. Where every
 * branch lost it, its receiver is told that, too: to send it again would be in vain.
 */
export class Receipt {
  #branches: number
  #taken = false
  #refusal: Error | undefined
  #loss: Error | undefined
  readonly #listeners: ((refused: boolean) => void)[] = []
  readonly #tell: ((error: Error | undefined) => void) | undefined

  /**
   * @param branches how many times `close` or `refuse` will be called, beside those announced with `branch`; at least 1
   * @param tell told the outcome, once, with the error to refuse the batch with, or a `partial` one when it was lost; without it
   * the batch cannot be refused
   */
  constructor(branches: number, tell?: (error: Error | undefined) => void) {
    this.#branches = branches
    this.#tell = tell
  }

  /** Whether the batch can go back to its receiver. */
  get refusable(): boolean {
    return this.#tell !== undefined
  }

  /** Announces `count` more branches. */
  branch(count: number): void {
    this.#branches += count
  }

  /** Ends a branch whose batch was taken: by an exporter, by a processor that keeps it, or by the count of a drop. */
  close(): void {
    this.#taken = true
    this.#end()
  }

  /** Ends a branch whose batch could not be taken. */
  refuse(error: Error): void {
    this.#refusal ??= error
    this.#end()
  }

  /** Ends a branch on which all `items` of the batch were lost, and counted, by a fault that would meet them again. */
  lose(items: number, message: string): void {
    this.#loss ??= partial(items, message)
    this.#end()
  }

  /** Calls `listener` when the receipt settles: whether the batch went back to its receiver, who still has it. */
  whenSettled(listener: (refused: boolean) => void): void {
    this.#listeners.push(listener)
  }

  #end(): void {
    this.#branches -= 1
    if (this.#branches > 0) return
    const refusal = this.#taken || this.#tell === undefined ? undefined : this.#refusal
    for (const listener of this.#listeners) listener(refusal !== undefined)
    this.#tell?.(refusal ?? (this.#taken ? undefined : this.#loss))
  }
}
