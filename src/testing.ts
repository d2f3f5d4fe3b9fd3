import { randomBytes } from 'node:crypto'
import { Subject } from 'rxjs'
import { systemClock } from './time/clock.ts'
import type { Clock } from './time/clock.ts'
import type { Context, ReceiverContext } from './component/context.ts'
import type { Component } from './component/define.ts'
import type { Logger } from './component/logger.ts'
import type { ProcessorComponent } from './component/processor.ts'
import type { ConfigOf, Settings } from './component/settings.ts'
import { Attributes } from './otlp/common/attributes.ts'
import type { AttributeValue } from './otlp/common/attributes.ts'
import { LogRecord } from './otlp/logs/log_record.ts'
import type { LogRecordFields } from './otlp/logs/log_record.ts'
import type { MetricBatch } from './otlp/metrics/batch.ts'
import type { Batch, SignalType } from './otlp/signal.ts'
import { handedOver, signals } from './otlp/signals.ts'
import type { BatchOf } from './otlp/signals.ts'
import { Metric } from './otlp/metrics/metric.ts'
import type { Temporality } from './otlp/metrics/metric_type.ts'
import { NumberPoint } from './otlp/metrics/points.ts'
import { Span } from './otlp/traces/span.ts'
import type { SpanFields } from './otlp/traces/span.ts'
import { checkComponent } from './pipeline/config/config.ts'
import { signalsOf } from './pipeline/config/pipelines.ts'
import { create } from './pipeline/modules/create.ts'
import { guard } from './pipeline/graph/guard.ts'
import { Lifetime } from './pipeline/graph/lifetime.ts'
import { thisMachine } from './pipeline/machine.ts'
import { Receipt } from './pipeline/graph/receipt.ts'
import type { Envelope } from './pipeline/graph/receipt.ts'
import { PipelineSheet, Telemetry } from './pipeline/telemetry/telemetry.ts'
import type { PipelineBalance } from './pipeline/telemetry/telemetry.ts'

/*
 * The tools that test our own components, published as `heka-pipeline/testing`. The same code that runs the pipeline
 * checks the configuration and guards the batches.
 */

export { VirtualClock } from './time/virtual_clock.ts'

type Values = Readonly<Record<string, AttributeValue>>

interface GaugeOptions {
  /** UCUM. */
  readonly unit?: string
  /** Nanoseconds since 1970; default: now. */
  readonly timeUnixNano?: bigint
}

interface SumOptions extends GaugeOptions {
  readonly startTimeUnixNano?: bigint
  readonly temporality?: Temporality
  readonly monotonic?: boolean
}

/** A gauge of one data point. */
export function gauge(name: string, value: number | bigint, attributes?: Values, options: GaugeOptions = {}): Metric {
  return new Metric({ name, type: 'gauge', unit: options.unit, points: [numberPoint(value, attributes, options)] })
}

/** A sum of one data point; cumulative and monotonic unless `options` says otherwise. */
export function sum(name: string, value: number | bigint, attributes?: Values, options: SumOptions = {}): Metric {
  const { unit, temporality = 'cumulative', monotonic = true } = options
  return new Metric({
    name,
    type: 'sum',
    unit,
    temporality,
    monotonic,
    points: [numberPoint(value, attributes, options)],
  })
}

function numberPoint(value: number | bigint, attributes: Values = {}, options: SumOptions): NumberPoint {
  return new NumberPoint({
    value,
    attributes: Attributes.of(attributes),
    timeUnixNano: options.timeUnixNano ?? nowUnixNano(),
    startTimeUnixNano: options.startTimeUnixNano,
  })
}

function nowUnixNano(): bigint {
  return BigInt(systemClock.now()) * 1_000_000n
}

/** A current log record, unless `options` says otherwise. */
export function logRecord(
  body: AttributeValue,
  attributes: Values = {},
  options: Omit<LogRecordFields, 'body' | 'attributes'> = {},
): LogRecord {
  return new LogRecord({ timeUnixNano: nowUnixNano(), ...options, body, attributes: Attributes.of(attributes) })
}

/** A span that ends now and is the root of a trace of its own, unless `options` says otherwise. */
export function span(
  name: string,
  attributes: Values = {},
  options: Omit<SpanFields, 'name' | 'attributes'> = {},
): Span {
  const { endTimeUnixNano = nowUnixNano(), startTimeUnixNano = endTimeUnixNano } = options
  const ids = { traceId: randomBytes(16).toString('hex'), spanId: randomBytes(8).toString('hex') }
  const own = { ...ids, ...options, startTimeUnixNano, endTimeUnixNano }
  return new Span({ ...own, name, attributes: Attributes.of(attributes) })
}

/** The default of `service.processor_timeout`. */
const PROCESSOR_TIMEOUT = 60_000

/** The results of a processor under test. */
export interface ProcessorTest<B extends Batch = MetricBatch> {
  /**
   * Hands the processor one batch; resolves with its output, or with an empty batch if there is none. Rejects if data
   * points, log records or spans were lost by a fault: a throw, an invalid batch, or a change in their number that
   * `changes` does not declare.
   */
  readonly process: (batch: B) => Promise<B>
  /** All output so far, including data that an operator emitted later, in order. */
  readonly emitted: readonly B[]
  /** The input, in data points, log records or spans, and its fate. */
  readonly balance: () => PipelineBalance
  /** The lines the processor logged. */
  readonly logs: readonly LogLine[]
  /** Ends the input, then stops the processor. An operator emits the data that it holds. */
  readonly stop: () => Promise<void>
}

