import type { Clock, Timer } from '../../time/clock.ts'
import { THROTTLED } from '../../errors.ts'
import type { DeliveryError } from '../../errors.ts'
import type { DeliveryConfig } from '../config/settings.ts'

/** The state of one request; times are those of the monotonic clock. */
interface Attempts {
  /** Failed attempts. */
  failures: number
  /** The time since which, or from which, it can be sent. */
  ready: number
  /** How many answers the destination had given in total when it last failed. */
  answers: number
}

interface Waiting {
  readonly attempts: Attempts
  readonly go: () => void
}

/**
 * Shares the results of requests to one destination. Once one fails, the others wait, and one at a time is sent, at the
 * intervals of the backoff, until the destination answers; then all go on. Requests take turns, the longest ready
 * first, so that one with bad content does not hold up the others. A request that fails again although others were
 * answered in between says nothing about the destination, and from then on only waits for itself.
 */
export class Circuit {
  /** The longest ready first. */
  readonly #line: Waiting[] = []
  /** Failures in a row that point to the destination; none while it answers. */
  #failures = 0
  /** The request that is sent to find out whether the destination answers again. */
  #probe: Attempts | undefined
  #nextProbe = 0
  /** The time until which the destination asked all requests to wait. */
  #quietUntil = 0
  #answers = 0
  #timer: Timer | undefined

  constructor(
    private readonly config: DeliveryConfig['retry_on_failure'],
    private readonly clock: Clock,
    private readonly random: () => number,
  ) {}

  enter(): Attempts {
    return { failures: 0, ready: this.clock.monotonic(), answers: 0 }
  }

  /** Resolves when the request may be sent, or one of `signals` is aborted. */
  turn(attempts: Attempts, signals: readonly AbortSignal[]): Promise<void> | undefined {
    if (signals.some(({ aborted }) => aborted)) return undefined
    if (this.#failures === 0 && Math.max(this.#quietUntil, attempts.ready) <= this.clock.monotonic()) return undefined
    return new Promise((resolve) => {
      const go = (): void => {
        for (const signal of signals) signal.removeEventListener('abort', leave)
        this.#line.splice(this.#line.indexOf(waiting), 1)
        resolve()
      }
      const leave = (): void => {
        go()
        this.#next()
      }
      const waiting = { attempts, go }
      for (const signal of signals) signal.addEventListener('abort', leave)
      const later = this.#line.findIndex((other) => other.attempts.ready > attempts.ready)
      this.#line.splice(later < 0 ? this.#line.length : later, 0, waiting)
      this.#next()
    })
  }

  /** Keeps the request from being sent, even if its turn has come. */
  leave(attempts: Attempts): void {
    if (attempts !== this.#probe) return
    this.#probe = undefined
    this.#next()
  }

  /** The destination answered a request, even if only to refuse it. */
  answered(): void {
    this.#answers += 1
    this.#failures = 0
    this.#probe = undefined
    if (this.#line.length > 0) this.#next()
  }

  /**
   * A request failed and may succeed later. Returns the milliseconds that it has to wait at least: the time that the
   * destination asked for, or the next interval of its backoff.
   */
  failed(attempts: Attempts, error: DeliveryError): number {
    const { initial_interval, max_interval, multiplier, randomization_factor } = this.config
    const asked = this.#askedFor(error)
    const spread = 1 + randomization_factor * (2 * this.random() - 1)
    const backoff = (failures: number): number =>
      asked ?? Math.min(initial_interval * multiplier ** failures, max_interval) * spread
    const now = this.clock.monotonic()
    const speaks = attempts.failures === 0 || attempts.answers === this.#answers
    if (attempts === this.#probe || (speaks && this.#failures === 0)) {
      this.#probe = undefined
      this.#nextProbe = now + backoff(this.#failures)
      this.#failures += 1
    }
    if (speaks && asked !== undefined) this.#quietUntil = Math.max(this.#quietUntil, now + asked)
    const pause = backoff(attempts.failures)
    attempts.failures += 1
    attempts.ready = now + pause
    attempts.answers = this.#answers
    this.#next()
    return pause
  }

  #askedFor({ after, reason }: DeliveryError): number | undefined {
    const { default_retry_after, max_retry_after } = this.config
    if (after !== undefined) return Math.min(after, max_retry_after)
    return reason === THROTTLED ? default_retry_after : undefined
  }

  /** Starts again with short intervals, because little time is left. A wait that the destination asked for still holds. */
  hurry(): void {
    this.#failures = Math.min(this.#failures, 1)
    this.#nextProbe = 0
    for (const { attempts } of this.#line) attempts.ready = Math.min(attempts.ready, this.clock.monotonic())
    this.#next()
  }

  /** Releases the requests whose time has come. */
  #next(): void {
    this.clock.clearTimeout(this.#timer)
    while (this.#line.length > 0 && this.#probe === undefined) {
      const [{ attempts, go }] = this.#line
      const time = Math.max(this.#quietUntil, this.#failures > 0 ? this.#nextProbe : attempts.ready)
      const left = Math.ceil(time - this.clock.monotonic())
      if (left > 0) {
        this.#timer = this.clock.setTimeout(() => this.#next(), left)
        return
      }
      if (this.#failures > 0) this.#probe = attempts
      go()
    }
  }
}
