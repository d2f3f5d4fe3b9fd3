import type { Dispatcher } from 'undici'
import type { Network } from '../../src/net/network.ts'
import type { Random } from '../kit/random.ts'
import type { Life } from './life.ts'

/** How the network is at a time. */
export const networkWeathers = ['fine', 'slow', 'flaky', 'down', 'silent'] as const
export type NetworkWeather = (typeof networkWeathers)[number]

export interface Answer {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  /** Called once whoever asked has the answer, and never when that is lost. */
  readonly arrived: () => void
}

export interface Destination {
  /** Takes a request, or does not. `late`: whoever sent it has given it up. */
  take(path: string, body: Buffer, late: boolean): Answer
}

/** A network in which requests and answers are slow, or lost on either way. It outlives the processes that use it. */
export class SimulatedNetwork {
  weather: NetworkWeather = 'fine'
  /** Requests on their way. */
  readonly #travelling = new Set<() => void>()

  /** Requests whose senders wait for the answer. */
  readonly #open = new Set<Controller>()

  /**
   * @param destinations by host
   * @param failed called when a destination is given what it must not get
   */
  constructor(
    private readonly random: Random,
    private readonly destinations: ReadonlyMap<string, Destination>,
    private readonly failed: (error: Error) => void,
  ) {}

  /** How many requests to a host a process waits for. */
  open(host: string, life: Life): number {
    let count = 0
    for (const controller of this.#open) if (controller.host === host && controller.life === life) count += 1
    return count
  }

  /** The network as one process uses it. */
  of(life: Life): Network {
    const dispatcher = {
      dispatch: (options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean => {
        this.#exchange(life, options, handler).catch(this.failed)
        return true
      },
    }
    return { connect: () => ({ to: () => dispatcher, close: () => undefined, destroy: async () => undefined }) }
  }

  /** The process that sent them has died: what is on its way arrives, or does not. */
  senderDied(): void {
    for (const arrive of this.#travelling) if (this.random.chance(0.5)) arrive()
    this.#travelling.clear()
  }

  async #exchange(life: Life, options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): Promise<void> {
    const { random } = this
    const { host } = new URL(String(options.origin))
    const body = Buffer.from(options.body as Uint8Array)
    const controller = new Controller(host, life, () => this.#open.delete(controller))
    this.#open.add(controller)
    const fail = (code: string): void => {
      if (controller.aborted) return
      controller.ended()
      life.note(`${host}: ${code}`)
      handler.onResponseError?.(controller, Object.assign(new Error(code), { code }))
    }
    life.note(`${host}: ${options.path} of ${body.length} bytes`)
    handler.onRequestStart?.(controller, {})
    const arrive = (): Answer => this.destinations.get(host)!.take(options.path, body, controller.aborted)
    const lost = (): void => void arrive()
    this.#travelling.add(lost)
    await this.#travel(life)
    this.#travelling.delete(lost)
    if (this.weather === 'down') return fail('ECONNREFUSED')
    if (this.weather === 'flaky' && random.chance(0.2)) return fail('ECONNRESET')
    // What was given up may be on the wire.
    if (controller.aborted && random.chance(0.5)) return
    const { status, headers = {}, arrived } = arrive()
    life.note(`${host}: ${status}`)
    await this.#travel(life)
    if (this.weather === 'silent' && random.chance(0.8)) return
    if (this.weather === 'flaky' && random.chance(0.2)) return fail('UND_ERR_SOCKET')
    if (controller.aborted) return
    controller.ended()
    arrived()
    handler.onResponseStart?.(controller, status, headers, '')
    handler.onResponseEnd?.(controller, {})
  }

  #travel(life: Life): Promise<void> {
    const { random } = this
    return life.clock.sleep(this.weather === 'slow' ? 1 + random.below(2000) : 1 + random.below(20))
  }
}

class Controller implements Dispatcher.DispatchController {
  aborted = false
  readonly paused = false
  reason: Error | null = null

  /** @param ended called when its sender waits no more */
  constructor(
    readonly host: string,
    readonly life: Life,
    readonly ended: () => void,
  ) {}

  abort(reason: Error): void {
    this.aborted = true
    this.reason = reason
    this.ended()
  }

  pause(): void {}

  resume(): void {}
}
