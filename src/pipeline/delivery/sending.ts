import { setMaxListeners } from 'node:events'
import type { Clock } from '../../time/clock.ts'
import type { Exporter, ExportRequest } from '../../component/exporter.ts'
import type { Logger } from '../../component/logger.ts'
import { asDeliveryError, errorMessage, permanent, retryable, UNAUTHORIZED } from '../../errors.ts'
import type { DeliveryError } from '../../errors.ts'
import { outOfAge } from './age.ts'
import { Circuit } from './circuit.ts'
import type { Machine } from '../machine.ts'
import type { DeliveryConfig } from '../config/settings.ts'
import { describe } from '../../otlp/common/handed_over.ts'
import type { Batch } from '../../otlp/signal.ts'
import { whole } from '../telemetry/telemetry.ts'
import type { Counting } from './counting.ts'
import { Attempt, nothing } from './stop.ts'
import type { Stop } from './stop.ts'

/** `max_elapsed_time` of a queue in memory if it is not set; on disk there is no limit then. */
const MAX_ELAPSED_TIME = 300_000

/** The fate of a request or batch: completed, left behind because the process stops, or passed on to another exporter. */
export type Outcome = 'settled' | 'left' | 'renewed'

/** The batch that the requests belong to. */
export interface Sent {
  /** Whether it stays on disk if it is left behind. */
  readonly stored: boolean
  /** Whether none of it is completed. */
  readonly isWhole: () => boolean
  /** Whether the destination would keep none of it, now that time has passed. */
  readonly isTooOld: () => boolean
  /** Points of it are completed. */
  readonly leave: (items: number) => void
}

/** How often the signal of one attempt serves another: who listens to it and never stops is to be forgotten some time. */
const MAX_TIMES = 100

const STOPPING = 'The process is stopping.'

/** Whatever the signal, and whatever it makes of a batch. */
export type AnyExporter = Exporter<ExportRequest, Batch>

interface SendingOptions {
  readonly exporter: AnyExporter
  readonly config: DeliveryConfig
  readonly counting: Counting
  readonly stop: Stop
  readonly machine: Pick<Machine, 'clock' | 'random'>
}

/**
 * Sends the requests of one exporter, each until it is delivered or given up, with a timeout for each attempt. A reload that replaces
 * the exporter or its settings replaces the whole.
 */
export class Sending {
  readonly exporter: AnyExporter
  readonly config: DeliveryConfig
  readonly #clock: Clock
  readonly #circuit: Circuit
  readonly #maxElapsedTime: number
  readonly #retired = new AbortController()
  readonly #idle: Attempt[] = []

  private readonly sheet: Counting['sheet']
  private readonly log: Logger
  private readonly stop: Stop

