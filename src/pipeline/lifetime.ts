import * as rxjs from 'rxjs'
import type { Component, ConfigOf, Context, Logger, Settings } from '../component.ts'
import { errorMessage } from '../errors.ts'
import { Ports } from './ports.ts'
import type { Telemetry } from './telemetry.ts'

interface ContextOptions
  extends
    Pick<Context<ConfigOf<Settings>>, 'clock' | 'config' | 'id' | 'deliver'>,
    Partial<Pick<Context, 'memoryIsShort' | 'report'>> {
  readonly telemetry: Telemetry
}

/** The life of one component: the signal that it is to stop, and the cleanups it registered. */
export class Lifetime {
  readonly #controller = new AbortController()
  readonly #cleanups: (() => void | Promise<void>)[] = []
  readonly #opening: Promise<unknown>[] = []
  /** What was registered after the stop, and runs. */
  readonly #late = new Set<Promise<void>>()
  /** Whether another component is about to take its place. */
  leaving = false

  constructor(
    private readonly log: Logger,
    private readonly ports = new Ports(),
  ) {}

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** What `create` is given. */
  context(
    component: Pick<Component, 'kind' | 'type'>,
    { telemetry, memoryIsShort = () => false, report = () => {}, ...given }: ContextOptions,
  ): Context<ConfigOf<Settings>> {
    const { log, signal } = this
    const [meter, ownMetrics] = [telemetry.meter(component, given.id), telemetry.reader(signal)]
    return {
      ...given,
      ...{ log, signal, meter, ownMetrics, rxjs, memoryIsShort, report },
      onStop: (cleanup) => this.onStop(cleanup),
      listen: (options) => this.ports.listen(this, options),
      starting: (opened) => void this.#opening.push(opened),
    }
  }

  /** Resolves when what the component opens at its start is open, or failed to. */
  async started(): Promise<void> {
    await Promise.allSettled(this.#opening)
  }

  /** Aborts the signal and runs the cleanups, last registered first. May be called again, then nothing is left to do. */
  async stop(): Promise<void> {
    this.#controller.abort()
    for (let cleanup = this.#cleanups.pop(); cleanup !== undefined; cleanup = this.#cleanups.pop()) {
      await this.#run(cleanup)
    }
  }

  /** Resolves when also those cleanups are through that were registered after the stop. */
  async ended(): Promise<void> {
    await Promise.all(this.#late)
  }

  private onStop(cleanup: () => void | Promise<void>): void {
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
