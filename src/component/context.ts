import type * as rxjs from 'rxjs'
import type { Socket } from 'node:net'
import type { Clock } from '../time/clock.ts'
import type { Network } from '../net/network.ts'
import type { MetricBatch } from '../otlp/metrics/batch.ts'
import type { Batch, Signal } from '../otlp/signal.ts'
import type { Logger, Meter } from './logger.ts'

/** The context that `create` is given. Nothing may be opened before the pipeline starts the component; `create` only wires. */
export interface Context<Config = unknown> {
  readonly config: Config
  /** The component's id in the YAML, `type[/name]`. */
  readonly id: string
  readonly log: Logger
  /** The clock and its timers: used instead of `Date.now`, `setTimeout` and the like, so that a test can move the time. */
  readonly clock: Clock
  /** The client for HTTP requests. */
  readonly network: Network
  /** Aborted when the component has to stop. */
  readonly signal: AbortSignal
  /**
   * Runs `cleanup` when the component stops, last registered first. May be called at any time: after the stop has
   * begun, the cleanup runs at once, and the pipeline waits for that of a receiver only after it has drained its
   * queues.
   */
  readonly onStop: (cleanup: () => void | Promise<void>) => void
  readonly meter: Meter
  /** The current metrics of the pipeline itself, cumulative since its start. */
  readonly ownMetrics: () => Promise<MetricBatch>
  /** The pipeline's own copy of RxJS, for components outside this package that cannot import one. */
  readonly rxjs: typeof rxjs
  /**
   * Listens on a TCP port. If a reload replaces this component by another one that asks for the same address, the port
   * passes to it without being closed. If nothing can listen there, it waits at the start of the process until it can
   * or the component stops; at a reload it rejects with the error of the system.
   */
  readonly listen: (options: ListenOptions) => Promise<Listening>
  /** Reports to the health endpoints why the component does not work as it should at the moment; `undefined`: it does again. */
  readonly report: (problem: string | undefined) => void
}

/** The additional context that `create` of a receiver is given. */
export interface ReceiverContext<Config = unknown> extends Context<Config> {
  /**
   * Hands a batch on and settles when its fate is known. Resolves when every exporter that it reaches has taken the
   * batch or counted the items that it could not take. Rejects with a `retryable` error if none took it, with a
   * `partial` error if a fault lost all of it on its way to every exporter, so that it must not be sent again, and with
   * a `permanent` error if no pipeline takes its signal. `transport`, such as `http`, is a label of the pipeline's own
   * metrics.
   */
  readonly deliver: (batch: Batch, transport?: string) => Promise<void>
  /** Whether a pipeline takes batches of the signal from this receiver; a reload may change the answer. */
  readonly takes: (signal: Signal) => boolean
  /**
   * Startup is complete when `opened` settles. A reload waits for it, and is undone if the receiver fails before.
   * Without a call, a receiver has started when it was subscribed to.
   */
  readonly starting: (opened: Promise<unknown>) => void
  /**
   * Whether memory is short. `deliver` rejects in that case, so incoming data need not even be read. `bytes` is the
   * amount that has come since the last call: the larger it is, the sooner memory is measured.
   */
  readonly memoryIsShort: (bytes?: number) => boolean
}

export interface ListenOptions {
  /** '' means every interface. */
  readonly host: string
  /** 0 lets the system choose one. */
  readonly port: number
  /** Called with every connection. */
  readonly take: (socket: Socket) => void
  /** Called when the port fails. */
  readonly fail: (error: Error) => void
}

export interface Listening {
  /** `ip:port`. */
  readonly address: string
  /** Accepts no more connections; existing ones stay open. */
  close(): void
}
