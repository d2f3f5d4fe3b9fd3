import { types } from 'node:util'
import { Attributes, isNestedTooDeep, NESTED_TOO_DEEP } from '../common/attributes.ts'
import type { AttributeValue, KeyValue } from '../common/attributes.ts'
import { MetricBatch } from './batch.ts'
import { Mistake } from '../json/text.ts'
import { Encoded, Message } from '../wire/lazy_message.ts'
import { temporalities } from './layout.ts'
import { Metric, ResourceMetrics, ScopeMetrics } from './metric.ts'
import type { MetricType } from './metric_type.ts'
import type { MetricFields } from './metric.ts'
import { ExponentialHistogramPoint, HistogramPoint, NumberPoint, SummaryPoint } from './points.ts'
import type { DataPoint, NumberPointFields } from './points.ts'
import { Resource, Scope } from '../common/resource.ts'
import { holdsPointsOf } from './codec/metric.ts'

/*
 * What components of a user's own hand over. TypeScript says what a batch may hold, but JavaScript can put anything into one,
 * and would only fail where somebody reads or encodes it.
 */

/** Messages and lists of points that were found to be right; the batches made of them share them. */
const sound = new WeakSet<object>()

/**
 * The batch that a component hands over, once everything in it is what it has to be. A plain object where a message or
 * attributes belong becomes one. What is as it came on the wire, or was looked at before, is not looked at again.
 * @throws TypeError that names the metric and the key: `metric "load": points[0].value must be a number, not a string`
 */
export function handedOver(given: unknown): MetricBatch {
  if (!(given instanceof MetricBatch)) {
    // What it rejects with matters no more.
    if (given instanceof Promise) given.catch(() => undefined)
    throw new TypeError(`must be a MetricBatch, not ${describe(given)}`)
  }
  try {
    return given.mapMade((entries) => within('resources', entries, listOf(resourceMetrics)) as ResourceMetrics[])
  } catch (error) {
    if (!(error instanceof Mistake)) throw error
    throw new TypeError(error.path === '' ? error.message : `${error.path} ${error.message}`)
  }
}

/** The number of data points in what a component hands over, as far as it can be known, whatever that is. */
export function pointsIn(given: unknown): number {
  try {
    const { pointCount } = given as MetricBatch
    if (Number.isSafeInteger(pointCount)) return pointCount
    const counts = Array.from((given as MetricBatch).metrics(), ({ metric }) => Number(metric.points.length))
    return counts.reduce((sum, count) => sum + (Number.isSafeInteger(count) ? count : 0), 0)
  } catch {
    return 0
  }
}

/** Returns the value as it has to be: most often as it is. @throws Mistake */
type Check = (value: unknown) => unknown
type Checks = Readonly<Record<string, Check>>

function must(be: string, fits: (value: unknown) => boolean): Check {
  return (value) => {
    if (fits(value)) return value
    throw new Mistake(`must be ${be}, not ${describe(value)}`)
  }
}

function integer(be: string, from: bigint, to: bigint): Check {
  return must(be, (value) => {
    const isInteger = typeof value === 'bigint' || (typeof value === 'number' && Number.isInteger(value))
    return isInteger && value >= from && value < to
  })
}

const TWO_TO_64 = 2n ** 64n

const text = must('a text', (value) => typeof value === 'string')
const flag = must('true or false', (value) => typeof value === 'boolean')
const double = must('a number', (value) => typeof value === 'number')
const bytes = must('a Uint8Array', types.isUint8Array)
const uint32 = must('a whole number from 0 of 32 bits', (value) => value === Number(value) && value === value >>> 0)
const int32 = must('a whole number of 32 bits', (value) => value === Number(value) && value === (value | 0))
const int64 = integer('a whole number or bigint of 64 bits', -(2n ** 63n), 2n ** 63n)
const count = integer('a whole number or bigint from 0 of 64 bits', 0n, TWO_TO_64)
const nanoseconds = must(
  'a bigint, nanoseconds since 1970',
  (value) => typeof value === 'bigint' && value >= 0n && value < TWO_TO_64,
)
const value: Check = (given) => {
  if (typeof given === 'bigint') return int64(given)
  if (typeof given === 'number') return given
  throw new Mistake(`must be a number or a bigint, not ${describe(given)}`)
}

