import { systemClock } from '../../time/clock.ts'
import type { Component } from '../../component/define.ts'
import type { Counter, Meter } from '../../component/logger.ts'
import type { MemoryReading } from '../../host/memory_limiter.ts'
import { describe } from '../../otlp/metrics/handed_over.ts'
import type { QueueStatus } from '../queue/queue.ts'

/** Data points by reason. */
export type Reasons = Readonly<Record<string, number>>

/** What a sheet of either kind counts: losses with their reasons, and those among them that are faults. */
class Losses {
  #merged = 0
  readonly #dropped = new Map<string, number>()
  #faults = 0

  merged(points: number): void {
    this.#merged += points
  }

  /** Points left out by a rule. */
  dropped(reason: string, points: number): void {
    if (points !== 0) this.#dropped.set(reason, (this.#dropped.get(reason) ?? 0) + points)
  }

  /** Points lost against the user's will: a component that threw, a destination that did not take them. */
  lost(reason: string, points: number): void {
    this.dropped(reason, points)
    this.#faults += points
  }

  get faults(): number {
    return this.#faults
  }

  get losses(): { merged: number; dropped: Reasons } {
    return { merged: this.#merged, dropped: Object.fromEntries(this.#dropped) }
  }
}

/**
 * A number of points that a component says; `what` says where, as "`account.filtered` must be given".
 * @throws TypeError where it is no such number, which no sum could take
 */
export function whole(points: unknown, what: string): number {
  if (Number.isSafeInteger(points) && (points as number) >= 0) return points as number
  throw new TypeError(`${what} a number of data points, a whole number from 0, not ${describe(points)}`)
}

/** What one receiver handed to its pipelines, in data points, when it was known what became of it. */
export class ReceiverSheet {
  accepted = 0
  refused = 0

  /** `transport`: how it came, as the receiver says. */
  constructor(
    readonly receiver: string,
    readonly transport: string,
  ) {}
}

/** What went into a processor of one pipeline and what came out, in data points. */
export class ProcessorSheet {
  incoming = 0
  outgoing = 0

