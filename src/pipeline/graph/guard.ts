import { defer, map, Observable, Subject } from 'rxjs'
import type { OperatorFunction, Subscriber } from 'rxjs'
import type { Clock, Timer } from '../../time/clock.ts'
import type { Context } from '../../component/context.ts'
import type { Logger } from '../../component/logger.ts'
import type {
  PointChange,
  ProcessBatch,
  ProcessorAccount,
  ProcessorComponent,
  ProcessorOperator,
} from '../../component/processor.ts'
import { asDeliveryError, errorMessage, retryable } from '../../errors.ts'
import type { DeliveryError } from '../../errors.ts'
import type { Settings } from '../../component/settings.ts'
import type { Batch } from '../../otlp/signal.ts'
import { handedOver } from '../../otlp/signals.ts'
import { stackOf } from '../../process_exit.ts'
import { throttled } from '../../throttled.ts'
import { Receipt } from './receipt.ts'
import type { Envelope } from './receipt.ts'
import { whole } from '../telemetry/telemetry.ts'
import type { PipelineSheet } from '../telemetry/telemetry.ts'

/** The message for a client; the log gives the cause. */
const FAILED = 'A processor failed on this data.'

const BUSY = retryable('A processor is busy: too many batches are waiting for it.', undefined, {
  reason: 'processor_busy',
})

/** Batches that may wait in one asynchronous processor; further ones are refused to their receiver. */
export const MAX_IN_FLIGHT = 16

/** The same for a processor of this package, which only answers late while it works on a large batch in turns. */
const MAX_BEHIND = 1000

/** Milliseconds after which a batch that a processor still holds is reported. */
const SLOW = 30_000

interface Guarded {
  readonly changes: ProcessorComponent['changes']
  readonly sheet: PipelineSheet
  readonly log: Logger
  /** Whether its results have to be checked; those of this package's own components need not be. */
  readonly custom: boolean
  /** Milliseconds until a batch is given up whose promise has not settled; 0: never. */
  readonly timeout: () => number
  /** Called with the reason why the processor does not work as it should, and again when it recovers. */
  readonly report: Context['report']
  readonly clock: Clock
}

/**
 * Makes a processor a step of a pipeline, so that no failure of it ends the pipeline. If the processor throws, only the
 * current batch is lost, counted under `processor_error`; a `retryable` error refuses the batch to its receiver
 * instead. A change in the number of items is counted as the processor declares it. Asynchronous processors keep the
 * order of batches; one that does not answer in time loses the batch, counted under `processor_timeout`.
 */
export function guard(
  processor: ReturnType<ProcessorComponent<Settings, Batch>['create']>,
  guarded: Guarded,
): OperatorFunction<Envelope, Envelope> {
  return (source) =>
    new Observable<Envelope>((output) => {
      const ledger = new Ledger(guarded)
      const step =
        typeof processor === 'function'
          ? new FunctionStep(processor, output, ledger, guarded)
          : new OperatorStep(processor, output, ledger, guarded)
      return source.subscribe({ next: (envelope) => step.take(envelope), complete: () => step.complete() })
    })
}

/** Points of a batch that a function reports as left out. */
class Said implements ProcessorAccount {
  items = 0

  /** @param all all points of the batch */
  constructor(private readonly all: number) {}

  readonly filtered = (items: number): void => {
    const said = this.items + whole(items, '`account.filtered` must be given')
    if (said > this.all) {
      const most = `at most the ${this.all} items of the batch in hand, all calls together`
      throw new TypeError(`\`account.filtered\` must be given ${most}, not ${said}`)
    }
    this.items = said
  }
}

/** Counts the changes that a processor makes to the number of items, as it declared them. */
class Ledger {
  #held = 0
  readonly sheet: PipelineSheet
  readonly #changes: ReadonlySet<PointChange>
  readonly #log: Logger

  constructor({ changes, sheet, log, clock }: Guarded) {
    this.sheet = sheet
    this.#changes = new Set(changes === undefined ? [] : [changes].flat())
    this.#log = throttled(log, clock)
  }

  /** `items` went in and came out as `produced`, or as nothing yet, except for those that were `filtered`. */
  turned(items: number, produced: number, filtered = 0): void {
    this.sheet.filtered += filtered
    items -= filtered
    if (this.#changes.has('replaces')) {
      this.sheet.merged(items)
      this.sheet.created += produced
    } else if (produced < items) this.#missing(items - produced)
    else if (produced > items) this.appeared(produced - items)
  }

  /** `items` came out that did not go in with the current batch. */
  appeared(items: number): void {
    const released = Math.min(items, this.#held)
    this.#hold(-released)
    if (items === released) return
    this.sheet.created += items - released
    if (!this.#changes.has('creates') && !this.#changes.has('replaces')) {
      this.#log.error('The processor adds items without declaring it in `changes`; they are counted as created.')
    }
  }

  /** The current batch, of `items`, is lost with all data that was held; `produced` items had already come out of it. */
  failed(items: number, error: unknown, produced = 0): void {
    const passed = this.#changes.has('replaces') ? 0 : Math.min(items, produced)
    this.sheet.created += produced - passed
    this.sheet.lost('processor_error', items - passed + this.#held)
    this.#hold(-this.#held)
    this.#log.error('The processor failed; the current batch is dropped and counted.', {
      event: 'processor_failed',
      error: errorMessage(error),
    })
    const stack = stackOf(error)
    if (stack !== '') this.#log.debug('Where it failed.', { error: errorMessage(error), stack })
  }