const listOf =
  (check: Check): Check =>
  (given) => {
    if (!isList(given)) throw new Mistake(`must be a list, not ${describe(given)}`)
    let checked: unknown[] | undefined
    let index = 0
    try {
      for (; index < given.length; index++) {
        const item = check(given[index])
        if (Object.is(item, given[index])) continue
        checked ??= given.slice()
        checked[index] = item
      }
    } catch (error) {
      throw outside(error, `[${index}]`)
    }
    return checked ?? given
  }

/** The mistake as it is seen from outside of `place`. */
function outside(error: unknown, place: string): unknown {
  return error instanceof Mistake ? error.within(place) : error
}

function within(place: string, given: unknown, check: Check): unknown {
  try {
    return check(given)
  } catch (error) {
    throw outside(error, place)
  }
}

/** Checks fields by name; an unset one means its default, but for those that are `required`. */
function fields<Fields extends object>(given: Fields, checks: Checks, required: readonly string[] = []): Fields {
  let checked: Record<string, unknown> | undefined
  let at = ''
  try {
    for (const key in given) {
      const before: unknown = given[key]
      if (before === undefined) continue
      at = key
      const check = checks[key] as Check | undefined
      if (check === undefined) throw new Mistake(`is not a field; there are ${Object.keys(checks).join(', ')}`)
      const after = check(before)
      // NaN is not equal to itself.
      if (!Object.is(after, before)) (checked ??= { ...given } as Record<string, unknown>)[key] = after
    }
    for (at of required) if ((given as Record<string, unknown>)[at] === undefined) throw new Mistake('is missing')
  } catch (error) {
    throw outside(error, at)
  }
  return (checked as Fields | undefined) ?? given
}

const structure =
  (checks: Checks, required: readonly string[]): Check =>
  (given) => {
    if (!isPlain(given)) throw new Mistake(`must be an object, not ${describe(given)}`)
    return fields(given, checks, required)
  }

type Kind<Fields extends object, M extends Message<Fields>> = new (fields: Fields) => M

/** Checks a message by `check`, which is given its fields. */
function message<Fields extends object, M extends Message<Fields>>(
  given: unknown,
  Class: Kind<Fields, M>,
  name: string,
  check: (fields: Fields) => Fields,
): M {
  if (given instanceof Class) {
    const { made } = given
    if (made === undefined || sound.has(given)) return given
    const checked = check(made)
    if (checked !== made) return new Class(checked)
    sound.add(given)
    return given
  }
  if (!isPlain(given)) throw new Mistake(`must be a ${name}, or a plain object with its fields, not ${describe(given)}`)
  return new Class(check(fieldsOf(given, new Class({} as Fields)) as Fields))
}

/** What a plain object gives, and, where a message was spread into it as in `{ ...point, value: 1 }`, what that held. */
function fieldsOf({ kind, ...given }: Readonly<Record<string, unknown>>, example: object): object {
  const { kind: own, ...internal } = example as Readonly<Record<string, unknown>>
  if (kind !== undefined && kind !== own) throw new Mistake(`must be ${String(own)}`).within('kind')
  if (!Object.keys(internal).every((key) => key in given)) return given
  const { encoded, read, renamed } = given
  const before = encoded instanceof Encoded ? (encoded.decode() as object) : read
  if (!isPlain(before)) throw new Mistake('is a copy of a message that has lost what it held')
  const set = Object.entries(given).filter(([key]) => !Object.hasOwn(internal, key))
  return { ...before, ...(renamed !== undefined && { name: renamed }), ...Object.fromEntries(set) }
}

const anyValues: Checks = {
  stringValue: text,
  boolValue: flag,
  intValue: int64,
  doubleValue: double,
  bytesValue: bytes,
  arrayValue: listOf((item) => anyValue(item)),
  kvlistValue: listOf((item) => keyValue(item)),
}
const anyValue = structure(anyValues, [])
const keyValue = structure({ key: text, value: anyValue }, ['key', 'value'])