  constructor(
    readonly processor: string,
    readonly pipeline: string,
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

/** The balance sheet of one pipeline, in data points; right at every moment. */
export class PipelineSheet extends Losses {
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

/** The balance sheet of one exporter, in data points; right at every moment. */
export class ExporterSheet extends Losses {
  handedIn = 0
  restored = 0
  created = 0
  sent = 0
  rejected = 0
  kept = 0
  queued = 0
  inFlight = 0
  /** Why its last request could not be delivered; none once one is. */
  failure?: { readonly since: Date; readonly message: string }
  /** When one was, after such a failure. */
  recovered?: Date
  /** Beside the equation: points that a full queue did not take, also where their receiver keeps them. */
  enqueueFailed = 0
  /** Beside the equation: points of requests that were given up, or rejected by the destination. */
  sendFailed = 0
  /** Attempts to send a request. */
  attempts = 0
  /** Those among them that were made because the one before had failed. */
  retries = 0
  /** Requests that are being sent or wait to be sent again. */
  requestsInFlight = 0
  /** How its sending queue is now, once there is one. */
  queueStatus?: () => QueueStatus

  /** Points of a request that was given up. */
  givenUp(reason: string, points: number): void {
    this.lost(reason, points)
    this.sendFailed += points
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

/** The balance of a whole process, by the ids of the YAML. */
export interface Balance {
  readonly pipelines: Readonly<Record<string, PipelineBalance>>
  readonly exporters: Readonly<Record<string, ExporterBalance>>
}

/** Writes an equation of points, without the terms that are zero; the first of each side always stands. */
function equation(...sides: readonly Readonly<Record<string, number | Reasons>>[]): string {
  return sides
    .map((side) =>
      Object.entries(side)
        .flatMap(([term, value]) =>
          typeof value === 'number'
            ? [[term, value] as const]
            : Object.entries(value).map(([reason, points]) => [`dropped(${reason})`, points] as const),
        )
        .filter(([, points], index) => index === 0 || points !== 0)
        .map(([term, points]) => `${term} ${points}`)
        .join(' + '),
    )
    .join(' = ')
}

/** A counter that components of one type have of their own. */
export interface ComponentCounter {
  readonly component: Pick<Component, 'kind' | 'type'>
  readonly name: string
  readonly description: string
  readonly unit?: string
  /** By their labels as text, the component's id among them. */
  readonly values: ReadonlyMap<string, CountedValue>
}

interface CountedValue {
  readonly id: string
  readonly attributes: Readonly<Record<string, string>>
  value: number
}

/** The sheets and counters of one running pipeline graph. */
export class Telemetry {
  /** Milliseconds since 1970, when nothing had been counted. */
  readonly start: number
  /** What the limiter of the memory saw last. */
  memory: () => MemoryReading | undefined = () => undefined
  /** How often the configuration was reloaded, and how often it could not be. */
  readonly reloads = { success: 0, failure: 0 }
  readonly #receivers = new Map<string, ReceiverSheet>()
  readonly #processors = new Map<string, ProcessorSheet>()
  readonly #pipelines = new Map<string, PipelineSheet>()
  readonly #exporters = new Map<string, ExporterSheet>()
  readonly #counters = new Map<string, ComponentCounter>()

  /** `prefix`: what the names of the metrics begin with, as long as the process lives. */
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

  get exporters(): Iterable<readonly [id: string, sheet: ExporterSheet]> {
    return this.#exporters
  }

  /** What the components count by themselves. */
  get componentCounters(): Iterable<ComponentCounter> {
    return this.#counters.values()
  }

  receiver(id: string, transport = ''): ReceiverSheet {
    return entry(this.#receivers, `${id} ${transport}`, () => new ReceiverSheet(id, transport))
  }

  processor(id: string, pipeline: string): ProcessorSheet {
    return entry(this.#processors, `${id} ${pipeline}`, () => new ProcessorSheet(id, pipeline))
  }

  pipeline(id: string): PipelineSheet {
    return entry(this.#pipelines, id, () => new PipelineSheet())
  }

  exporter(id: string): ExporterSheet {
    return entry(this.#exporters, id, () => new ExporterSheet())
  }

  /** An exporter that never was to be. */
  forgetExporter(id: string): void {
    this.#exporters.delete(id)
  }

  /** The meter of one component: its counters carry its id. What it counts before `begin` counts from then on. */
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
            if (!Number.isFinite(value)) {
              throw new TypeError(
                `\`add\` of the counter ${name} must be given a finite number, not ${describe(value)}`,
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

  /** The balance in words, an equation for each pipeline and exporter. */
  equations(): string[] {
    return [
      ...[...this.#pipelines].map(([id, sheet]) => `pipeline ${id}: ${sheet.equation()}`),
      ...[...this.#exporters].map(([id, sheet]) => `exporter ${id}: ${sheet.equation()}`),
    ]
  }

  /** The state of each sending queue, by the id of its exporter. */
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

  /** Gives up the points that processors still hold: nobody waits for them any more. Returns how many, by pipeline. */
  abandonHeld(): Map<string, number> {
    const abandoned = new Map<string, number>()
    for (const [id, sheet] of this.#pipelines) {
      if (sheet.held === 0) continue
      abandoned.set(id, sheet.held)
      sheet.lost('shutdown', sheet.held)
      sheet.held = 0
    }
    return abandoned
  }

  /** Whether points were sent, and all that came in; first values that differences are counted from need not be. */
  get allSent(): boolean {
    const sheets = [...this.#pipelines.values(), ...this.#exporters.values()]
    const dropped = sheets.some((sheet) => Object.keys(sheet.losses.dropped).some((reason) => reason !== 'first_value'))
    const exporters = [...this.#exporters.values()]
    const left = exporters.some(({ rejected, kept }) => rejected > 0 || kept > 0)
    return !dropped && !left && exporters.some(({ sent }) => sent > 0)
  }
}

/** @throws TypeError where JavaScript gives what is no name, or no options */
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
    `\`createCounter\` of ${name} must be given \`{ description, unit }\`, texts of which unit may be left out, not ${wrong}`,
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
