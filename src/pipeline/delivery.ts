import { setMaxListeners } from 'node:events'
import { setTimeout as wait } from 'node:timers/promises'
import type { Account, Exporter, ExportRequest, Logger } from '../component.ts'
import { asDeliveryError, errorMessage, permanent, retryable, UNAUTHORIZED } from '../errors.ts'
import type { DeliveryError } from '../errors.ts'
import { MetricBatch } from '../otlp/batch.ts'
import { splitBatch } from '../otlp/split.ts'
import { throttled } from './log.ts'
import { MemoryQueue } from './queue.ts'
import type { Queue, QueueStatus, Taken } from './queue.ts'
import { DiskQueue } from './queue/disk.ts'
import type { Envelope } from './receipt.ts'
import type { DeliveryConfig } from './settings.ts'
import type { ExporterSheet } from './telemetry.ts'

/** `max_elapsed_time` of a queue in memory when it is not set; on disk there is no limit then. */
const MAX_ELAPSED_TIME = 300_000

/** Batches that may wait for room in a full queue; further ones are refused. */
const MAX_BLOCKED = 1000

/** The longest wait that a destination can impose with `Retry-After`. */
const MAX_RETRY_AFTER = 300_000

/**
 * What stands around every exporter: a bounded queue, batching, retry request by request, a timeout for each attempt,
 * and the count of what became of every point. Collection never waits for it.
 */
export class Delivery {
  readonly #queue: Queue
  readonly #log: Logger
  readonly #abort = new AbortController()
  /** Ends the waits of batches that are on disk: at a stop they stay there. */
  readonly #leave = new AbortController()
  readonly #maxElapsedTime: number
  /** Parts of a batch that was split, next to be sent. */
  readonly #parts: Taken[] = []
  /** Batches that wait for room in the queue. */
  readonly #blocked: Envelope[] = []
  /** What consumers have taken out of the queue. */
  readonly #taken = new Set<Taken>()
  #flushTimer: NodeJS.Timeout | undefined
  #flushDue = false
  #draining = false
  #drained: Promise<void> | undefined
  /** What is left stays on disk. */
  #leaving = false
  #whenIdle: (() => void) | undefined