const attributes: Check = (given) => {
  const made = given instanceof Attributes ? given : attributesOf(given)
  if (made.encoded !== undefined) return made
  for (const { key, value } of made as Iterable<KeyValue>) {
    if (typeof key !== 'string') within('key', key, text)
    try {
      anyValue(value)
      if (isNestedTooDeep(value)) throw new Mistake(NESTED_TOO_DEEP)
    } catch (error) {
      // The stack ends before a value does that contains itself.
      const mistake = error instanceof RangeError ? new Mistake(NESTED_TOO_DEEP) : error
      throw outside(mistake, `[${JSON.stringify(key)}]`)
    }
  }
  return made
}

function attributesOf(given: unknown): Attributes {
  if (!isPlain(given)) {
    throw new Mistake(`must be Attributes, or a plain object of their values, not ${describe(given)}`)
  }
  const { encoded, read } = given
  const internal = Object.keys(Attributes.empty)
  const isSpread = internal.every((key) => key in given)
  try {
    if (!isSpread) return Attributes.of(given as Record<string, AttributeValue>)
    const before = encoded instanceof Encoded ? (encoded.decode() as KeyValue[]) : (read as KeyValue[])
    const set = Object.entries(given as Record<string, AttributeValue>).filter(([key]) => !internal.includes(key))
    return Attributes.from(before).with(Object.fromEntries(set))
  } catch (error) {
    throw error instanceof TypeError ? new Mistake(`cannot be made: ${error.message}`) : error
  }
}

const resource: Check = (given) => message(given, Resource, 'Resource', (made) => fields(made, resourceFields))
const resourceFields: Checks = { attributes, droppedAttributesCount: uint32, unknown: bytes }

const scope: Check = (given) => message(given, Scope, 'Scope', (made) => fields(made, scopeFields))
const scopeFields: Checks = { name: text, version: text, ...resourceFields }

const resourceMetrics: Check = (given) =>
  message(given, ResourceMetrics, 'ResourceMetrics', (made) => fields(made, resourceMetricsFields))
const scopeMetrics: Check = (given) =>
  message(given, ScopeMetrics, 'ScopeMetrics', (made) => fields(made, scopeMetricsFields))
const resourceMetricsFields: Checks = { resource, scopes: listOf(scopeMetrics), schemaUrl: text, unknown: bytes }
const scopeMetricsFields: Checks = { scope, metrics: listOf(metric), schemaUrl: text, unknown: bytes }

const exemplar = structure(
  {
    filteredAttributes: attributes,
    timeUnixNano: nanoseconds,
    value,
    isInt: flag,
    spanId: bytes,
    traceId: bytes,
    unknown: bytes,
  },
  ['filteredAttributes', 'timeUnixNano', 'value', 'spanId', 'traceId'],
)
const buckets = structure({ offset: int32, bucketCounts: listOf(count), unknown: bytes }, ['offset', 'bucketCounts'])
const quantile = structure({ quantile: double, value: double, unknown: bytes }, ['quantile', 'value'])

const pointFields: Checks = {
  attributes,
  timeUnixNano: nanoseconds,
  startTimeUnixNano: nanoseconds,
  flags: uint32,
  exemplars: listOf(exemplar),
  unknown: bytes,
}
const numberFields: Checks = { ...pointFields, value, isInt: flag }
const sums: Checks = { ...pointFields, count, sum: double, min: double, max: double }
const histogramFields: Checks = { ...sums, bucketCounts: listOf(count), explicitBounds: listOf(double) }
const exponentialFields: Checks = {
  ...sums,
  scale: int32,
  zeroCount: count,
  zeroThreshold: double,
  positive: buckets,
  negative: buckets,
}
const summaryFields: Checks = { ...pointFields, count, sum: double, quantileValues: listOf(quantile) }

function wholeWhereInt(made: NumberPointFields): NumberPointFields {
  const checked = fields(made, numberFields)
  if (made.isInt === true && made.value !== undefined) {
    within('value', made.value, (given) => {
      if (typeof given === 'bigint' || Number.isInteger(given)) return int64(given)
      throw new Mistake(`is ${String(given)}, which is no int; give \`isInt: false\` with it`)
    })
  }
  return checked
}