/**
 * Starts a processor with the settings that `yaml` gives it, `type: {...}` as in a pipeline file. `env` (default:
 * `process.env`) fills `${env:...}`. `signal` is that of the pipeline; default: the first that it declares.
 * @throws ConfigError if they are wrong
 */
export async function testProcessor<S extends Settings, B extends Batch, G extends B['signal'] = B['signal']>(
  component: ProcessorComponent<S, B>,
  yaml: string,
  options: Pick<TestOptions, 'clock' | 'env'> & { readonly signal?: G } = {},
): Promise<ProcessorTest<BatchOf[G]>> {
  const { env, clock = systemClock, signal = (component.signals?.[0] ?? 'metrics') as G } = options
  const type = signals[signal] as SignalType<BatchOf[G]>
  const { created, log, logs, stop } = await testComponent(component, yaml, { env, clock })
  const sheet = new PipelineSheet(signal)
  const emitted: BatchOf[G][] = []
  const origins: Receipt[] = []
  const input = new Subject<Envelope>()
  const guarded = {
    ...{ changes: component.changes, sheet, log, clock, custom: true },
    timeout: () => PROCESSOR_TIMEOUT,
    report: () => undefined,
  }
  input.pipe(guard(created, guarded)).subscribe(({ batch, receipt }) => {
    sheet.handedOn += batch.itemCount
    emitted.push(batch as BatchOf[G])
    origins.push(receipt)
    receipt.close()
  })
  return {
    emitted,
    logs,
    balance: () => sheet.balance(),
    async process(batch) {
      if (batch.signal !== signal) {
        throw new TypeError(
          `The batch is of ${batch.signal}; give testProcessor { signal: '${batch.signal}' } with it.`,
        )
      }
      const { faults } = sheet
      sheet.accepted += batch.itemCount
      const receipt = await new Promise<Receipt>((resolve) => {
        const own: Receipt = new Receipt(1, () => resolve(own))
        input.next({ batch, receipt: own })
      })
      if (sheet.faults > faults) {
        const causes = logs.filter(({ level }) => level === 'error').map((line) => JSON.stringify(line))
        throw new Error([`${sheet.faults - faults} ${type.items} were lost:`, ...causes].join('\n'))
      }
      return type.merge(emitted.filter((_batch, index) => origins[index] === receipt))
    },
    async stop() {
      input.complete()
      await stop()
    },
  }
}

export interface LogLine {
  readonly level: keyof Logger
  readonly message: string
  readonly fields?: object
}

export interface TestOptions<B extends Batch = MetricBatch> {
  deliver?(this: void, batch: B, transport?: string): Promise<void>
  readonly env?: Readonly<Record<string, string | undefined>>
  /** The clock that the component is given; default: that of the machine. */
  readonly clock?: Clock
}

/** A component of any kind, created as the pipeline creates it. */
export interface ComponentTest<Created> {
  /** The result of `create`. */
  readonly created: Created
  readonly log: Logger
  /** The lines the component logged. */
  readonly logs: readonly LogLine[]
  /** Stops the component as the pipeline does at the end: aborts its signal and runs its cleanups. May be repeated. */
  readonly stop: () => Promise<void>
}

/**
 * Creates a component with the settings that `yaml` gives it, `type: {...}` as in a pipeline file. `deliver` is for
 * receivers and takes each batch that they deliver; `env` (default: `process.env`) fills `${env:...}`.
 * @throws ConfigError if the settings are wrong, and an Error if `create` fails or returns an invalid result
 */
export async function testComponent<C extends Component<S>, S extends Settings, B extends Batch = MetricBatch>(
  component: C,
  yaml: string,
  { deliver = async () => {}, env = process.env, clock = systemClock }: TestOptions<B> = {},
): Promise<ComponentTest<ReturnType<C['create']>>> {
  const { config } = await checkComponent(component, yaml, env)
  const logs: LogLine[] = []
  const write = (level: keyof Logger) => (message: string, fields?: object) =>
    void logs.push({ level, message, fields })
  const log = { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') }
  const lifetime = new Lifetime(log)
  const context = lifetime.context(component, {
    id: component.type,
    config: config as ConfigOf<Settings>,
    telemetry: new Telemetry(),
    clock,
    network: thisMachine.network,
  })
  const receiving: Omit<ReceiverContext, keyof Context> = {
    deliver: async (batch, transport) => deliver(handedOver(batch, signalsOf(component)) as B, transport),
    takes: (signal) => signalsOf(component).includes(signal),
    memoryIsShort: () => false,
    starting: () => undefined,
  }
  lifetime.begin()
  const created = create(
    component as Component,
    component.kind === 'receiver' ? { ...context, ...receiving } : context,
  ) as ReturnType<C['create']>
  return { created, log, logs, stop: () => lifetime.stop() }
}
