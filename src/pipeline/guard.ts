import { defer, Observable, Subject } from 'rxjs'
import type { OperatorFunction, Subscriber } from 'rxjs'
import { systemClock } from '../clock.ts'
import type { Clock } from '../clock.ts'
import type { Logger, PointChange, ProcessBatch, ProcessorAccount, ProcessorComponent } from '../component.ts'
import { asDeliveryError, errorMessage, retryable } from '../errors.ts'
import type { DeliveryError } from '../errors.ts'
import { MetricBatch } from '../otlp/batch.ts'
import { throttled } from '../throttled.ts'
import { Receipt } from './receipt.ts'
import type { Envelope } from './receipt.ts'
import type { PipelineSheet } from './telemetry.ts'

/** What a client is told; the log says why. */
const FAILED = 'A processor failed on these data points.'

const BUSY = retryable('A processor is busy: too many batches are waiting for it.', undefined, {
  reason: 'processor_busy',
})

/** Batches that may wait in one asynchronous processor; further ones are refused to their receiver. */
export const MAX_IN_FLIGHT = 16

/**
 * Makes a processor a step of a pipeline that nothing it does can end. A throw costs the batch in hand, counted under
 * `processor_error`, but for a `retryable` error, which refuses it to its receiver; a change in the number of points is counted as the processor declares it; asynchronous processors
 * keep the order of batches.
 */
export function guard(
  processor: ReturnType<ProcessorComponent['create']>,
  changes: ProcessorComponent['changes'],
  sheet: PipelineSheet,
  log: Logger,
  clock = systemClock,
): OperatorFunction<Envelope, Envelope> {
  return (source) =>
    new Observable<Envelope>((output) => {
      const step =
        typeof processor === 'function'
          ? new FunctionStep(processor, output, new Ledger(changes, sheet, log, clock))
          : new OperatorStep(processor.operator, output, new Ledger(changes, sheet, log, clock))
      return source.subscribe({ next: (envelope) => step.take(envelope), complete: () => step.complete() })
    })
}

/** Counts what a processor does to the number of points, in the terms it declared. */
class Ledger {
  #held = 0
  /** Points of the batch in hand that the processor says it left out. */
  #filtered = 0
  readonly #changes: ReadonlySet<PointChange>
  readonly #log: Logger
  readonly #account: ProcessorAccount = { filtered: (points) => void (this.#filtered += points) }

  constructor(
    changes: ProcessorComponent['changes'],
    readonly sheet: PipelineSheet,
    log: Logger,
    clock: Clock,
  ) {
    this.#changes = new Set(changes === undefined ? [] : [changes].flat())
    this.#log = throttled(log, clock)
  }

  /** A function is handed a batch, and this to say what it left out of it. */
  begin(): ProcessorAccount {
    this.#filtered = 0
    return this.#account
  }

  /** `points` went in and came out as `produced`, or as nothing yet. */
  turned(points: number, produced: number): void {
    this.sheet.filtered += this.#filtered
    points -= this.#filtered
    if (this.#changes.has('replaces')) {
      this.sheet.merged(points)
      this.sheet.created += produced
    } else if (produced < points) this.#missing(points - produced)
    else if (produced > points) this.appeared(produced - points)
  }

  /** `points` came out that did not go in with the batch in hand. */
  appeared(points: number): void {
    const released = Math.min(points, this.#held)
    this.#hold(-released)
    if (points === released) return
    this.sheet.created += points - released
    if (!this.#changes.has('creates') && !this.#changes.has('replaces')) {
      this.#log.error('The processor makes points without declaring `changes`; they are counted as created.')
    }
  }

  /** The batch in hand, of `points`, is lost with all that was held; `produced` points had come out of it already. */
  failed(points: number, error: unknown, produced = 0): void {
    const passed = this.#changes.has('replaces') ? 0 : Math.min(points, produced)
    this.sheet.created += produced - passed
    this.sheet.lost('processor_error', points - passed + this.#held)
    this.#hold(-this.#held)
    this.#log.error('The processor failed; the batch in its hands is dropped and counted.', {
      error: errorMessage(error),
    })
    if (error instanceof Error) {
      this.#log.debug('Where it failed.', { error: errorMessage(error), stack: error.stack })
    }
  }

