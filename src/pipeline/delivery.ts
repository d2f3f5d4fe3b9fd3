import { setMaxListeners } from 'node:events'
import { setTimeout as wait } from 'node:timers/promises'
import type { Account, Exporter, ExportRequest, Logger } from '../component.ts'
import { asDeliveryError, errorMessage, permanent, retryable } from '../errors.ts'
import type { DeliveryError } from '../errors.ts'
import { MetricBatch } from '../otlp/batch.ts'
import { splitBatch } from '../otlp/split.ts'
import { throttled } from './log.ts'
import { MemoryQueue } from './queue.ts'
import type { Queue } from './queue.ts'
import type { Envelope } from './receipt.ts'
import type { DeliveryConfig } from './settings.ts'
import type { ExporterSheet } from './telemetry.ts'

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
  /** Parts of a batch that was split, next to be sent. */
  readonly #parts: MetricBatch[] = []
  #consumers = 0
  #flushTimer: NodeJS.Timeout | undefined
  #flushDue = false
  #draining = false
  #failing = false
  #whenIdle: (() => void) | undefined

  constructor(
    private readonly exporter: Exporter,
    private readonly config: DeliveryConfig,
    private readonly sheet: ExporterSheet,
    log: Logger,
  ) {
    this.#queue = new MemoryQueue(config.sending_queue)
    this.#log = throttled(log)
    // Every consumer listens while it sends or waits.
    setMaxListeners(0, this.#abort.signal)
  }

  /** Takes the batch into the queue, or refuses it. Ends one branch of the receipt. */
  offer({ batch, receipt }: Envelope): void {
    if (!this.#makeRoom(batch)) {
      receipt.whenSettled((refused) => {
        if (refused) return
        this.sheet.handedIn += batch.pointCount
        this.sheet.lost('queue_full', batch.pointCount)
        this.#log.error('The sending queue is full; what its source cannot keep is dropped and counted.')
      })
      return receipt.refuse(retryable('The sending queue is full.', this.config.retry_on_failure.initial_interval))
    }
    this.sheet.handedIn += batch.pointCount
    const prepared = this.#prepare(batch)
    this.sheet.queued += prepared.pointCount
    if (prepared.pointCount === 0) return receipt.close()
    if (!this.config.sending_queue.enabled) {
      void this.#consume(prepared).finally(() => receipt.close())
      return
    }
    this.#queue.push(prepared.compacted())
    receipt.close()
    this.#pump()
  }

  /** Sends what is left. Whatever has not been sent when `deadline` aborts is dropped and counted under `shutdown`. */
  async drain(deadline: AbortSignal): Promise<void> {
    this.#draining = true
    const idle = new Promise<void>((resolve) => (this.#whenIdle = resolve))
    const abort = (): void => this.#abort.abort()
    deadline.addEventListener('abort', abort, { once: true })
    if (deadline.aborted) abort()
    this.#pump()
    this.#checkIdle()
    await idle
    deadline.removeEventListener('abort', abort)
  }

  #makeRoom(batch: MetricBatch): boolean {
    const { enabled, on_full, num_consumers } = this.config.sending_queue
    if (this.#draining) return false
    if (!enabled) return this.#consumers < num_consumers
    while (!this.#queue.fits(batch)) {
      if (on_full === 'refuse') return false
      const oldest = this.#queue.shift() as MetricBatch
      this.sheet.queued -= oldest.pointCount
      this.sheet.lost('queue_full', oldest.pointCount)
      this.#log.error('The sending queue is full; its oldest batch is dropped and counted.')
    }
    return true
  }

  #prepare(batch: MetricBatch): MetricBatch {
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
    let prepared = MetricBatch.empty
    let reason = 'unaccounted'
    try {
      prepared = this.exporter.prepare?.(batch, account) ?? batch
    } catch (error) {
      reason = 'exporter_error'
      this.#log.error('The exporter failed to prepare a batch, which is dropped and counted.', {
        error: errorMessage(error),
      })
    }
    this.#balance(reason, batch.pointCount - accounted - prepared.pointCount)
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
    while (this.#consumers < this.config.sending_queue.num_consumers) {
      const batch = this.#next()
      if (batch === undefined) return
      void this.#consume(batch)
    }
  }

  /** The next batch to send, joined and split as `sending_queue.batch` says; `undefined` when there is nothing to send yet. */
  #next(): MetricBatch | undefined {
    const part = this.#parts.shift()
    if (part !== undefined) return part
    const { batch } = this.config.sending_queue
    if (batch === undefined || this.#queue.length === 0) return this.#queue.shift()
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
    const joined: MetricBatch[] = []
    let points = 0
    while (this.#queue.length > 0 && (points === 0 || points < Math.max(batch.min_size, batch.max_size))) {
      const next = this.#queue.shift() as MetricBatch
      joined.push(next)
      points += next.pointCount
    }
    const merged = MetricBatch.merge(joined)
    if (batch.max_size === 0) return merged
    this.#parts.push(...splitBatch(merged, batch.max_size))
    return this.#parts.shift()
  }

  /** Encodes a batch and sends its requests one after the other. Never rejects. */
  async #consume(batch: MetricBatch): Promise<void> {
    this.#consumers += 1
    let remaining = batch.pointCount
    this.sheet.queued -= remaining
    this.sheet.inFlight += remaining
    const leave = (points: number): void => {
      remaining -= points
      this.sheet.inFlight -= points
    }
    let reason = 'unaccounted'
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
        await this.#deliver(request)
        leave(request.points)
      }
    } catch (error) {
      reason = 'exporter_error'
      this.#log.error('The exporter failed to encode a batch, which is dropped and counted.', {
        error: errorMessage(error),
      })
    }
    this.#balance(reason, remaining)
    leave(remaining)
    this.#consumers -= 1
    this.#pump()
    this.#checkIdle()
  }

  /** Sends one request until it is delivered or given up, and counts what became of its points. Never rejects. */
  async #deliver(request: ExportRequest): Promise<void> {
    const { enabled, max_elapsed_time, max_interval, multiplier, randomization_factor, ...retry } =
      this.config.retry_on_failure
    const started = performance.now()
    let interval = retry.initial_interval
    for (;;) {
      const error = await this.#attempt(request)
      if (error === undefined) {
        this.sheet.sent += request.points
        this.#recovered()
        return
      }
      switch (error.kind) {
        case 'partial':
          this.sheet.rejected += error.rejected
          this.sheet.sent += request.points - error.rejected
          this.#log.error('The destination rejected a part of a request.', {
            error: error.message,
            points: error.rejected,
          })
          return
        case 'permanent':
          return this.#drop(request, error.reason, error)
        case 'divisible': {
          const parts = request.divide?.()
          if (parts === undefined) return this.#drop(request, error.reason, error)
          for (const part of parts) await this.#deliver(part)
          return
        }
        case 'retryable': {
          if (this.#abort.signal.aborted) return this.#drop(request, 'shutdown', error)
          if (!enabled) return this.#drop(request, error.reason, error)
          const spread = randomization_factor * (2 * Math.random() - 1)
          const pause = error.after === undefined ? interval * (1 + spread) : Math.min(error.after, MAX_RETRY_AFTER)
          const elapsed = performance.now() - started
          if (max_elapsed_time > 0 && elapsed + pause > max_elapsed_time) {
            return this.#drop(request, 'retries_exhausted', error)
          }
          this.#failing = true
          this.#log.warn('A request could not be delivered; it will be sent again.', {
            error: error.message,
            after: `${Math.round(pause)}ms`,
          })
          await wait(pause, undefined, { signal: this.#abort.signal }).catch(() => undefined)
          interval = Math.min(interval * multiplier, max_interval)
        }
      }
    }
  }

  /** One attempt within `timeout`. Returns what went wrong, if anything; an exporter that ignores its signal is left behind. */
  async #attempt(request: ExportRequest): Promise<DeliveryError | undefined> {
    if (this.#abort.signal.aborted) return retryable('The process is stopping.')
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
    this.sheet.lost(reason, request.points)
    this.#log.error('A request could not be delivered; its points are dropped and counted.', {
      error: error.message,
      reason,
      points: request.points,
    })
  }

  #recovered(): void {
    if (!this.#failing) return
    this.#failing = false
    this.#log.info('The destination takes requests again.')
  }

  #checkIdle(): void {
    if (!this.#draining || this.#consumers > 0) return
    if (this.#abort.signal.aborted) this.#dropQueue()
    if (this.#queue.length === 0 && this.#parts.length === 0) this.#whenIdle?.()
  }

  #dropQueue(): void {
    for (let batch = this.#next(); batch !== undefined; batch = this.#next()) {
      this.sheet.queued -= batch.pointCount
      this.sheet.lost('shutdown', batch.pointCount)
    }
  }
}
