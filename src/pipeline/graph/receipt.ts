import { partial } from '../../errors.ts'
import type { Batch } from '../../otlp/signal.ts'

/** A batch on its way through the graph, with the receipt that reports its fate to its receiver. */
export interface Envelope {
  readonly batch: Batch
  readonly receipt: Receipt
}

/**
 * The fate of one batch over all the branches it takes through the graph. It settles when every branch has ended: as
 * refused only if no branch took the batch, one refused it and its receiver can keep it; otherwise as accepted. If
 * every branch lost it, its receiver is informed of that, because sending it again would be in vain.
 */
export class Receipt {
  #branches: number
  #taken = false
  #refusal: Error | undefined
  #loss: Error | undefined
  readonly #listeners: ((refused: boolean) => void)[] = []
  readonly #tell: ((error: Error | undefined) => void) | undefined

  /**
   * @param branches how many times `close` or `refuse` will be called, in addition to those announced with `branch`; at least 1
   * @param tell called with the outcome, once: the error to refuse the batch with, or a `partial` one if the batch was
   * lost; without `tell` the batch cannot be refused
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

  /** Ends a branch whose batch was taken by an exporter, kept by a processor, or counted as dropped. */
  close(): void {
    this.#taken = true
    this.#end()
  }

  /** Ends a branch whose batch could not be taken. */
  refuse(error: Error): void {
    this.#refusal ??= error
    this.#end()
  }

  /** Ends a branch on which all `items` of the batch were lost and counted, because of a fault that would happen again. */
  lose(items: number, message: string): void {
    this.#loss ??= partial(items, message)
    this.#end()
  }

  /** Calls `listener` when the receipt settles, with whether the batch went back to its receiver, which still has it. */
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