  /** A batch is refused because as many wait as may. */
  busy(): void {
    this.#log.warn('The processor takes longer than batches take to come, or never answers: what comes is refused.', {
      waiting: MAX_IN_FLIGHT,
    })
  }

  /** Nothing more will come out. */
  ended(): void {
    this.sheet.lost('not_released', this.#held)
    this.#hold(-this.#held)
  }

  #missing(points: number): void {
    if (this.#changes.has('merges')) this.sheet.merged(points)
    else if (this.#changes.has('filters')) this.sheet.filtered += points
    else if (this.#changes.has('holds')) this.#hold(points)
    else {
      this.sheet.lost('undeclared', points)
      this.#log.error('The processor drops points without declaring `changes`; they are counted as dropped.')
    }
  }

  #hold(points: number): void {
    this.#held += points
    this.sheet.held += points
  }
}

interface Step {
  take(envelope: Envelope): void
  complete(): void
}

/** A function per batch. One that answers with a promise is asked again only when it has answered. */
class FunctionStep implements Step {
  readonly #waiting: Envelope[] = []
  /** Whether an answer is awaited, or what follows on it. */
  #busy = false
  #completed = false

  constructor(
    private readonly process: ProcessBatch,
    private readonly output: Subscriber<Envelope>,
    private readonly ledger: Ledger,
  ) {}

  take(envelope: Envelope): void {
    if (!this.#busy) {
      this.#run(envelope)
    } else if (this.#waiting.length < MAX_IN_FLIGHT) {
      this.ledger.sheet.held += envelope.batch.pointCount
      this.#waiting.push(envelope)
    } else {
      this.ledger.busy()
      refuse(envelope, this.ledger.sheet, BUSY)
    }
  }

  complete(): void {
    this.#completed = true
    if (!this.#busy) this.output.complete()
  }

  #run(envelope: Envelope): void {
    let result: ReturnType<ProcessBatch>
    try {
      result = this.process(envelope.batch, this.ledger.begin())
    } catch (error) {
      return this.#fail(envelope, error)
    }
    if (!isPromise(result)) return this.#turn(envelope, result)
    this.ledger.sheet.held += envelope.batch.pointCount
    this.#waiting.push(envelope)
    this.#busy = true
    this.#settle(result)
  }

  /** The head of `#waiting` is being processed; when it is done, the next one is. */
  #settle(result: Promise<MetricBatch | undefined>): void {
    void result
      .then(
        (batch) => this.#turn(this.#release(), batch),
        (error: unknown) => this.#fail(this.#release(), error),
      )
      .then(() => this.#next())
  }

  #next(): void {
    const envelope = this.#waiting[0]
    if (envelope === undefined) {
      this.#busy = false
      if (this.#completed) this.output.complete()
      return
    }
    this.#settle(Promise.resolve(envelope.batch).then((batch) => this.process(batch, this.ledger.begin())))
  }

  #release(): Envelope {
    const envelope = this.#waiting.shift() as Envelope
    this.ledger.sheet.held -= envelope.batch.pointCount
    return envelope
  }

  #turn(envelope: Envelope, batch: MetricBatch | undefined): void {
    if (batch !== undefined && !(batch instanceof MetricBatch)) {
      return this.#fail(envelope, new TypeError('A processor must return a MetricBatch or undefined.'))
    }
    this.ledger.turned(envelope.batch.pointCount, batch?.pointCount ?? 0)
    if (batch === undefined || batch.pointCount === 0) envelope.receipt.close()
    else this.output.next({ batch, receipt: envelope.receipt })
  }

  #fail(envelope: Envelope, error: unknown): void {
    const known = asDeliveryError(error)
    if (known?.kind === 'retryable') return refuse(envelope, this.ledger.sheet, known)
    this.ledger.failed(envelope.batch.pointCount, error)
    envelope.receipt.lose(envelope.batch.pointCount, FAILED)
  }
}

/** An RxJS operator. What it emits while it is handed a batch inherits the receipt; a batch that it keeps it has taken. */
class OperatorStep implements Step {
  #input: Subject<MetricBatch> | undefined
  #current: Envelope | undefined
  #produced = 0
  #completing = false

  constructor(
    private readonly operator: OperatorFunction<MetricBatch, MetricBatch>,
    private readonly output: Subscriber<Envelope>,
    private readonly ledger: Ledger,
  ) {}

  take(envelope: Envelope): void {
    this.#current = envelope
    this.#produced = 0
    if (this.#input === undefined) this.#connect()
    const input = this.#input
    input?.next(envelope.batch)
    this.#current = undefined
    // When the operator failed meanwhile, `#fail` has counted the batch.
    if (input !== undefined && input === this.#input) {
      this.ledger.turned(envelope.batch.pointCount, this.#produced)
      envelope.receipt.close()
    } else if (this.#produced > 0) envelope.receipt.close()
    else envelope.receipt.lose(envelope.batch.pointCount, FAILED)
  }

  complete(): void {
    this.#completing = true
    if (this.#input === undefined) this.output.complete()
    else this.#input.complete()
  }

  #connect(): void {
    const input = new Subject<MetricBatch>()
    this.#input = input
    defer(() => this.operator(input)).subscribe({
      next: (batch) => this.#emit(batch),
      error: (error: unknown) => this.#fail(error),
      complete: () => {
        if (this.#completing) this.#end()
        else this.#fail(new Error('The operator completed while batches were still coming.'))
      },
    })
  }

  /** The operator is gone, with the batch in hand and all it held; the next batch gets a new one. */
  #fail(error: unknown): void {
    this.#input = undefined
    this.ledger.failed(this.#current?.batch.pointCount ?? 0, error, this.#produced)
    if (this.#completing) this.#end()
  }

  #end(): void {
    this.ledger.ended()
    this.output.complete()
  }

  #emit(batch: MetricBatch): void {
    if (batch.pointCount === 0) return
    if (this.#current === undefined) {
      this.ledger.appeared(batch.pointCount)
      this.output.next({ batch, receipt: new Receipt(1) })
    } else {
      this.#produced += batch.pointCount
      this.#current.receipt.branch(1)
      this.output.next({ batch, receipt: this.#current.receipt })
    }
  }
}

function isPromise(result: ReturnType<ProcessBatch>): result is Promise<MetricBatch | undefined> {
  return typeof result === 'object' && result !== null && 'then' in result
}

/** Lets a batch go back to its receiver; what that cannot keep is lost, and counted under the reason of `error`. */
export function refuse(envelope: Envelope, sheet: PipelineSheet, error: DeliveryError): void {
  const points = envelope.batch.pointCount
  sheet.held += points
  envelope.receipt.whenSettled((refused) => {
    sheet.held -= points
    if (refused) sheet.refused += points
    else sheet.lost(error.reason, points)
  })
  envelope.receipt.refuse(error)
}
