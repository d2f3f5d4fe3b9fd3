import type { Socket } from 'node:net'
import type * as rxjs from 'rxjs'
import type { ObservableInput, OperatorFunction } from 'rxjs'
import type { Clock } from './clock.ts'
import type { FormatTypes } from './formats.ts'
import type { Network } from './http/client.ts'
import type { MetricBatch } from './otlp/batch.ts'

/**
 * What a setting takes:
 * a named format; a list of the allowed words; `{ list }` of a format; `{ map }` from free keys to a format;
 * or `{ settings }`, an object with settings of its own (used where it may be absent, or inside a list or map).
 */
export type Format =
  | keyof FormatTypes
  | readonly string[]
  | { readonly list: Format }
  | { readonly map: Format }
  | { readonly settings: Settings }

/** One setting of a component: its schema, default and documentation. */
export interface Setting<F extends Format = Format> {
  /** One or more sentences for the person who edits the YAML. */
  readonly doc: string
  readonly format: F
  /** What an unset setting means, written as in the YAML. `null`: the setting is required. `undefined`: it may stay unset. */
  readonly default: unknown
  /** Environment variables that fill the setting when the YAML leaves it unset; the first that is set counts. */
  readonly env?: readonly string[]
  /**
   * The value never appears in messages, logs or `print-config`. Default: true for a text whose name is that of a secret, like
   * `api_key`, `token` or `password`.
   */
  readonly secret?: boolean
  /** A default that a version changed. `validate` then names each configuration that leaves the setting unset. */
  readonly changed?: ChangedDefault
}

/** What the default of a setting was before. Stands in the declaration until the version after that which changed it. */
export interface ChangedDefault {
  /** The version that changed it, like `1.2.0`. */
  readonly in: string
  /** The default before, written as in the YAML: setting it keeps the old behaviour. */
  readonly from: unknown
}

/** Settings by name; a nested object without `doc` is a group that is always present. */
export interface Settings {
  readonly [name: string]: Setting | Settings
}

type ValueOf<F> = F extends keyof FormatTypes
  ? FormatTypes[F]
  : F extends readonly (infer Word)[]
    ? Word
    : F extends { readonly list: infer Item }
      ? readonly ValueOf<Item>[]
      : F extends { readonly map: infer Item }
        ? Readonly<Record<string, ValueOf<Item>>>
        : F extends { readonly settings: infer S }
          ? ConfigOf<S>
          : never

/** The checked configuration that settings yield: every default filled in, durations in milliseconds, sizes in bytes. */
export type ConfigOf<S> = {
  readonly [K in keyof S]: S[K] extends { readonly doc: string; readonly format: infer F; readonly default: infer D }
    ? D extends undefined
      ? ValueOf<F> | undefined
      : ValueOf<F>
    : ConfigOf<S[K]>
}

/** Writes structured logs. A message is a sentence; what varies goes into `fields`. Never called per data point. */
export interface Logger {
  debug(message: string, fields?: object): void
  info(message: string, fields?: object): void
  warn(message: string, fields?: object): void
  error(message: string, fields?: object): void
}

/** Makes the counters that a component adds to the pipeline's own metrics. */
export interface Meter {
  createCounter(name: string, options: { description: string; unit?: string }): Counter
}

export interface Counter {
  add(value: number, attributes?: Readonly<Record<string, string>>): void
}

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
   * For receivers: hands a batch on and settles when it is known what became of it. Resolves when every exporter reached
   * has taken the batch or counted what it could not take; rejects with a `retryable` error when none took it, and with a
   * `partial` one when a fault lost all of it on its way to every exporter, so that it is not to be sent again.
   * `transport`, like `http`, tells in the pipeline's own metrics how it came.
   */
  readonly deliver: (batch: MetricBatch, transport?: string) => Promise<void>
  /**
   * For receivers: listens on a TCP port. When a reload puts another component in this one's place that asks for the same address, the
   * port passes to it without being closed. Where nothing can listen there, it waits, at the start of the process, until it can or the
   * component stops; at a reload it rejects with what the system says.
   */
  readonly listen: (options: ListenOptions) => Promise<Listening>
  /**
   * For receivers: the start takes until `opened` settles. A reload waits for it, and is undone if the receiver fails by then.
   * Without it, a receiver has started when it was subscribed to.
   */
  readonly starting: (opened: Promise<unknown>) => void
  /**
   * For receivers: whether memory is short. `deliver` rejects then, so what comes need not even be read. `bytes` is what has come
   * since this was last asked: the more, the sooner the memory is looked at.
   */
  readonly memoryIsShort: (bytes?: number) => boolean
  /** Tells whoever asks for the health why the component does not do what it should just now; `undefined`: it does again. */
  readonly report: (problem: string | undefined) => void
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

