import { systemClock } from '../../time/clock.ts'
import type { Component } from '../../component/define.ts'
import type { Counter, Meter } from '../../component/logger.ts'
import type { MemoryReading } from '../../host/memory_limiter.ts'
import { describe } from '../../otlp/common/handed_over.ts'
import type { Signal } from '../../otlp/signal.ts'
import { signals } from '../../otlp/signals.ts'
import { deliveryId } from '../delivery/id.ts'
import type { QueueStatus } from '../queue/queue.ts'

/** Items by reason. */
type Reasons = Readonly<Record<string, number>>

/** The counted items of a signal, as a sentence begins: `Data points`. */
export function itemsOf(signal: Signal): string {
  const { items } = signals[signal]
  return items.charAt(0).toUpperCase() + items.slice(1)
}

/** The counts that sheets of both kinds have: losses with their reasons, and the faults among them. */
class Losses {
  #merged = 0
  readonly #dropped = new Map<string, number>()
  #faults = 0

  constructor(readonly signal: Signal) {}

  /** The counted items, as a sentence begins: `Data points`. */
  get items(): string {
    return itemsOf(this.signal)
  }

  merged(items: number): void {
    this.#merged += items
  }

  /** Points left out by a rule. */
  dropped(reason: string, items: number): void {
    if (items !== 0) this.#dropped.set(reason, (this.#dropped.get(reason) ?? 0) + items)
  }

  /** Points lost against the user's will: a component threw, or a destination did not take them. */
  lost(reason: string, items: number): void {
    this.dropped(reason, items)
    this.#faults += items
  }

  get faults(): number {
    return this.#faults
  }

  get losses(): { merged: number; dropped: Reasons } {
    return { merged: this.#merged, dropped: Object.fromEntries(this.#dropped) }
  }
}

/**
 * Checks a number of items that a component reports; `what` names the call, such as "`account.filtered` must be given".
 * @throws TypeError if it is not a number that sums can take
 */
export function whole(items: unknown, what: string): number {
  if (Number.isSafeInteger(items) && (items as number) >= 0) return items as number
  throw new TypeError(`${what} a number of items, a whole number from 0, not ${describe(items)}`)
}

/** The items that one receiver handed to the pipelines of one signal, counted when their fate is known. */
export class ReceiverSheet {
  accepted = 0
  refused = 0

  /** `transport`: the protocol, as the receiver reports it. */
  constructor(
    readonly receiver: string,
    readonly signal: Signal,
    readonly transport: string,
  ) {}
}

/** The items that went into a processor of one pipeline and came out. */
export class ProcessorSheet {
  incoming = 0
  outgoing = 0

  constructor(
    readonly processor: string,
    readonly pipeline: string,
    readonly signal: Signal,
  ) {}
}

/** accepted + created = filtered + merged + dropped(reason) + refused + held + handed on */
export interface PipelineBalance {
  readonly accepted: number
  readonly created: number
  readonly filtered: number
  readonly merged: number
  readonly dropped: Reasons
  readonly refused: number
  readonly held: number
  readonly handed_on: number
}

/** The balance sheet of one pipeline, in items of its signal; correct at every moment. */
export class PipelineSheet extends Losses {
  constructor(signal: Signal = 'metrics') {
    super(signal)
  }

  accepted = 0
  created = 0
  filtered = 0
  refused = 0
  held = 0
  handedOn = 0

  balance(): PipelineBalance {
    const { merged, dropped } = this.losses
    const { accepted, created, filtered, refused, held, handedOn } = this
    return { accepted, created, filtered, merged, dropped, refused, held, handed_on: handedOn }
  }

  equation(): string {
    const { accepted, created, handed_on, ...rest } = this.balance()
    return equation({ accepted, created }, { 'handed on': handed_on, ...rest })
  }
}

/** handed in + restored + created = sent + rejected + merged + dropped(reason) + kept + queued + in flight */
export interface ExporterBalance {
  readonly handed_in: number
  /** Found on disk at the start. */
  readonly restored: number
  readonly created: number
  readonly sent: number
  readonly rejected: number
  readonly merged: number
  readonly dropped: Reasons
  /** Left on disk at the stop. */
  readonly kept: number
  readonly queued: number
  readonly in_flight: number
}

/** The balance sheet of one exporter and signal, in items; correct at every moment. */
export class ExporterSheet extends Losses {
  handedIn = 0
  restored = 0
  created = 0
  sent = 0
  rejected = 0
  kept = 0
  queued = 0
  inFlight = 0
  /** Why its last request could not be delivered; unset once a request is delivered. */
  failure?: { readonly since: Date; readonly message: string }
  /** When a request was delivered after such a failure. */
  recovered?: Date
  /** Outside of the equation: items that a full queue did not take, even if their receiver keeps them. */
  enqueueFailed = 0
  /** Outside of the equation: items of requests that were given up, or rejected by the destination. */
  sendFailed = 0
  /** Attempts to send a request. */
  attempts = 0
  /** Those attempts that followed a failed one. */
  retries = 0
  /** Requests that are being sent or wait to be sent again. */
  requestsInFlight = 0
  /** The current state of its sending queue, once there is one. */
  queueStatus?: () => QueueStatus

