import type { Finding } from '../../component/settings.ts'
import { addInts, addValues } from '../../otlp/metrics/number_values.ts'
import type { NumberValue } from '../../otlp/metrics/number_values.ts'
import type { NumberPoint } from '../../otlp/metrics/points.ts'
import type { Aggregation, MetricDeclaration, Scraper, Strategy } from './scraper.ts'
import { selectsAll } from './selection.ts'

/** The checked settings of a metric; the last two only if it has attributes. */
export interface MetricConfig {
  readonly enabled: boolean
  readonly attributes?: readonly string[]
  readonly aggregation_strategy?: Strategy
}

/** Finds metrics of a scraper that lose attributes without which their points cannot, or should not, be added up. */
export function* checkAggregations(
  { metrics, overlapping }: Scraper,
  settings: { readonly metrics: Readonly<Record<string, MetricConfig>> },
  path: string,
): Generator<Finding> {
  for (const [name, declaration] of Object.entries(metrics)) {
    const { enabled, aggregation_strategy: strategy } = settings.metrics[name]
    const dropped = droppedBy(settings.metrics[name], declaration)
    const place = `${path}.metrics.${name}.attributes`
    for (const attribute of declaration.required ?? []) {
      if (!dropped.has(attribute)) continue
      yield {
        path: place,
        message: `must have \`${attribute}\`: its values overlap, so points cannot be aggregated over it`,
      }
    }
    if (!enabled || overlapping === undefined || !dropped.has(overlapping.attribute)) continue
    if (strategy === 'min' || strategy === 'max' || !selectsAll(settings)) continue
    const message = `joins points of every \`${overlapping.attribute}\`, and ${overlapping.reason}: choose with include or exclude which ones count, or some are counted twice`
    yield { path: place, message, severity: 'warning' }
  }
}

function droppedBy({ attributes }: MetricConfig, declaration: MetricDeclaration): ReadonlySet<string> {
  return new Set(declaration.attributes?.filter((attribute) => attributes?.includes(attribute) === false))
}

/** The aggregation that a metric's settings ask for; `undefined` if its points stay as they are. */
export function aggregationOf(config: MetricConfig, declaration: MetricDeclaration): Aggregation | undefined {
  const dropped = droppedBy(config, declaration)
  if (dropped.size === 0) return undefined
  const { aggregation_strategy: strategy = 'sum' } = config
  const counters = new Counters()
  return (points) => {
    const groups = new Map<string, NumberPoint[]>()
    for (const point of points) {
      const { identity } = point.attributes.without(dropped)
      const group = groups.get(identity)
      if (group === undefined) groups.set(identity, [point])
      else group.push(point)
    }
    const values = declaration.monotonic ? counters.totals(groups) : Array.from(groups.values(), folds[strategy])
    return Array.from(groups.values(), ([point], index) => {
      const { value, isInt } = values[index]
      return point.with({ value, isInt, attributes: point.attributes.without(dropped) })
    })
  }
}

const folds: Readonly<Record<Strategy, (values: readonly NumberValue[]) => NumberValue>> = {
  sum: (values) => values.reduce(addValues),
  // A double also for ints: the mean of 1 and 2 is not an int.
  avg: (values) => ({ value: Number(values.reduce(addValues).value) / values.length, isInt: false }),
  min: (values) => values.reduce((least, value) => (isLess(value, least) ? value : least)),
  max: (values) => values.reduce((most, value) => (isLess(most, value) ? value : most)),
}

function isLess(left: NumberValue, right: NumberValue): boolean {
  return (left.value ?? 0) < (right.value ?? 0)
}

/** The most vanished counters that are remembered in case they come back. A host makes and removes interfaces all day. */
const MAX_ABSENT = 10_000

interface Counter {
  readonly group: string
  /** Its value when it last fell. */
  readonly before: NumberValue
  readonly last: NumberValue
}

/**
 * Adds up counters so that the sum never falls, because a fall looks like a restart in which the whole sum was counted:
 * a counter that vanishes (an interface that was removed, a CPU that is offline) keeps its part of the sum, and one
 * that falls goes on from where it was. Until one of them does, the sum is exactly that of the values, also after a
 * restart of the process.
 */
class Counters {
  /** By all their attributes, in order of appearance. */
  readonly #counters = new Map<string, Counter>()
  /** The counts of forgotten counters, by group. */
  #forgotten = new Map<string, NumberValue>()
  /** Of the last scrape, by group. */
  #totals = new Map<string, NumberValue>()

  /** The sum of each group. */
  totals(groups: ReadonlyMap<string, readonly NumberPoint[]>): NumberValue[] {
    const present = new Set<string>()
    for (const [group, points] of groups) {
      for (const point of points) {
        const { identity } = point.attributes
        present.add(identity)
        const known = this.#counters.get(identity)
        let before: NumberValue = known?.before ?? { value: 0, isInt: point.isInt }
        if (known !== undefined && isLess(point, known.last)) {
          before = plus(before, minus(known.last, point))
        }
        this.#counters.set(identity, { group, before, last: point })
      }
    }
    if (this.#counters.size - present.size > MAX_ABSENT) this.#forget(present, groups)
    const sums = new Map(this.#forgotten)
    for (const { group, before, last } of this.#counters.values()) add(sums, group, plus(before, last))
    const totals = new Map<string, NumberValue>()
    for (const group of groups.keys()) {
      const [sum, earlier] = [sums.get(group) as NumberValue, this.#totals.get(group)]
      // Adding doubles in another order may round down.
      totals.set(group, earlier !== undefined && isLess(sum, earlier) ? earlier : sum)
    }
    this.#totals = totals
    return Array.from(totals.values(), asOtlp)
  }

  #forget(present: ReadonlySet<string>, groups: { has(group: string): boolean }): void {
    for (const [identity, { group, before, last }] of this.#counters) {
      if (present.has(identity)) continue
      add(this.#forgotten, group, plus(before, last))
      this.#counters.delete(identity)
    }
    this.#forgotten = new Map([...this.#forgotten].filter(([group]) => groups.has(group)))
  }
}

function add(sums: Map<string, NumberValue>, group: string, value: NumberValue): void {
  const sum = sums.get(group)
  sums.set(group, sum === undefined ? value : plus(sum, value))
}

/** The sum, exact for ints of any size. */
function plus(left: NumberValue, right: NumberValue): NumberValue {
  if (!left.isInt || !right.isInt) return addValues(left, right)
  return { value: addInts(left.value ?? 0, right.value ?? 0), isInt: true }
}

function minus({ value, isInt }: NumberValue, right: NumberValue): NumberValue {
  return plus({ value, isInt }, { value: -(right.value ?? 0), isInt: right.isInt })
}

/** OTLP's ints hold 63 bits of a counter; beyond them it begins again at 0. */
function asOtlp({ value, isInt }: NumberValue): NumberValue {
  return { value: typeof value === 'bigint' ? BigInt.asUintN(63, value) : value, isInt }
}
