import * as rxjs from 'rxjs'
import type { Clock } from '../../time/clock.ts'
import type { Context, Listening, ListenOptions } from '../../component/context.ts'
import type { Component } from '../../component/define.ts'
import type { Logger } from '../../component/logger.ts'
import type { ConfigOf, Settings } from '../../component/settings.ts'
import { errorMessage } from '../../errors.ts'
import { LISTEN_INTERVAL, listenFailure } from '../../net/endpoint.ts'
import { describe } from '../../otlp/common/handed_over.ts'
import { componentClock } from './component_clock.ts'
import { ownMetricsReader } from '../telemetry/own_metrics_reader.ts'
import { Ports } from './ports.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'

interface ContextOptions
  extends Pick<Context<ConfigOf<Settings>>, 'clock' | 'network' | 'config' | 'id'>, Partial<Pick<Context, 'report'>> {
  readonly telemetry: Telemetry
  /** Called with the reason why it waits for a port, and again when it no longer waits. */
  readonly waiting?: (why: string | undefined) => void
}

/** The life of one component: its stop signal, and the cleanups that it registered. */
export class Lifetime {
  readonly #controller = new AbortController()
  readonly #cleanups: (() => void | Promise<void>)[] = []
  readonly #opening: Promise<unknown>[] = []
  /** Why it waits for ports, by address. */
  readonly #waits = new Map<string, string>()
  #begunToWait = (): void => undefined
  readonly #waiting = new Promise<void>((resolve) => (this.#begunToWait = resolve))
  /** Cleanups that were registered after the stop and are running. */
  readonly #late = new Set<Promise<void>>()
  /** Makes the context of the component count: it has started. */
  readonly #begins: (() => void)[] = []
  #hasBegun = false
  /** Work that the component began although it has not started. */
  readonly #early: (() => void)[] = []
  /** Whether another component is about to take its place. */
  leaving = false

  constructor(
    private readonly log: Logger,
    private readonly ports = new Ports(),
  ) {}

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** The context that `create` is given. */
  context(
    component: Pick<Component, 'kind' | 'type'>,
    { telemetry, report = () => {}, waiting = () => {}, ...given }: ContextOptions,
  ): Context<ConfigOf<Settings>> {
    const { log, signal } = this
    const [meter, ownMetrics] = [telemetry.meter(component, given.id), ownMetricsReader(telemetry, signal)]
    const clock = componentClock(given.clock)
    let problem: string | undefined
    this.#early.push(() => clock.takeBack())
    this.#begins.push(
      () => clock.begin(),
      () => meter.begin(),
      () => problem !== undefined && report(problem),
    )
    return {
      ...given,
      ...{ log, signal, clock, meter, ownMetrics, rxjs },
      report: (said) => (this.#hasBegun ? report(said) : void (problem = said)),
      onStop: (cleanup) => this.onStop(cleanup),
      listen: (options) => this.#listenFor(options, new Error(), waiting, given.clock),
    }
  }

  /** For a receiver: startup is considered complete when `opened` settles. */
  starting(opened: Promise<unknown>): void {
    this.#opening.push(opened)
  }

  /** The component starts. Its context works as promised only from now on. May be called again. */
  begin(): void {
    if (this.#hasBegun) return
    this.#hasBegun = true
    this.#early.splice(0)
    for (const begin of this.#begins) begin()
  }

  /** Resolves when everything that the component opens at its start is open, or failed to open. */
  async opened(): Promise<void> {
    await Promise.allSettled(this.#opening)
  }

  /** Resolves when it has started, or waits for a port. */
  started(): Promise<void> {
    return Promise.race([this.opened(), this.#waiting])
  }

  /** `call`: its stack says where it was called, because the result may not be awaited. */
  async #listenFor(
    options: ListenOptions,
    call: Error,
    waiting: (why: string | undefined) => void,
    clock: Clock,
  ): Promise<Listening> {
    let listening: Listening
    try {
      checkListen(options)
      listening = await this.#listen(options, waiting, clock)
    } catch (error) {
      if (error instanceof Error) error.stack += String(call.stack).replace(/^.*/, '')
      throw error
    }
    if (!this.#hasBegun) this.#early.push(() => listening.close())
    return listening
  }

  async #listen(options: ListenOptions, waiting: (why: string | undefined) => void, clock: Clock): Promise<Listening> {
    const { host, port } = options
    const address = `${host.includes(':') ? `[${host}]` : host}:${port}`
    const wait = (why?: string): void => {
      if (why === undefined) this.#waits.delete(address)
      else this.#waits.set(address, why)
      waiting(this.#waits.size === 0 ? undefined : [...this.#waits.values()].join('; '))
    }
    try {
      for (;;) {
        try {
          return await this.ports.listen(this, options)
        } catch (error) {
          if (!this.#waits.has(address)) {
            if (!this.ports.patient) throw error
            wait(`cannot listen on ${address}: ${listenFailure(error)}`)
            this.log.error(`Cannot listen on ${address}: ${listenFailure(error)}. This will be tried again.`, {
              event: 'listen_failed',
              address,
            })
            this.#begunToWait()
          }
          await clock.sleep(LISTEN_INTERVAL, this.signal)
        }
      }
    } finally {
      if (this.#waits.has(address)) wait()
    }
  }

  /**
   * Aborts the signal and runs the cleanups, last registered first. For a component that never started, also ends any
   * work that it began through its context. May be called again; then nothing is left to do.
   */
  async stop(): Promise<void> {
    this.#controller.abort()
    for (let cleanup = this.#cleanups.pop(); cleanup !== undefined; cleanup = this.#cleanups.pop()) {
      await this.#run(cleanup)
    }
    for (const end of this.#early.splice(0)) end()
  }

  /** Resolves when the cleanups that were registered after the stop have finished, too. */
  async ended(): Promise<void> {
    await Promise.all(this.#late)
  }

  private onStop(cleanup: () => void | Promise<void>): void {
    if (typeof cleanup !== 'function') {
      throw new TypeError(`\`onStop\` must be given a function, not ${describe(cleanup)}`)
    }
    if (!this.signal.aborted) {
      this.#cleanups.push(cleanup)
      return
    }
    const late = this.#run(cleanup).finally(() => this.#late.delete(late))
    this.#late.add(late)
  }

  async #run(cleanup: () => void | Promise<void>): Promise<void> {
    try {
      await cleanup()
    } catch (error) {
      this.log.error('The component failed to clean up.', { error: errorMessage(error) })
    }
  }
}

/** @throws TypeError */
function checkListen(options: ListenOptions | undefined): void {
  const { host, port, take, fail } = options ?? ({} as Partial<ListenOptions>)
  const mistake = (field: string, be: string, given: unknown): TypeError =>
    new TypeError(`the \`${field}\` given to \`listen\` must be ${be}, not ${describe(given)}`)
  if (typeof host !== 'string') throw mistake('host', 'a text', host)
  if (!Number.isInteger(port) || port! < 0 || port! > 65_535) {
    throw mistake('port', 'a whole number from 0 to 65535', port)
  }
  if (typeof take !== 'function') throw mistake('take', 'a function', take)
  if (typeof fail !== 'function') throw mistake('fail', 'a function', fail)
}