  constructor(
    readonly exporter = '',
    signal: Signal = 'metrics',
  ) {
    super(signal)
  }

  /** Points of a request that was given up. */
  givenUp(reason: string, items: number): void {
    this.lost(reason, items)
    this.sendFailed += items
  }

  balance(): ExporterBalance {
    const { merged, dropped } = this.losses
    const { handedIn, restored, created, sent, rejected, kept, queued, inFlight } = this
    return {
      handed_in: handedIn,
      restored,
      created,
      sent,
      rejected,
      merged,
      dropped,
      kept,
      queued,
      in_flight: inFlight,
    }
  }

  equation(): string {
    const { handed_in, restored, created, in_flight, ...rest } = this.balance()
    return equation({ 'handed in': handed_in, restored, created }, { ...rest, 'in flight': in_flight })
  }
}

/**
 * The balance of a whole process, by the ids of the YAML; an exporter's counts of logs are under `<id>:logs`, those of
 * traces under `<id>:traces`.
 */
export interface Balance {
  readonly pipelines: Readonly<Record<string, PipelineBalance>>
  readonly exporters: Readonly<Record<string, ExporterBalance>>
}

/** Writes an equation of items, without the terms that are zero; the first term of each side is always written. */
function equation(...sides: readonly Readonly<Record<string, number | Reasons>>[]): string {
  return sides
    .map((side) =>
      Object.entries(side)
        .flatMap(([term, value]) =>
          typeof value === 'number'
            ? [[term, value] as const]
            : Object.entries(value).map(([reason, items]) => [`dropped(${reason})`, items] as const),
        )
        .filter(([, items], index) => index === 0 || items !== 0)
        .map(([term, items]) => `${term} ${items}`)
        .join(' + '),
    )
    .join(' = ')
}

/** A counter that components of one type define. */
interface ComponentCounter {
  readonly component: Pick<Component, 'kind' | 'type'>
  readonly name: string
  readonly description: string
  readonly unit?: string
  /** By their labels as text, including the component's id. */
  readonly values: ReadonlyMap<string, CountedValue>
}

interface CountedValue {
  readonly id: string
  readonly attributes: Readonly<Record<string, string>>
  value: number
}

/** The sheets and counters of one running pipeline graph. */
export class Telemetry {
  /** Milliseconds since 1970 when counting began. */
  readonly start: number
  /** The last measurement of the memory limiter. */
  memory: () => MemoryReading | undefined = () => undefined
  /** How often the configuration was reloaded, and how often reloading failed. */
  readonly reloads = { success: 0, failure: 0 }
  readonly #receivers = new Map<string, ReceiverSheet>()
  readonly #processors = new Map<string, ProcessorSheet>()
  readonly #pipelines = new Map<string, PipelineSheet>()
  readonly #exporters = new Map<string, ExporterSheet>()
  readonly #counters = new Map<string, ComponentCounter>()

  /** `prefix`: the beginning of the names of the metrics, for the life of the process. */
  constructor(
    readonly prefix = 'otelcol',
    readonly clock = systemClock,
  ) {
    this.start = clock.now()
  }

  get receivers(): Iterable<ReceiverSheet> {
    return this.#receivers.values()
  }

  get processors(): Iterable<ProcessorSheet> {
    return this.#processors.values()
  }

  get pipelines(): Iterable<readonly [id: string, sheet: PipelineSheet]> {
    return this.#pipelines
  }

  get exporters(): Iterable<ExporterSheet> {
    return this.#exporters.values()
  }

  /** The components' own counters. */
  get componentCounters(): Iterable<ComponentCounter> {
    return this.#counters.values()
  }