const number: Check = (given) => message(given, NumberPoint, 'NumberPoint', wholeWhereInt)

/** What points of a metric of each type are. */
const points: Readonly<Record<MetricType, Check>> = {
  gauge: number,
  sum: number,
  histogram: (given) => message(given, HistogramPoint, 'HistogramPoint', (made) => fields(made, histogramFields)),
  exponential_histogram: (given) =>
    message(given, ExponentialHistogramPoint, 'ExponentialHistogramPoint', (made) => fields(made, exponentialFields)),
  summary: (given) => message(given, SummaryPoint, 'SummaryPoint', (made) => fields(made, summaryFields)),
  none: () => {
    throw new Mistake('cannot be there in a metric of type `none`')
  },
}

const word =
  (words: readonly string[]): Check =>
  (given) => {
    if (words.includes(given as string)) return given
    const wrong = typeof given === 'string' ? `"${given.slice(0, 40)}"` : describe(given)
    throw new Mistake(`must be one of ${words.join(', ')}, not ${wrong}`)
  }

const metricFields: Checks = {
  name: text,
  description: text,
  unit: text,
  metadata: attributes,
  type: word(Object.keys(points)),
  temporality: word(temporalities),
  monotonic: flag,
  points: (given) => given,
  unknown: bytes,
  unknownData: bytes,
}

function metric(given: unknown): Metric {
  try {
    if (given instanceof Metric && given.renamed !== undefined) within('name', given.renamed, text)
    return message<MetricFields, Metric>(given, Metric, 'Metric', (made) => {
      const checked = fields(made, metricFields, ['type'])
      const all = within('points', checked.points, (list) => pointsOf(list, checked.type))
      return all === checked.points ? checked : { ...checked, points: all as DataPoint[] }
    })
  } catch (error) {
    if (!(error instanceof Mistake)) throw error
    if (given === null || given === undefined) throw error
    throw new MetricMistake(nameOf(given), error)
  }
}

/** Also of a metric that was spread, whose name is no field of its own. */
function nameOf(given: unknown): string {
  try {
    const { name } = (isPlain(given) ? fieldsOf(given, new Metric({} as MetricFields)) : given) as { name?: unknown }
    return typeof name === 'string' ? name : ''
  } catch {
    return ''
  }
}

function pointsOf(given: unknown, type: MetricType): unknown {
  if (given === undefined) return given
  if (given instanceof Encoded) {
    if (holdsPointsOf(given as Encoded<readonly DataPoint[]>, type)) return given
    throw new Mistake(`are not those of a metric of type ${type}`)
  }
  if (isList(given) && sound.has(given)) {
    // What was right for one type may be wrong for another.
    listOf(points[type])(given.slice(0, 1))
    return given
  }
  const checked = listOf(points[type])(given) as object
  sound.add(checked)
  return checked
}

/** Told from the metric on: where that stands matters less than its name. */
class MetricMistake extends Mistake {
  constructor(name: string, { path, message }: Mistake) {
    super(message)
    this.path = `metric ${JSON.stringify(name)}:${path === '' ? '' : ` ${path}`}`
  }

  override within(): this {
    return this
  }
}

function isList(value: unknown): value is readonly unknown[] {
  return Array.isArray(value)
}

function isPlain(value: unknown): value is Readonly<Record<string, unknown>> {
  return Object.prototype.toString.call(value) === '[object Object]' && !(value instanceof Message)
}

/** Of a value nothing but its kind: it may be long, and a secret. */
export function describe(value: unknown): string {
  if (value === undefined) return 'nothing'
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'a list'
  if (types.isPromise(value)) return 'a promise'
  if (typeof value !== 'object') return `a ${typeof value === 'number' ? `number, ${value}` : typeof value}`
  const name = (value as { constructor?: { name?: unknown } }).constructor?.name
  if (name === 'MetricBatch') return 'one of another copy of heka-pipeline; leave it out of what the module bundles'
  return typeof name === 'string' && name !== 'Object' ? `a ${name}` : 'an object'
}
