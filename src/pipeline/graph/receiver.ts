import { Subscription } from 'rxjs'
import type { Observable } from 'rxjs'
import type { Clock } from '../../time/clock.ts'
import type { ReceiverContext } from '../../component/context.ts'
import type { Logger } from '../../component/logger.ts'
import type { ReceiverComponent } from '../../component/receiver.ts'
import { errorMessage, partial, permanent, retryable } from '../../errors.ts'
import type { MemoryGuard } from '../../host/memory_limiter.ts'
import type { Batch, Signal } from '../../otlp/signal.ts'
import { itemsIn } from '../../otlp/common/handed_over.ts'
import { handedOver } from '../../otlp/signals.ts'
import { throttled } from '../../throttled.ts'
import type { Chain } from './chain.ts'
import type { Configured } from '../config/config.ts'
import { signalsOf } from '../config/pipelines.ts'
import { refuse } from './guard.ts'
import type { Lifetime } from './lifetime.ts'
import { isBuiltin } from '../modules/load.ts'
import { Receipt } from './receipt.ts'
import type { Envelope } from './receipt.ts'
import type { ReceiverSheet } from '../telemetry/telemetry.ts'

/** The result of a receiver's `create`, with its life. */
export interface Source {
  readonly batches: Observable<Batch>
  readonly lifetime: Lifetime
  readonly log: Logger
}

interface ReceiverOptions {
  readonly configured: Configured<ReceiverComponent>
  /** The signals of the pipelines that will name it. */
  readonly signals: ReadonlySet<Signal>
  readonly memory: MemoryGuard
  readonly clock: Clock
  readonly sheetOf: (signal: Signal, transport?: string) => ReceiverSheet
  readonly create: (given: Pick<ReceiverContext, 'deliver' | 'takes'>) => Source
  /** Called when it has ended by itself. */
  readonly ended: (receiver: Receiver) => void
}

const MEMORY_IS_SHORT = retryable('Memory is short.', undefined, { reason: 'memory_limit' })

/**
 * One receiver as the shared source of its pipelines, each of which gets the batches of its signal. Batches that it
 * emits before it knows its pipelines wait for that.
 */
export class Receiver {
  readonly configured: Configured<ReceiverComponent>
  readonly #source: Source
  readonly #memory: MemoryGuard
  readonly #sheetOf: ReceiverOptions['sheetOf']
  readonly #ended: ReceiverOptions['ended']
  /** Whether its batches have to be checked. */
  readonly #custom: boolean
  readonly #quiet: Logger
  readonly #subscription = new Subscription()
  #chains: readonly Chain[] | undefined
  #early: (() => void)[] = []
  #stopped = false
  #hasStarted = false
  #over: { readonly failure?: string } | undefined