  /** A batch of `items` is given up. */
  late(items: number, timeout: number): void {
    this.sheet.lost('processor_timeout', items)
    this.#log.error('The processor does not finish in time; the current batch is dropped and counted.', {
      event: 'processor_timeout',
      processor_timeout: `${timeout}ms`,
    })
  }

  /** A batch is refused because the most batches allowed are waiting. */
  busy(waiting: number): void {
    this.#log.warn('The processor is slower than the incoming data, or is stuck; new batches are refused.', {
      event: 'processor_busy',
      waiting,
    })
  }

  refuse(envelope: Envelope, error: DeliveryError): void {
    refuse(envelope, this.sheet, error, this.#log)
  }

  /** Nothing more will come out. */
  ended(): void {
    if (this.#held === 0) return
    this.sheet.lost('not_released', this.#held)
    this.#log.error(
      'The processor ended without emitting the data that it held; that data is dropped and counted. An operator must emit it when its source completes.',
      { items: this.#held },
    )
    this.#hold(-this.#held)
  }

  #missing(items: number): void {
    if (this.#changes.has('merges')) this.sheet.merged(items)
    else if (this.#changes.has('filters')) this.sheet.filtered += items
    else if (this.#changes.has('holds')) this.#hold(items)
    else {
      this.sheet.lost('undeclared', items)
      this.#log.error('The processor removes items without declaring it in `changes`; they are counted as dropped.')
    }
  }

  #hold(items: number): void {
    this.#held += items
    this.sheet.held += items
  }
}

interface Step {
  take(envelope: Envelope): void
  complete(): void
}

/** A function for each batch. If it returns a promise, it is called again only when the promise has settled or its time is over. */
class FunctionStep implements Step {
  readonly #waiting: Envelope[] = []
  /** Whether an answer, or the work that follows it, is awaited. */
  #busy = false
  #completed = false
  /** Whether a late answer was reported. */
  #isReported = false

  constructor(
    private readonly process: ProcessBatch<Batch>,
    private readonly output: Subscriber<Envelope>,
    private readonly ledger: Ledger,
    private readonly guarded: Guarded,
  ) {}

  take(envelope: Envelope): void {
    if (!this.#busy) {
      this.#run(envelope)
    } else if (this.#waiting.length < (this.guarded.custom ? MAX_IN_FLIGHT : MAX_BEHIND)) {
      this.ledger.sheet.held += envelope.batch.itemCount
      this.#waiting.push(envelope)
    } else {
      this.ledger.busy(this.#waiting.length)
      this.ledger.refuse(envelope, BUSY)
    }
  }

  complete(): void {
    this.#completed = true
    if (!this.#busy) this.output.complete()
  }

  #run(envelope: Envelope): void {
    const said = new Said(envelope.batch.itemCount)
    let result: ReturnType<ProcessBatch<Batch>>
    let isAwaited: boolean
    try {
      result = this.process(envelope.batch, said)
      isAwaited = isPromise(result)
    } catch (error) {
      return this.#fail(envelope, error)
    }
    if (!isAwaited) return this.#turn(envelope, result as Batch | undefined, said)
    this.ledger.sheet.held += envelope.batch.itemCount
    this.#waiting.push(envelope)
    this.#busy = true
    this.#settle(Promise.resolve(result), said)
  }

  /** The head of `#waiting` is being processed; when it is done or given up, the next one is. */
  #settle(result: Promise<Batch | undefined>, said: Said): void {
    const { clock } = this.guarded
    const timeout = this.guarded.timeout()
    const slow = clock.setTimeout(() => {
      this.#isReported = true
      this.guarded.report(`It has not answered on a batch for ${SLOW / 1000} s.`)
    }, SLOW)
    // A later result is ignored.
    let end = (how: () => void): void => {
      end = () => undefined
      clock.clearTimeout(slow)
      clock.clearTimeout(late)
      how()
      this.#next()
    }
    let late: Timer | undefined
    if (timeout > 0) late = clock.setTimeout(() => end(() => this.#giveUp(timeout)), timeout)
    result.then(
      (batch) => end(() => this.#answered(() => this.#turn(this.#release(), batch, said))),
      (error: unknown) => end(() => this.#answered(() => this.#fail(this.#release(), error))),
    )
  }

  #answered(settle: () => void): void {
    if (this.#isReported) this.guarded.report(undefined)
    this.#isReported = false
    settle()
  }

  #giveUp(timeout: number): void {
    const { batch, receipt } = this.#release()
    this.ledger.late(batch.itemCount, timeout)
    receipt.lose(batch.itemCount, FAILED)
  }

  #next(): void {
    const envelope = this.#waiting[0]
    if (envelope === undefined) {
      this.#busy = false
      if (this.#completed) this.output.complete()
      return
    }
    const said = new Said(envelope.batch.itemCount)
    this.#settle(
      Promise.resolve(envelope.batch).then((batch) => this.process(batch, said)),
      said,
    )
  }

  #release(): Envelope {
    const envelope = this.#waiting.shift() as Envelope
    this.ledger.sheet.held -= envelope.batch.itemCount
    return envelope
  }

  #turn(envelope: Envelope, result: Batch | undefined, said: Said): void {
    let batch: Batch | undefined
    try {
      batch = result === undefined || !this.guarded.custom ? result : handedOver(result, [this.ledger.sheet.signal])
    } catch (error) {
      return this.#fail(envelope, new TypeError(`its result: ${errorMessage(error)}`))
    }
    this.ledger.turned(envelope.batch.itemCount, batch?.itemCount ?? 0, said.items)
    if (batch === undefined || batch.itemCount === 0) envelope.receipt.close()
    else this.output.next({ batch, receipt: envelope.receipt })
  }

  #fail(envelope: Envelope, error: unknown): void {
    const known = asDeliveryError(error)
    if (known?.kind === 'retryable') return this.ledger.refuse(envelope, known)
    this.ledger.failed(envelope.batch.itemCount, error)
    envelope.receipt.lose(envelope.batch.itemCount, FAILED)
  }
}

/**
 * An RxJS operator. Data that it emits while it is handed a batch inherits the receipt; if it keeps the batch, the
 * batch counts as taken.
 */
class OperatorStep implements Step {
  #input: Subject<Batch> | undefined
  #current: Envelope | undefined
  #produced = 0
  #completing = false

  constructor(
    private readonly processor: ProcessorOperator<Batch>,
    private readonly output: Subscriber<Envelope>,
    private readonly ledger: Ledger,
    private readonly guarded: { readonly custom: boolean },
  ) {}

  take(envelope: Envelope): void {
    this.#current = envelope
    this.#produced = 0
    if (this.#input === undefined) this.#connect()
    const input = this.#input
    input?.next(envelope.batch)
    this.#current = undefined
    // If the operator failed meanwhile, `#fail` has counted the batch.
    if (input !== undefined && input === this.#input) {
      this.ledger.turned(envelope.batch.itemCount, this.#produced)
      envelope.receipt.close()
    } else if (this.#produced > 0) envelope.receipt.close()
    else envelope.receipt.lose(envelope.batch.itemCount, FAILED)
  }

  complete(): void {
    this.#completing = true
    if (this.#input === undefined) this.output.complete()
    else this.#input.complete()
  }

  #connect(): void {
    const input = new Subject<Batch>()
    this.#input = input
    const emitted = defer(() => this.processor.operator(input))
    // What is no batch ends the operator, as a throw does.
    const checked = this.guarded.custom ? emitted.pipe(map((batch) => emittedBatch(batch, this.ledger.sheet))) : emitted
    checked.subscribe({
      next: (batch) => this.#emit(batch),
      error: (error: unknown) => this.#fail(error),
      complete: () => {
        if (this.#completing) this.#end()
        else this.#fail(new Error('The operator completed while batches were still coming.'))
      },
    })
  }

  /** The operator is gone, with the current batch and all data that it held; the next batch gets a new one. */
  #fail(error: unknown): void {
    this.#input = undefined
    this.ledger.failed(this.#current?.batch.itemCount ?? 0, error, this.#produced)
    if (this.#completing) this.#end()
  }

  #end(): void {
    this.ledger.ended()
    this.output.complete()
  }

  #emit(batch: Batch): void {
    if (batch.itemCount === 0) return
    if (this.#current === undefined) {
      this.ledger.appeared(batch.itemCount)
      this.output.next({ batch, receipt: new Receipt(1) })
    } else {
      this.#produced += batch.itemCount
      this.#current.receipt.branch(1)
      this.output.next({ batch, receipt: this.#current.receipt })
    }
  }
}

function emittedBatch(emitted: unknown, { signal }: PipelineSheet): Batch {
  try {
    return handedOver(emitted, [signal])
  } catch (error) {
    throw new TypeError(`its output: ${errorMessage(error)}`, { cause: error })
  }
}

function isPromise(result: ReturnType<ProcessBatch<Batch>>): boolean {
  return typeof result === 'object' && typeof (result as { then?: unknown } | null)?.then === 'function'
}

/** Lets a batch go back to its receiver; if the receiver cannot keep it, it is lost and counted under the reason of `error`. */
export function refuse(envelope: Envelope, sheet: PipelineSheet, error: DeliveryError, log: Logger): void {
  const items = envelope.batch.itemCount
  sheet.held += items
  envelope.receipt.whenSettled((refused) => {
    sheet.held -= items
    if (refused) sheet.refused += items
    else {
      sheet.lost(error.reason, items)
      log.error(
        `${sheet.items} were refused (${error.reason}); those that their receiver cannot keep are dropped and counted.`,
        {
          ...{ event: 'items_refused', reason: error.reason, error: error.message, items },
        },
      )
    }
  })
  envelope.receipt.refuse(error)
}