interface Declaration<S extends Settings> {
  /** The name in the YAML and of the component's file. */
  readonly type: string
  /** Other names that the YAML may call it by, as the collector once did. A component whose type that is comes first. */
  readonly aliases?: readonly string[]
  /** One sentence for the list of components. */
  readonly summary: string
  /** Paragraphs of Markdown for the component's page. */
  readonly description?: string
  readonly config: S
  /** Each is loaded by a test. The YAML is the component's entry, `type: {...}`. */
  readonly examples?: readonly Example[]
  /** The rules that span settings. Returns or yields what is wrong, each with the path of the setting below the component. */
  check?(config: ConfigOf<S>): Iterable<Finding>
}

export interface Example {
  readonly title: string
  readonly yaml: string
}

/** A mistake found by a component's `check`; a `warning` does not stop the start. */
export interface Finding {
  readonly path: string
  readonly message: string
  readonly severity?: 'error' | 'warning'
  /** The value that may have been meant. Not shown where the value comes from a variable or a file, which may be a secret. */
  readonly suggestion?: string
}

/** A source of batches. The pipeline subscribes to start it; to stop, it aborts `signal` and then unsubscribes. */
export interface ReceiverComponent<S extends Settings = Settings> extends Declaration<S> {
  readonly kind: 'receiver'
  create(context: Context<ConfigOf<S>>): ObservableInput<MetricBatch>
}

/** Where a function says what the number of points of its result does not show. */
export interface ProcessorAccount {
  /** `points` of the batch in hand were left out by intent. For a processor that both `filters` and `merges`. */
  filtered(points: number): void
}

/** Handles one batch. `undefined` means that nothing is left of it. A throw costs this batch, counted, and nothing else. */
export type ProcessBatch = (
  batch: MetricBatch,
  account: ProcessorAccount,
) => MetricBatch | undefined | Promise<MetricBatch | undefined>

/**
 * How a processor may change the number of data points. Any change it does not declare is counted as dropped or created
 * under the reason `undeclared`.
 * - `filters`: fewer come out, by intent.
 * - `merges`: fewer come out, because several became one.
 * - `creates`: more come out.
 * - `holds`: an operator that keeps points for a while; every one comes out in the end.
 * - `replaces`: what comes out is new: what came in counts as merged, what goes out as created.
 */
export type PointChange = 'filters' | 'merges' | 'creates' | 'holds' | 'replaces'

/** A step between receivers and exporters: a function per batch, or an RxJS operator where it holds time or history. */
export interface ProcessorComponent<S extends Settings = Settings> extends Declaration<S> {
  readonly kind: 'processor'
  /**
   * Several where it may do the one or the other. What a batch lost and what it gained is set off within the batch. Of what it
   * lost, a processor that `filters` and `merges` says to `account` how much was filtered; the rest counts as merged.
   */
  readonly changes?: PointChange | readonly PointChange[]
  create(context: Context<ConfigOf<S>>): ProcessBatch | { operator: OperatorFunction<MetricBatch, MetricBatch> }
}

/** Where an exporter says which data points will not be sent, and why, and which it added. */
export interface Account {
  /** `points` were made beside those that were handed in. */
  created(points: number): void
  /** `points` became part of another point. */
  merged(points: number): void
  /** `points` are lost for `reason`, a `snake_case` word. */
  dropped(reason: string, points: number): void
}

/** One outgoing request, bounded in size by the exporter. */
export interface ExportRequest {
  /** Data points that arrive if the request is taken. */
  readonly points: number
  /** Bytes on the wire, as far as known. */
  readonly bytes: number
  /** Parts to send instead when the destination finds the request too large; `undefined` when it cannot be divided. */
  divide?(): readonly ExportRequest[] | undefined
}

/** A tag as the destination stores it. */
export interface ExplainedTag {
  readonly tag: string
  /** Where it comes from, for people: `resource attribute service.name`. */
  readonly from: string
}

/** One value as the destination would store it, and why. */
export interface ExplainedValue {
  readonly name: string
  /** In the destination's words: `count`, `gauge`, `distribution`. */
  readonly type: string
  readonly unit: string | undefined
  /** Seconds since 1970. */
  readonly time: number
  /** Several figures where one value is a summary of many. */
  readonly value: number | Readonly<Record<string, number>>
  /** Seconds that a count covers, if that is told. */
  readonly interval: number | undefined
  readonly host: { readonly name: string | undefined; readonly rule: string }
  readonly tags: readonly ExplainedTag[]
  /** The metrics handed in that it is made of; none when that is not known. */
  readonly from: readonly string[]
}

/** What an exporter says of its requests to whoever wants to know what would be sent. */
export interface Explanation {
  /** Read from the bytes of the requests. */
  readonly values: readonly ExplainedValue[]
  /** Where each request goes, and its bytes before compression, in the order of the requests. */
  readonly requests: readonly { readonly to: string; readonly rawBytes: number }[]
  /** Resource attributes that do not become tags, each with a value of it. */
  readonly notSent: readonly { readonly attribute: string; readonly value: string; readonly reason: string }[]
  /** As how many metrics the destination would bill the values; `undefined` where nobody knows. */
  readonly billedMetrics: number | undefined
}

