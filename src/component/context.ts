import type * as rxjs from 'rxjs'
import type { Socket } from 'node:net'
import type { Clock } from '../time/clock.ts'
import type { Network } from '../net/network.ts'
import type { MetricBatch } from '../otlp/metrics/batch.ts'
import type { Batch, Signal } from '../otlp/signal.ts'
import type { Logger, Meter } from './logger.ts'

/** What `create` is given. Nothing may be opened before the pipeline starts the component; `create` only wires. */
export interface Context<Config = unknown> {
  readonly config: Config
  /** The component's id in the YAML, `type[/name]`. */
  readonly id: string
  readonly log: Logger
  /** The time, and how to wait: used instead of `Date.now`, `setTimeout` and the like, so that a test can move it. */
  readonly clock: Clock
  /** How HTTP requests leave the process. */
  readonly network: Network
  /** Aborted when the component is to stop. */
  readonly signal: AbortSignal
  /**
   * Runs `cleanup` when the component stops, last registered first. May be called at any time; after the stop has begun it runs at once,
   * and of a receiver the pipeline then waits for it only when it has drained its queues.
   */
  readonly onStop: (cleanup: () => void | Promise<void>) => void
  readonly meter: Meter
  /** The metrics of the pipeline itself, as they are now; cumulative since its start. */
  readonly ownMetrics: () => Promise<MetricBatch>
  /** The pipeline's own copy of RxJS, for components outside this package that cannot import one. */
  readonly rxjs: typeof rxjs
  /**
   * Listens on a TCP port. When a reload puts another component in this one's place that asks for the same address, the
   * port passes to it without being closed. Where nothing can listen there, it waits, at the start of the process, until it can or the
   * component stops; at a reload it rejects with what the system says.
   */
  readonly listen: (options: ListenOptions) => Promise<Listening>
  /** Tells whoever asks for the health why the component does not do what it should just now; `undefined`: it does again. */
  readonly report: (problem: string | undefined) => void
}

/** What `create` of a receiver is given in addition. */
export interface ReceiverContext<Config = unknown> extends Context<Config> {
  /**
   * Hands a batch on and settles when it is known what became of it. Resolves when every exporter reached has taken the batch or
   * counted what it could not take; rejects with a `retryable` error when none took it, with a `partial` one when a fault lost all of it
   * on its way to every exporter, so that it is not to be sent again, and with a `permanent` one when no pipeline takes its signal.
   * `transport`, like `http`, says in the pipeline's own metrics how it came.
   */
  readonly deliver: (batch: Batch, transport?: string) => Promise<void>
  /** Whether a pipeline takes batches of the signal from this receiver; a reload may change it. */
  readonly takes: (signal: Signal) => boolean
  /**
   * Startup is complete when `opened` settles. A reload waits for it, and is undone if the receiver fails by then. Without it, a receiver
   * has started when it was subscribed to.
   */
  readonly starting: (opened: Promise<unknown>) => void
  /**
   * Whether memory is short. `deliver` rejects then, so what comes need not even be read. `bytes` is what has come since this was last
   * asked: the more, the sooner the memory is looked at.
   */
  readonly memoryIsShort: (bytes?: number) => boolean
}

export interface ListenOptions {
  /** '' means every interface. */
  readonly host: string
  /** 0 lets the system choose one. */
  readonly port: number
  /** Handed every connection. */
  readonly take: (socket: Socket) => void
  /** Told when the port cannot go on. */
  readonly fail: (error: Error) => void
}

export interface Listening {
  /** `ip:port`. */
  readonly address: string
  /** Takes no more connections; those there are stay open. */
  close(): void
}
