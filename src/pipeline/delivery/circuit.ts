import type { Clock, Timer } from '../../time/clock.ts'
import { THROTTLED } from '../../errors.ts'
import type { DeliveryError } from '../../errors.ts'
import type { DeliveryConfig } from '../config/settings.ts'

/** What the circuit knows of one request; times are those of the monotonic clock. */
export interface Attempts {
  /** Those that failed. */
  failures: number
  /** Since when, or from when on, it could be sent. */
  ready: number
  /** What the destination had answered in all when the last one failed. */
  answers: number
}

interface Waiting {
  readonly attempts: Attempts
  readonly go: () => void
}

/**
 * What the requests to one destination learn from each other. Once one fails, the others wait, and one at a time is sent, at the
 * intervals of the backoff, until the destination answers; then all go on. Each takes its turn, the longest ready first, so that one
 * which fails for what is in it does not stand for the others, and after that it only waits for itself: a request that fails again
 * although others were answered in between says nothing about the destination.
 */
export class Circuit {
  /** The longest ready first. */
  readonly #line: Waiting[] = []
  /** Failures in a row that speak for the destination; none while it answers. */
  #failures = 0
  /** The one that is sent to see whether it answers again. */
  #probe: Attempts | undefined
  #nextProbe = 0
  /** Until then it asked all to wait. */
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

  /** The request is not sent although its turn may have come. */
  leave(attempts: Attempts): void {
    if (attempts !== this.#probe) return
    this.#probe = undefined
    this.#next()
  }

  /** The destination answered a request, if only to refuse it. */
  answered(): void {
    this.#answers += 1
    this.#failures = 0
    this.#probe = undefined
    if (this.#line.length > 0) this.#next()
  }

  /**
   * A request failed and may succeed later. Returns the milliseconds that it has to wait at least: as many as the destination
   * asked for, or the next interval of its backoff.
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

  /** Begins anew with short intervals, for there is little time left. What the destination asked for still holds. */
  hurry(): void {
    this.#failures = Math.min(this.#failures, 1)
    this.#nextProbe = 0
    for (const { attempts } of this.#line) attempts.ready = Math.min(attempts.ready, this.clock.monotonic())
    this.#next()
  }

  /** Lets those go whose time has come. */
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