  constructor({ exporter, config, counting, stop, machine: { clock, random } }: SendingOptions) {
    this.exporter = exporter
    this.config = config
    this.sheet = counting.sheet
    this.log = counting.log
    this.stop = stop
    const { retry_on_failure: retry, sending_queue: queue } = config
    this.#clock = clock
    this.#circuit = new Circuit(retry, clock, random)
    this.#maxElapsedTime = retry.max_elapsed_time ?? (queue.directory === undefined ? MAX_ELAPSED_TIME : 0)
    setMaxListeners(0, this.#retired.signal)
  }

  /** Tries all waiting requests at once, because little time is left. */
  hurry(): void {
    this.#circuit.hurry()
  }

  /** Another exporter takes over all batches that are whole; batches delivered in part stay here. */
  retire(): void {
    this.#retired.abort()
    this.hurry()
  }

  get isRetired(): boolean {
    return this.#retired.signal.aborted
  }

  /**
   * Sends one request until it is delivered or given up, and counts the fate of its items. Rejects only if the request
   * does not say how many items it holds.
   */
  async send(request: ExportRequest, batch: Sent): Promise<Outcome> {
    whole((request as ExportRequest | undefined)?.items, 'the `items` of a request must be')
    const { bytes = 0 } = request as Partial<ExportRequest>
    if (!Number.isSafeInteger(bytes) || bytes < 0) {
      throw new TypeError(`the \`bytes\` of a request must be a whole number from 0, not ${describe(bytes)}`)
    }
    const { stored, leave, isWhole, isTooOld } = batch
    const { enabled } = this.config.retry_on_failure
    const stopped = stored ? this.stop.leave : this.stop.abort
    const started = this.#clock.monotonic()
    const attempts = this.#circuit.enter()
    const drop = (reason: string, error: DeliveryError): Outcome => {
      this.#drop(request, reason, error)
      leave(request.items)
      return 'settled'
    }
    for (;;) {
      if (enabled) await this.#circuit.turn(attempts, isWhole() ? [stopped, this.#retired.signal] : [stopped])
      if (!stopped.aborted && this.#isRenewed(isWhole)) {
        this.#circuit.leave(attempts)
        return 'renewed'
      }
      if (attempts.failures > 0 && isTooOld()) {
        this.#circuit.leave(attempts)
        this.sheet.dropped('too_old', request.items)
        this.log.warn(outOfAge(this.sheet.items, 'too_old'), { event: 'items_out_of_age', items: request.items })
        leave(request.items)
        return 'settled'
      }
      if (attempts.failures > 0 && !this.stop.abort.aborted) this.sheet.retries += 1
      const error = await this.#attempt(request)
      if (error?.kind !== 'retryable') this.#circuit.answered()
      if (error === undefined) {
        this.sheet.sent += request.items
        leave(request.items)
        this.#recovered()
        return 'settled'
      }
      switch (error.kind) {
        case 'partial': {
          const rejected = Math.min(error.rejected, request.items)
          this.sheet.rejected += rejected
          this.sheet.sendFailed += rejected
          this.sheet.sent += request.items - rejected
          leave(request.items)
          this.#recovered()
          this.log.error('The destination rejected a part of a request.', {
            event: 'request_partly_rejected',
            error: error.message,
            items: rejected,
          })
          return 'settled'
        }
        case 'permanent':
          return drop(error.reason, error)
        case 'divisible': {
          const parts = request.divide?.()
          if (parts === undefined) return drop(error.reason, error)
          for (const part of parts) {
            const outcome = await this.send(part, batch)
            if (outcome !== 'settled') return outcome
          }
          return 'settled'
        }
        case 'retryable': {
          const pause = this.#circuit.failed(attempts, error)
          if (stopped.aborted) return 'left'
          if (this.#isRenewed(isWhole)) return 'renewed'
          if (!enabled) return drop(error.reason, error)
          const elapsed = this.#clock.monotonic() - started
          if (this.#maxElapsedTime > 0 && elapsed + pause > this.#maxElapsedTime) {
            return drop('retries_exhausted', error)
          }
          this.#failed(error)
          const fields = { error: error.message, after: `${Math.round(pause)}ms` }
          if (error.reason === UNAUTHORIZED) {
            this.log.error(
              'The destination rejected the credentials. Data is kept and retried; fix the key, token or certificate of this exporter.',
              { event: 'credentials_rejected', ...fields },
            )
          } else
            this.log.warn('A request could not be delivered; it will be sent again.', {
              event: 'request_retried',
              ...fields,
            })
        }
      }
    }
  }

  #isRenewed(isWhole: () => boolean): boolean {
    return this.isRetired && isWhole()
  }

  /**
   * One attempt within `timeout`. Resolves with the error, if any; never rejects. An exporter that ignores its signal
   * is abandoned.
   */
  #attempt(request: ExportRequest): Promise<DeliveryError | undefined> {
    const clock = this.#clock
    const { timeout } = this.config
    const { abort, attempts } = this.stop
    if (abort.aborted) return Promise.resolve(retryable(STOPPING))
    this.sheet.attempts += 1
    const attempt = this.#idle.pop() ?? new Attempt()
    const { signal } = attempt.controller
    attempt.times += 1
    attempts.add(attempt)
    return new Promise((resolve) => {
      const end = (error?: DeliveryError): void => {
        clock.clearTimeout(timer)
        attempts.remove(attempt)
        // An idle signal must not keep the request in memory.
        attempt.stop = nothing
        if (!signal.aborted && attempt.times < MAX_TIMES) this.#idle.push(attempt)
        resolve(error)
      }
      const giveUp = (error: DeliveryError): void => {
        attempt.controller.abort()
        end(error)
      }
      attempt.stop = () => giveUp(retryable(STOPPING))
      const timer = clock.setTimeout(() => {
        giveUp(retryable(`No answer within ${timeout} ms.`, undefined, { reason: 'timeout' }))
      }, timeout)
      const failed = (error: unknown): void =>
        end(asDeliveryError(error) ?? permanent(errorMessage(error), { reason: 'exporter_error', cause: error }))
      try {
        Promise.resolve(this.exporter.send(request, signal)).then(() => end(), failed)
      } catch (error) {
        failed(error)
      }
    })
  }

  #drop(request: ExportRequest, reason: string, error: DeliveryError): void {
    this.#failed(error)
    this.sheet.givenUp(reason, request.items)
    this.log.error('A request could not be delivered; its items are dropped and counted.', {
      event: 'request_dropped',
      error: error.message,
      reason,
      items: request.items,
    })
  }

  #failed({ message }: DeliveryError): void {
    this.sheet.failure = { since: this.sheet.failure?.since ?? new Date(this.#clock.now()), message }
  }

  #recovered(): void {
    if (this.sheet.failure === undefined) return
    this.sheet.failure = undefined
    this.sheet.recovered = new Date(this.#clock.now())
    this.log.info('The destination is accepting requests again.', { event: 'destination_recovered' })
  }
}