  constructor(
    private readonly exporter: Exporter,
    private readonly config: DeliveryConfig,
    private readonly sheet: ExporterSheet,
    log: Logger,
    id: string,
  ) {
    this.#log = throttled(log)
    const { directory } = config.sending_queue
    this.#queue =
      directory === undefined
        ? new MemoryQueue(config.sending_queue)
        : new DiskQueue(directory, id, config.sending_queue, this.#events, this.#log)
    this.#maxElapsedTime = config.retry_on_failure.max_elapsed_time ?? (directory === undefined ? MAX_ELAPSED_TIME : 0)
    if (config.sending_queue.enabled) sheet.queueStatus = () => this.#status()
    // Every consumer listens while it sends or waits.
    setMaxListeners(0, this.#abort.signal, this.#leave.signal)
  }

  /** Of the queue, as if batches left it only when they are delivered or given up. */
  #status(): QueueStatus {
    const status = this.#queue.status()
    const since = [...this.#taken, ...this.#parts].map((taken) => taken.since)
    const oldest = Math.min(...since, status.oldest ?? Infinity)
    return { ...status, oldest: oldest === Infinity ? undefined : oldest }
  }

  /** What the queue on disk tells. */
  get #events() {
    return {
      changed: () => {
        this.#pump()
        this.#checkIdle()
      },
      restored: (points: number) => {
        this.sheet.restored += points
        this.sheet.queued += points
      },
      lost: (reason: string, points: number) => {
        this.sheet.queued -= points
        this.sheet.lost(reason, points)
      },
    }
  }

  /** Opens the queue; batches may be offered before. @throws InUseError when another process has its directory */
  open(): Promise<void> {
    return this.#queue.open()
  }

  /** Takes the batch into the queue, or refuses it. Ends one branch of the receipt, once the queue has it for good. */
  offer(envelope: Envelope): void {
    if (this.#blocked.length === 0 && this.#makeRoom(envelope.batch)) {
      this.#take(envelope)
      this.#pump()
    } else if (this.#mayWait(envelope)) this.#blocked.push(envelope)
    else this.#refuse(envelope)
  }

  /**
   * Sends what is left, until `deadline` aborts. What is on disk stays there then, and also when the destination does not
   * take it: that is counted as kept. All else that has not been sent is dropped and counted under `shutdown`.
   */
  drain(deadline: AbortSignal): Promise<void> {
    return (this.#drained ??= this.#drain(deadline))
  }

  async #drain(deadline: AbortSignal): Promise<void> {
    this.#draining = true
    this.#leave.abort()
    for (const envelope of this.#blocked.splice(0)) this.#refuse(envelope)
    const idle = new Promise<void>((resolve) => (this.#whenIdle = resolve))
    const abort = (): void => this.#abort.abort()
    deadline.addEventListener('abort', abort, { once: true })
    if (deadline.aborted) abort()
    this.#pump()
    this.#checkIdle()
    await idle
    deadline.removeEventListener('abort', abort)
    clearTimeout(this.#flushTimer)
    for (const { batch, stored } of this.#parts.splice(0)) {
      this.sheet.queued -= batch.pointCount
      this.#leaveBehind(batch.pointCount, stored)
    }
    const { kept } = await this.#queue.close()
    this.#leaveBehind(kept, true)
    this.#leaveBehind(this.sheet.queued - kept, false)
    this.sheet.queued = 0
  }

  /** Counts points that are not sent before the process ends. */
  #leaveBehind(points: number, stored: boolean): void {
    if (stored) this.sheet.kept += points
    else this.sheet.lost('shutdown', points)
  }

  #mayWait({ receipt }: Envelope): boolean {
    const waits = this.config.sending_queue.block_on_overflow && receipt.refusable
    return waits && !this.#draining && this.#blocked.length < MAX_BLOCKED
  }

  #refuse({ batch, receipt }: Envelope): void {
    this.sheet.enqueueFailed += batch.pointCount
    receipt.whenSettled((refused) => {
      if (refused) return
      this.sheet.handedIn += batch.pointCount
      this.sheet.lost('queue_full', batch.pointCount)
      this.#log.error('The sending queue is full; what its source cannot keep is dropped and counted.')
    })
    receipt.refuse(retryable('The sending queue is full.', this.config.retry_on_failure.initial_interval))
  }

  #take({ batch, receipt }: Envelope): void {
    this.sheet.handedIn += batch.pointCount
    const prepared = this.#prepare(batch)
    if (prepared === undefined) return receipt.lose(batch.pointCount, 'An exporter failed on these data points.')
    this.sheet.queued += prepared.pointCount
    if (prepared.pointCount === 0) return receipt.close()
    if (!this.config.sending_queue.enabled) {
      void this.#consume({ batch: prepared, stored: false, since: Date.now(), done: () => receipt.close() })
      return
    }
    const written = this.#queue.push(prepared.compacted())
    if (written === undefined) receipt.close()
    else void written.then(() => receipt.close())
  }

  #makeRoom(batch: MetricBatch): boolean {
    const { enabled, on_full, num_consumers } = this.config.sending_queue
    if (this.#draining) return false
    if (!enabled) return this.#taken.size < num_consumers
    while (!this.#queue.fits(batch)) {
      const dropped = on_full === 'refuse' ? undefined : this.#queue.dropOldest(batch)
      if (dropped === undefined) return false
      this.sheet.queued -= dropped
      this.sheet.lost('queue_full', dropped)
      this.#log.error('The sending queue is full; its oldest batch is dropped and counted.')
    }
    return true
  }

  /** `undefined` when the exporter failed. */
  #prepare(batch: MetricBatch): MetricBatch | undefined {
    let accounted = 0
    const account: Account = {
      created: (points) => {
        accounted -= points
        this.sheet.created += points
      },
      merged: (points) => {
        accounted += points
        this.sheet.merged(points)
      },
      dropped: (reason, points) => {
        accounted += points
        this.sheet.dropped(reason, points)
      },
    }
    let prepared: MetricBatch | undefined
    try {
      prepared = this.exporter.prepare?.(batch, account) ?? batch
    } catch (error) {
      this.#log.error('The exporter failed to prepare a batch, which is dropped and counted.', {
        error: errorMessage(error),
      })
    }
    const reason = prepared === undefined ? 'exporter_error' : 'unaccounted'
    this.#balance(reason, batch.pointCount - accounted - (prepared?.pointCount ?? 0))
    return prepared
  }

  /** Points that an exporter neither passed on nor said anything about are lost; this is a fault of the exporter. */
  #balance(reason: string, difference: number): void {
    if (difference === 0) return
    this.sheet.lost(reason, difference)
    if (reason === 'unaccounted') {
      this.#log.error('The exporter did not account for all points of a batch.', { points: difference })
    }
  }

  /** Starts consumers as long as there is work for them. */
  #pump(): void {
    if (this.#abort.signal.aborted || this.#leaving) return
    do {
      while (this.#taken.size < this.config.sending_queue.num_consumers) {
        const taken = this.#next()
        if (taken === undefined) break
        void this.#consume(taken)
      }
    } while (this.#admit())
  }

  /** Takes batches that waited for room. Returns whether it took any. */
  #admit(): boolean {
    let admitted = false
    while (this.#blocked.length > 0 && this.#makeRoom(this.#blocked[0].batch)) {
      this.#take(this.#blocked.shift() as Envelope)
      admitted = true
    }
    return admitted
  }

  /** The next batch to send, joined and split as `sending_queue.batch` says; `undefined` when there is nothing to send yet. */
  #next(): Taken | undefined {
    const part = this.#parts.shift()
    if (part !== undefined) return part
    const { batch } = this.config.sending_queue
    if (batch === undefined || this.#queue.points === 0) return this.#queue.shift()
    if (this.#queue.points < batch.min_size && !this.#flushDue && !this.#draining) {
      this.#flushTimer ??= setTimeout(() => {
        this.#flushTimer = undefined
        this.#flushDue = true
        this.#pump()
      }, batch.flush_timeout)
      return undefined
    }
    clearTimeout(this.#flushTimer)
    this.#flushTimer = undefined
    this.#flushDue = false
    const joined = this.#join(Math.max(batch.min_size, batch.max_size))
    if (joined === undefined || batch.max_size === 0) return joined
    const parts = splitBatch(joined.batch, batch.max_size)
    let left = parts.length
    const done = (): void => {
      if (--left === 0) joined.done()
    }
    this.#parts.push(...parts.map((batch) => ({ ...joined, batch, done })))
    return this.#parts.shift()
  }

  /** Batches of at least `size` data points together, or what there is of them, as one. */
  #join(size: number): Taken | undefined {
    const joined: Taken[] = []
    for (let points = 0; points === 0 || points < size;) {
      const next = this.#queue.shift()
      if (next === undefined) break
      joined.push(next)
      points += next.batch.pointCount
    }
    if (joined.length < 2) return joined[0]
    return {
      batch: MetricBatch.merge(joined.map(({ batch }) => batch)),
      stored: joined.every(({ stored }) => stored),
      since: joined[0].since,
      done: () => joined.forEach(({ done }) => done()),
    }
  }

  /** Encodes a batch and sends its requests one after the other. Never rejects. */
  async #consume(taken: Taken): Promise<void> {
    const { batch, stored, done } = taken
    this.#taken.add(taken)
    this.sheet.requestsInFlight = this.#taken.size
    let remaining = batch.pointCount
    this.sheet.queued -= remaining
    this.sheet.inFlight += remaining
    const leave = (points: number): void => {
      remaining -= points
      this.sheet.inFlight -= points
    }
    let reason = 'unaccounted'
    let kept = false
    try {
      const requests = this.exporter.encode(batch, {
        created: (points) => {
          leave(-points)
          this.sheet.created += points
        },
        merged: (points) => {
          leave(points)
          this.sheet.merged(points)
        },
        dropped: (cause, points) => {
          leave(points)
          this.sheet.dropped(cause, points)
        },
      })
      for (const request of requests) {
        kept = !(await this.#deliver(request, stored, leave))
        if (kept) break
      }
    } catch (error) {
      reason = 'exporter_error'
      this.#log.error('The exporter failed to encode a batch, which is dropped and counted.', {
        error: errorMessage(error),
      })
    }
    if (kept) {
      this.sheet.kept += remaining
      this.#leaving = true
    } else {
      this.#balance(reason, remaining)
      done()
    }
    leave(remaining)
    this.#taken.delete(taken)
    this.sheet.requestsInFlight = this.#taken.size
    this.#pump()
    this.#checkIdle()
  }

  /**
   * Sends one request until it is delivered or given up, counts what became of its points and tells `leave`. Returns
   * false if instead the process stops and the request is left on disk. Never rejects.
   */
  async #deliver(request: ExportRequest, stored: boolean, leave: (points: number) => void): Promise<boolean> {
    const { enabled, max_interval, multiplier, randomization_factor, ...retry } = this.config.retry_on_failure
    const started = performance.now()
    let interval = retry.initial_interval
    const drop = (reason: string, error: DeliveryError): true => {
      this.#drop(request, reason, error)
      leave(request.points)
      return true
    }
    for (;;) {
      const error = await this.#attempt(request)
      if (error === undefined) {
        this.sheet.sent += request.points
        leave(request.points)
        this.#recovered()
        return true
      }
      switch (error.kind) {
        case 'partial':
          this.sheet.rejected += error.rejected
          this.sheet.sendFailed += error.rejected
          this.sheet.sent += request.points - error.rejected
          leave(request.points)
          this.#log.error('The destination rejected a part of a request.', {
            error: error.message,
            points: error.rejected,
          })
          return true
        case 'permanent':
          return drop(error.reason, error)
        case 'divisible': {
          const parts = request.divide?.()
          if (parts === undefined) return drop(error.reason, error)
          for (const part of parts) if (!(await this.#deliver(part, stored, leave))) return false
          return true
        }
        case 'retryable': {
          if (stored && this.#draining) return false
          if (this.#abort.signal.aborted) return drop('shutdown', error)
          if (!enabled) return drop(error.reason, error)
          const spread = randomization_factor * (2 * Math.random() - 1)
          const pause = error.after === undefined ? interval * (1 + spread) : Math.min(error.after, MAX_RETRY_AFTER)
          const elapsed = performance.now() - started
          if (this.#maxElapsedTime > 0 && elapsed + pause > this.#maxElapsedTime) {
            return drop('retries_exhausted', error)
          }
          this.#failed(error)
          const fields = { error: error.message, after: `${Math.round(pause)}ms` }
          if (error.reason === UNAUTHORIZED) {
            this.#log.error('The destination refuses the credentials; the data is kept and sent again.', fields)
          } else this.#log.warn('A request could not be delivered; it will be sent again.', fields)
          const { signal } = stored ? this.#leave : this.#abort
          await wait(pause, undefined, { signal }).catch(() => undefined)
          interval = Math.min(interval * multiplier, max_interval)
          if (!this.#abort.signal.aborted) this.sheet.retries += 1
        }
      }
    }
  }

  /** One attempt within `timeout`. Returns what went wrong, if anything; an exporter that ignores its signal is left behind. */
  async #attempt(request: ExportRequest): Promise<DeliveryError | undefined> {
    if (this.#abort.signal.aborted) return retryable('The process is stopping.')
    this.sheet.attempts += 1
    const attempt = new AbortController()
    let timedOut = false
    const timer = setTimeout(() => {
      timedOut = true
      attempt.abort()
    }, this.config.timeout)
    const stop = (): void => attempt.abort()
    this.#abort.signal.addEventListener('abort', stop, { once: true })
    const aborted = new Promise<never>((_resolve, reject) => {
      attempt.signal.addEventListener('abort', () => reject(new Error('The attempt was aborted.')), { once: true })
    })
    try {
      await Promise.race([this.exporter.send(request, attempt.signal), aborted])
      return undefined
    } catch (error) {
      if (timedOut) {
        return retryable(`No answer within ${this.config.timeout} ms.`, undefined, { reason: 'timeout', cause: error })
      }
      if (this.#abort.signal.aborted) return retryable('The process is stopping.', undefined, { cause: error })
      return asDeliveryError(error) ?? permanent(errorMessage(error), { reason: 'exporter_error', cause: error })
    } finally {
      clearTimeout(timer)
      this.#abort.signal.removeEventListener('abort', stop)
    }
  }

  #drop(request: ExportRequest, reason: string, error: DeliveryError): void {
    this.#failed(error)
    this.sheet.givenUp(reason, request.points)
    this.#log.error('A request could not be delivered; its points are dropped and counted.', {
      error: error.message,
      reason,
      points: request.points,
    })
  }

  #failed({ message }: DeliveryError): void {
    this.sheet.failure = { since: this.sheet.failure?.since ?? new Date(), message }
  }

  #recovered(): void {
    if (this.sheet.failure === undefined) return
    this.sheet.failure = undefined
    this.#log.info('The destination takes requests again.')
  }

  #checkIdle(): void {
    if (!this.#draining || this.#taken.size > 0) return
    const empty = this.#queue.length === 0 && this.#parts.length === 0
    if (empty || this.#leaving || this.#abort.signal.aborted) this.#whenIdle?.()
  }
}