  receiver(id: string, signal: Signal, transport = ''): ReceiverSheet {
    return entry(this.#receivers, `${id} ${signal} ${transport}`, () => new ReceiverSheet(id, signal, transport))
  }

  processor(id: string, pipeline: string, signal: Signal): ProcessorSheet {
    return entry(this.#processors, `${id} ${pipeline}`, () => new ProcessorSheet(id, pipeline, signal))
  }

  pipeline(id: string, signal: Signal = 'metrics'): PipelineSheet {
    return entry(this.#pipelines, id, () => new PipelineSheet(signal))
  }

  exporter(id: string, signal: Signal = 'metrics'): ExporterSheet {
    return entry(this.#exporters, deliveryId(id, signal), () => new ExporterSheet(id, signal))
  }

  /** Of every signal that the exporter had. */
  sheetsOf(exporter: string): readonly ExporterSheet[] {
    return [...this.exporters].filter((sheet) => sheet.exporter === exporter)
  }

  /** Takes back a sheet of which nothing came. */
  forget({ exporter, signal }: ExporterSheet): void {
    this.#exporters.delete(deliveryId(exporter, signal))
  }

  /** The meter of one component: its counters carry its id. Counts made before `begin` are added then. */
  meter({ kind, type }: ComponentCounter['component'], id: string): Meter & { begin(): void } {
    let counters = new Map<string, ComponentCounter>()
    const valuesOf = (name: string, options: { description: string; unit?: string }): Map<string, CountedValue> => {
      const make = (): ComponentCounter => ({ component: { kind, type }, name, ...options, values: new Map() })
      return entry(counters, `${kind} ${type} ${name}`, make).values as Map<string, CountedValue>
    }
    const add = (values: Map<string, CountedValue>, value: number, attributes: CountedValue['attributes']): void => {
      const key = labelText({ component: id, ...attributes })
      entry(values, key, () => ({ id, attributes, value: 0 })).value += value
    }
    return {
      createCounter(name, options): Counter {
        checkCounter(name, options)
        const { description, unit } = options
        valuesOf(name, { description, unit })
        return {
          add(value, attributes = {}) {
            if (!(Number.isFinite(value) && value >= 0)) {
              throw new TypeError(
                `\`add\` of the counter ${name} must be given a finite number, 0 or more, not ${describe(value)}`,
              )
            }
            add(valuesOf(name, { description, unit }), value, attributes)
          },
        }
      },
      begin: () => {
        const early = counters
        counters = this.#counters
        for (const { name, description, unit, values } of early.values()) {
          const known = valuesOf(name, { description, unit })
          for (const { value, attributes } of values.values()) add(known, value, attributes)
        }
      },
    }
  }

  balance(): Balance {
    return {
      pipelines: mapValues(this.#pipelines, (sheet) => sheet.balance()),
      exporters: mapValues(this.#exporters, (sheet) => sheet.balance()),
    }
  }

  /** The balance in words: a line for each pipeline, and for each exporter and signal. */
  equations(): string[] {
    return [
      ...Array.from(this.#pipelines, ([id, sheet]) => `${sheet.items} of pipeline ${id}: ${sheet.equation()}`),
      ...Array.from(this.exporters, (sheet) => `${sheet.items} of exporter ${sheet.exporter}: ${sheet.equation()}`),
    ]
  }

  /** The state of each sending queue, by its name in the balance. */
  queues(): Record<string, QueueStatus> {
    const queues: Record<string, QueueStatus> = {}
    for (const [id, { queueStatus }] of this.#exporters) if (queueStatus !== undefined) queues[id] = queueStatus()
    return queues
  }

  /** The components' own counters, by `name{label="value",...}`. */
  counters(): Readonly<Record<string, number>> {
    return Object.fromEntries(
      [...this.#counters.values()].flatMap(({ name, values }) =>
        Array.from(values, ([labels, { value }]) => [`${name}{${labels}}`, value] as const),
      ),
    )
  }

  /** Gives up the items that processors still hold, because no one waits for them any more. Returns how many, by pipeline. */
  abandonHeld(): Map<string, { readonly what: string; readonly items: number }> {
    const abandoned = new Map<string, { what: string; items: number }>()
    for (const [id, sheet] of this.#pipelines) {
      if (sheet.held === 0) continue
      abandoned.set(id, { what: sheet.items, items: sheet.held })
      sheet.lost('shutdown', sheet.held)
      sheet.held = 0
    }
    return abandoned
  }

  /**
   * Whether items were sent, and none of the accepted ones is missing; first values, from which differences are
   * counted, do not count as missing.
   */
  get allSent(): boolean {
    const sheets = [...this.#pipelines.values(), ...this.#exporters.values()]
    const dropped = sheets.some((sheet) => Object.keys(sheet.losses.dropped).some((reason) => reason !== 'first_value'))
    const exporters = [...this.#exporters.values()]
    const left = exporters.some(({ rejected, kept }) => rejected > 0 || kept > 0)
    return !dropped && !left && exporters.some(({ sent }) => sent > 0)
  }
}

/** @throws TypeError if JavaScript passes an invalid name or invalid options */
function checkCounter(name: unknown, options: unknown): void {
  if (typeof name !== 'string' || name === '') {
    throw new TypeError(`\`createCounter\` must be given a name, not ${name === '' ? 'an empty text' : describe(name)}`)
  }
  const { description, unit } = (options ?? {}) as Readonly<Record<string, unknown>>
  const isRight = typeof description === 'string' && (unit === undefined || typeof unit === 'string')
  if (isRight) return
  const wrong =
    options === undefined || options === null ? describe(options) : `${describe(description)} and ${describe(unit)}`
  throw new TypeError(
    `\`createCounter\` of ${name} must be given texts, \`{ description, unit }\` (unit is optional), not ${wrong}`,
  )
}

function labelText(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .map(([key, label]) => `${key}="${label}"`)
    .join(',')
}

function entry<T>(map: Map<string, T>, key: string, make: () => T): T {
  let value = map.get(key)
  if (value === undefined) map.set(key, (value = make()))
  return value
}

function mapValues<T, U>(map: ReadonlyMap<string, T>, change: (value: T) => U): Record<string, U> {
  return Object.fromEntries([...map].map(([key, value]) => [key, change(value)]))
}
