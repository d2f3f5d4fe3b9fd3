import { Subject } from 'rxjs'
import type { Clock } from '../../time/clock.ts'
import type { Context } from '../../component/context.ts'
import type { Logger } from '../../component/logger.ts'
import type { ProcessorComponent } from '../../component/processor.ts'
import type { Settings } from '../../component/settings.ts'
import type { Batch } from '../../otlp/signal.ts'
import type { Configured } from '../config/config.ts'
import type { Delivery } from '../delivery/delivery.ts'
import { guard } from './guard.ts'
import type { Lifetime } from './lifetime.ts'
import { isBuiltin } from '../modules/load.ts'
import type { Envelope } from './receipt.ts'
import type { PipelineSheet, ProcessorSheet } from '../telemetry/telemetry.ts'

type Processor = ProcessorComponent<Settings, Batch>

interface StageOptions {
  readonly configured: Configured<Processor>
  readonly created: ReturnType<Processor['create']>
  readonly lifetime: Lifetime
  readonly log: Logger
  readonly report: Context['report']
  readonly clock: Clock
}

/** One processor of one pipeline, created and perhaps not running yet. */
export class Stage {
  readonly #input = new Subject<Envelope>()
  #counts: ProcessorSheet | undefined
  #released: Promise<void> = Promise.resolve()
  #timeout = 0
  /** The destination of its output. */
  next: (envelope: Envelope) => void = () => undefined

  constructor(private readonly options: StageOptions) {}

  get configured(): Configured<Processor> {
    return this.options.configured
  }

  get lifetime(): Lifetime {
    return this.options.lifetime
  }

  /** Joins the pipeline with the given sheet; a later call only changes the timeout. `timeout`: `service.processor_timeout`. */
  join(sheet: PipelineSheet, counts: ProcessorSheet, timeout: number): void {
    this.#timeout = timeout
    if (this.#counts !== undefined) return
    this.#counts = counts
    const { created, configured, log, report, clock } = this.options
    const { changes } = configured.component
    const custom = !isBuiltin(configured.component)
    const guarded = this.#input.pipe(
      guard(created, { changes, sheet, log, custom, timeout: () => this.#timeout, report, clock }),
    )
    this.#released = new Promise((resolve) => {
      guarded.subscribe({
        next: (envelope) => {
          counts.outgoing += envelope.batch.itemCount
          this.next(envelope)
        },
        complete: () => resolve(),
      })
    })
  }

  take(envelope: Envelope): void {
    if (this.#counts !== undefined) this.#counts.incoming += envelope.batch.itemCount
    this.#input.next(envelope)
  }

  /** No more batches will come. Resolves when all batches that went in have come out. */
  async release(): Promise<void> {
    this.#input.complete()
    await this.#released
  }
}

/** One pipeline: the path of the batches of its signal through its processors to its exporters. */
export class Chain {
  #stages: readonly Stage[] = []
  #deliveries: readonly Delivery[] = []

  constructor(readonly sheet: PipelineSheet) {}

  get stages(): readonly Stage[] {
    return this.#stages
  }

  /**
   * Leads all later batches, and all later output of stages that stay, through these stages to these deliveries.
   * Batches inside a removed stage still take the path that led on from it, as far as that stays.
   */
  lead(stages: readonly Stage[], deliveries: readonly Delivery[]): void {
    this.#stages = stages
    this.#deliveries = deliveries
    for (const [index, stage] of stages.entries()) {
      const next = stages.at(index + 1)
      stage.next = next === undefined ? (envelope) => this.handOn(envelope) : (envelope) => next.take(envelope)
    }
  }

  take(envelope: Envelope): void {
    if (this.#stages.length > 0) this.#stages[0].take(envelope)
    else this.handOn(envelope)
  }

  /** Reserves room for a batch before it goes through the processors, which may remember it. Returns whether an exporter has any. */
  findRoom(envelope: Envelope): boolean {
    return this.#deliveries.filter((delivery) => delivery.findRoom(envelope)).length > 0
  }

  /** Refuses a batch that no exporter has room for, as each of them would. */
  refuse(envelope: Envelope): void {
    this.handOn(envelope, (delivery) => delivery.refuse(envelope))
  }

  /** The end of the pipeline: the same batch, without a copy, goes to each exporter. */
  private handOn(envelope: Envelope, give = (delivery: Delivery): void => delivery.offer(envelope)): void {
    const items = envelope.batch.itemCount
    const { sheet } = this
    sheet.held += items
    envelope.receipt.whenSettled((refused) => {
      sheet.held -= items
      if (refused) sheet.refused += items
      else sheet.handedOn += items
    })
    const deliveries = this.#deliveries
    envelope.receipt.branch(deliveries.length - 1)
    for (const delivery of deliveries) give(delivery)
  }
}