  constructor({ configured, signals, memory, clock, sheetOf, create, ended }: ReceiverOptions) {
    this.configured = configured
    this.#memory = memory
    this.#sheetOf = sheetOf
    this.#ended = ended
    this.#custom = !isBuiltin(configured.component)
    this.#source = create({
      deliver: (batch, transport) => this.#deliver(batch, transport),
      takes: (signal) => (this.#chains === undefined ? signals.has(signal) : this.#chainsOf(signal).length > 0),
    })
    this.#quiet = throttled(this.#source.log, clock)
  }

  /** Set when it has ended by itself, with the error if it failed. */
  get over(): { readonly failure?: string } | undefined {
    return this.#over
  }

  /** Whether everything that it opens has been open once. */
  get hasStarted(): boolean {
    return this.#hasStarted
  }

  get lifetime(): Lifetime {
    return this.#source.lifetime
  }

  get log(): Logger {
    return this.#source.log
  }

  /** Gives all later batches to these pipelines. */
  feed(chains: readonly Chain[]): void {
    this.#chains = chains
    this.#giveEarly()
  }

  /** Subscribes. Resolves when it has started, has already ended, or waits for a port. */
  async start(): Promise<void> {
    if (this.#stopped) return
    this.lifetime.begin()
    this.#subscription.add(
      this.#source.batches.subscribe({
        next: (batch) => this.#emit(batch),
        error: (error: unknown) => this.#end({ failure: errorMessage(error) }),
        complete: () => this.#end({}),
      }),
    )
    void this.lifetime.opened().then(() => (this.#hasStarted = this.#over?.failure === undefined))
    await this.lifetime.started()
  }

  async stop(): Promise<void> {
    await this.lifetime.stop()
    this.#subscription.unsubscribe()
    this.#stopped = true
    this.#giveEarly()
  }

  #end(over: { readonly failure?: string }): void {
    this.#over = over
    this.#ended(this)
  }

  #giveEarly(): void {
    for (const give of this.#early.splice(0)) give()
  }

  /** `ReceiverContext.deliver`: the outcome over all pipelines. */
  #deliver(batch: Batch, transport?: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#emit(batch, transport, (refusal) => (refusal === undefined ? resolve() : reject(refusal)))
    })
  }

  #chainsOf(signal: Signal): readonly Chain[] {
    return (this.#chains ?? []).filter(({ sheet }) => sheet.signal === signal)
  }

  #emit(given: Batch, transport?: string, tell?: (refusal: Error | undefined) => void): void {
    if (this.#stopped) {
      tell?.(new Error('The pipeline has stopped.'))
      return
    }
    if (this.#chains === undefined) {
      this.#early.push(() => this.#emit(given, transport, tell))
      return
    }
    let batch: Batch
    try {
      batch = this.#custom ? handedOver(given, signalsOf(this.configured.component)) : given
    } catch (error) {
      this.#lose(given, error, transport, tell)
      return
    }
    const items = batch.itemCount
    if (items === 0) {
      tell?.(undefined)
      return
    }
    const chains = this.#chainsOf(batch.signal)
    if (chains.length === 0) {
      const { signal } = batch
      const message = `No pipeline takes ${signal} from this receiver.`
      this.#quiet.warn(`${message} A pipeline \`${signal}\` in service.pipelines that names it does.`, { items })
      this.#sheetOf(signal, transport).refused += items
      tell?.(permanent(message))
      return
    }
    for (const { sheet } of chains) sheet.accepted += items
    const receipt = new Receipt(chains.length, tell)
    const envelope: Envelope = { batch, receipt }
    const sheet = this.#sheetOf(batch.signal, transport)
    receipt.whenSettled((refused) => void (sheet[refused ? 'refused' : 'accepted'] += items))
    if (this.#memory.isShort()) for (const { sheet } of chains) refuse(envelope, sheet, MEMORY_IS_SHORT, this.#quiet)
    else if (receipt.refusable && !hasRoom(chains, envelope)) for (const chain of chains) chain.refuse(envelope)
    else for (const chain of chains) chain.take(envelope)
  }

  /** It handed over an invalid batch, which is counted in each of its pipelines; sending the batch again would not help. */
  #lose(given: Batch, error: unknown, transport?: string, tell?: (loss: Error) => void): void {
    const items = itemsIn(given)
    const signals = signalsOf(this.configured.component)
    const signal = signals.find((known) => known === (given as Partial<Batch> | undefined)?.signal) ?? signals[0]
    const message = `its batch: ${errorMessage(error)}`
    this.#quiet.error('The receiver failed; the batch it handed over is dropped and counted.', { error: message })
    for (const { sheet } of this.#chainsOf(signal)) {
      sheet.accepted += items
      sheet.lost('receiver_error', items)
    }
    this.#sheetOf(signal, transport).refused += items
    tell?.(partial(items, message))
  }
}

/**
 * Whether an exporter has room for the batch. If there are processors, this has to be known before they see the batch:
 * one that remembers earlier data would take the batch for a repetition when its client sends it again.
 */
function hasRoom(chains: readonly Chain[], envelope: Envelope): boolean {
  if (chains.every(({ stages }) => stages.length === 0)) return true
  return chains.filter((chain) => chain.findRoom(envelope)).length > 0
}