/** What an exporter was given, what it made of that before the queue, and what it would send. */
export interface Rehearsed<R extends ExportRequest = ExportRequest> {
  readonly received: MetricBatch
  readonly prepared: MetricBatch
  readonly requests: readonly R[]
}

/**
 * What an exporter remembers, told in bytes of its own making. A queue on disk keeps them beside the batches they came with, so
 * that after a restart, also after a crash, as much is remembered as belongs to the batches that the queue took.
 */
export interface ExporterState {
  /** Begins to tell: what `changes` tells from now on does not build on what it told before. */
  begin(): void
  /**
   * Asked after each `prepare`: what that changed, and beside it a part of what has not been told since `begin`, small enough to
   * take no time; `all` once nothing of that is left, after 10,000 calls at the latest. No bytes: nothing is to be told.
   */
  changes(): { readonly bytes: Uint8Array; readonly all: boolean }
  /**
   * Takes over, before the first `prepare`, what was told in an earlier process: a list for each `begin` that is needed, oldest
   * first, of what was told since. Where it throws, nothing may be remembered.
   */
  restore(tellings: readonly (readonly Told[])[]): void
  /** Another exporter takes over what was told: forgets it, so that it is not there twice. */
  forget?(): void
}

/** What an exporter told of its memory, `age` milliseconds ago. */
export interface Told {
  readonly bytes: Uint8Array
  readonly age: number
}

/** What an exporter does. Queueing, batching, retrying, timeouts and counting belong to the pipeline around it. */
export interface Exporter<R extends ExportRequest = ExportRequest> {
  /** Runs once per batch, in order, before the queue; may have memory. What it leaves out it says to `account`. */
  prepare?(batch: MetricBatch, account: Account): MetricBatch
  /**
   * `prepare` for large batches, of which it makes the same: yields at least every few milliseconds, where others may have a turn, and
   * returns the batch. Until then no other batch is prepared, and `state` is asked for nothing.
   */
  prepareInTurns?(batch: MetricBatch, account: Account): Generator<void, MetricBatch>
  /** The memory of `prepare`, and of `encode` where it has one, if it is to survive a restart where the queue is on disk. */
  readonly state?: ExporterState
  /**
   * Pure: the same batch again gives the same. It may remember what it made of the batches before. The requests and what
   * `account` was told add up to the points of the batch.
   */
  encode(batch: MetricBatch, account: Account): Iterable<R>
  /**
   * `encode` for large batches, of which it makes the same: yields at least every few milliseconds, where others may have a turn, and
   * returns the requests. Until then no other batch is encoded, and `state` is asked for nothing.
   */
  encodeInTurns?(batch: MetricBatch, account: Account): Generator<void, Iterable<R>>
  /** Nothing of a batch that was encoded will be sent any more, or again: all of it was delivered or given up. */
  ended?(batch: MetricBatch): void
  /**
   * Has no memory; retried request by request. Throws `permanent`, `retryable`, `partial` or `divisible`. `signal` aborts when
   * the attempt is given up; it serves others after this one, so that who listens to it has to stop when the attempt has ended.
   */
  send(request: R, signal: AbortSignal): Promise<void>
  /** For `heka-pipeline explain`, which never calls `send`: what would be stored. Pure; may take its time. */
  explain?(rehearsed: Rehearsed<R>): Explanation
}

/** A processor that stands before an exporter in a pipeline, with its checked settings. */
export interface ProcessorBefore {
  readonly id: string
  readonly type: string
  readonly config: unknown
}

/** A destination. */
export interface ExporterComponent<S extends Settings = Settings> extends Declaration<S> {
  readonly kind: 'exporter'
  /**
   * Defaults of the pipeline's settings around this exporter, as in the YAML: `timeout`, `max_age`, `max_ahead` and
   * `sending_queue.join_interval`.
   */
  readonly timeout?: string
  readonly maxAge?: string
  readonly maxAhead?: string
  readonly joinInterval?: string
  /** The rules about what stands before it: the processors of a pipeline, in order. Findings are as those of `check`. */
  checkProcessors?(config: ConfigOf<S>, processors: readonly ProcessorBefore[]): Iterable<Finding>
  create(context: Context<ConfigOf<S>>): Exporter<ExportRequest>
}

export type Component<S extends Settings = Settings> =
  ReceiverComponent<S> | ProcessorComponent<S> | ExporterComponent<S>

export type ComponentKind = Component['kind']

/** Lends types to a component's declaration and returns it as it is; a literal that imports nothing works just as well. */
export function defineComponent<const S extends Settings>(component: ReceiverComponent<S>): ReceiverComponent<S>
export function defineComponent<const S extends Settings>(component: ProcessorComponent<S>): ProcessorComponent<S>
export function defineComponent<const S extends Settings>(component: ExporterComponent<S>): ExporterComponent<S>
export function defineComponent(component: unknown): unknown {
  return component
}

/** Whether an entry of `Settings` is one setting rather than a group of them. */
export function isSetting(entry: Setting | Settings): entry is Setting {
  return typeof entry.doc === 'string'
}
