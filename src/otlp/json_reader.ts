import { Attributes } from './attributes.ts'
import type { AnyValue, KeyValue } from './attributes.ts'
import { MetricBatch } from './batch.ts'
import { MalformedError } from './check.ts'
import { Metric, ResourceMetrics, ScopeMetrics } from './metrics.ts'
import type { MetricType, Temporality } from './metrics.ts'
import { ExponentialHistogramPoint, HistogramPoint, NumberPoint, SummaryPoint } from './points.ts'
import type { Buckets, DataPoint, Exemplar, Quantile } from './points.ts'
import { Resource, Scope } from './resource.ts'

/*
 * Reads the JSON form of OTLP. Sources: https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding and proto3's JSON
 * mapping, https://protobuf.dev/programming-guides/json/.
 */

/**
 * Objects, lists and members that a text may hold. Parsed they take many times the bytes of the text, and `JSON.parse`
 * cannot be stopped on its way: 20 MiB of brackets would hold more than a gigabyte for seconds.
 */
const MAX_VALUES = 2 ** 21
/** How deep they may be nested; about 60 levels of attribute values. */
const MAX_DEPTH = 200

/**
 * Makes a batch from the OTLP JSON of an `ExportMetricsServiceRequest`. Keys are in lower camel case or as in the `.proto`;
 * 64-bit integers are text or numbers, exact either way; unknown keys are ignored, and `null` means absent.
 * @throws MalformedError that names the place: `resourceMetrics[0].scopeMetrics[2].metrics[7].name: must be a text`
 */
export function fromOtlpJson(json: string | Uint8Array): MetricBatch {
  const value = parse(typeof json === 'string' ? Buffer.from(json) : json)
  try {
    return MetricBatch.fromResources(list(object(value), 'resourceMetrics', readResourceMetrics))
  } catch (error) {
    if (error instanceof Mistake) {
      throw new MalformedError(error.path === '' ? error.message : `${error.path}: ${error.message}`)
    }
    throw error
  }
}

const QUOTE = 0x22
const BACKSLASH = 0x5c
/** Digits of an integer that a JavaScript number may not hold exactly. */
const LONG = 16

/**
 * Parses a text within the limits. Long integers become text, which means the same and loses nothing.
 * @throws MalformedError
 */
function parse(bytes: Uint8Array): unknown {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  let text = ''
  let copied = 0
  let depth = 0
  let values = 0
  for (let index = 0; index < buffer.length; index++) {
    switch (buffer[index]) {
      case QUOTE:
        for (index++; index < buffer.length && buffer[index] !== QUOTE; index++)
          if (buffer[index] === BACKSLASH) index++
        break
      case 0x7b: // {
      case 0x5b: // [
        depth++
        values++
        if (depth > MAX_DEPTH) throw new MalformedError(`byte ${index}: is nested more than ${MAX_DEPTH} deep`)
        break
      case 0x7d: // }
      case 0x5d: // ]
        depth--
        break
      case 0x3a: // :
        values++
        break
      case 0x2d: // -
      case 0x30: // 0
      case 0x31:
      case 0x32:
      case 0x33:
      case 0x34:
      case 0x35:
      case 0x36:
      case 0x37:
      case 0x38:
      case 0x39: {
        const start = index
        let integer = true
        for (; isOfNumber(buffer[index + 1]); index++) integer &&= isDigit(buffer[index + 1])
        if (integer && index + 1 - start >= LONG) {
          text += `${buffer.toString('utf8', copied, start)}"${buffer.toString('latin1', start, index + 1)}"`
          copied = index + 1
        }
      }
    }
    if (values > MAX_VALUES) throw new MalformedError(`holds more than ${MAX_VALUES} objects, lists and members`)
  }
  try {
    return JSON.parse(copied === 0 ? buffer.toString() : text + buffer.toString('utf8', copied))
  } catch (error) {
    throw new MalformedError(`is not JSON: ${(error as Error).message}`, { cause: error })
  }
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39
}

/** Digits and `.`, `e`, `E`, `+`, `-`. */
function isOfNumber(byte: number): boolean {
  return isDigit(byte) || byte === 0x2e || byte === 0x65 || byte === 0x45 || byte === 0x2b || byte === 0x2d
}

/** Something wrong, with the path to it, which grows on the way out. */
class Mistake extends Error {
  path = ''

  within(place: string): this {
    this.path = this.path === '' ? place : `${place}.${this.path}`
    return this
  }
}

type Json = Readonly<Record<string, unknown>>

function object(value: unknown): Json {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Json
  throw new Mistake('must be an object')
}

/** Names as in the `.proto`, by their lower camel case. */
const protoNames = new Map<string, string>()

/** The value of a key in either spelling; `undefined` when it is absent or `null`. */
function field(from: Json, name: string): unknown {
  const value = from[name]
  if (value !== undefined && value !== null) return value
  let protoName = protoNames.get(name)
  if (protoName === undefined) {
    protoName = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
    protoNames.set(name, protoName)
  }
  return from[protoName] ?? undefined
}

/** Reads what stands at `place`; a mistake in it carries the place. */
function at<T>(place: string, read: (value: unknown) => T, value: unknown): T {
  try {
    return read(value)
  } catch (error) {
    throw error instanceof Mistake ? error.within(place) : error
  }
}

function list<T>(from: Json, name: string, read: (item: unknown) => T): T[] {
  const value = field(from, name)
  if (value === undefined) return []
  if (!Array.isArray(value)) throw new Mistake('must be a list').within(name)
  return value.map((item, index) => {
    try {
      return read(item)
    } catch (error) {
      throw error instanceof Mistake ? error.within(`${name}[${index}]`) : error
    }
  })
}

function optional<T>(from: Json, name: string, read: (value: unknown) => T): T | undefined {
  const value = field(from, name)
  return value === undefined ? undefined : at(name, read, value)
}

function readText(value: unknown): string {
  if (typeof value === 'string') return value
  throw new Mistake('must be a text')
}

function readBoolean(value: unknown): boolean {
  if (typeof value === 'boolean') return value
  throw new Mistake('must be true or false')
}

/** Whole numbers may be written as text, and with a fraction of zero or an exponent. */
function readBigInt(value: unknown, least: bigint, most: bigint): bigint {
  let integer: bigint | undefined
  if (typeof value === 'string' && /^-?\d+$/.test(value)) integer = BigInt(value)
  else if (typeof value === 'number' || (typeof value === 'string' && /^-?\d[\d.eE+-]*$/.test(value))) {
    const number = Number(value)
    if (Number.isInteger(number)) integer = BigInt(number)
  }
  if (integer !== undefined && integer >= least && integer <= most) return integer
  throw new Mistake(`must be a whole number from ${least} to ${most}, as text or number`)
}

/** A 64-bit number: a JavaScript number where it is safe, else a bigint. */
function narrow(value: bigint): number | bigint {
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : value
}

function readInt64(value: unknown): number | bigint {
  return Number.isSafeInteger(value) ? (value as number) : narrow(readBigInt(value, -(2n ** 63n), 2n ** 63n - 1n))
}

function readUint64(value: unknown): number | bigint {
  return narrow(readTime(value))
}

function readTime(value: unknown): bigint {
  return readBigInt(value, 0n, 2n ** 64n - 1n)
}

function readInt32(value: unknown): number {
  return Number(readBigInt(value, -(2n ** 31n), 2n ** 31n - 1n))
}

function readUint32(value: unknown): number {
  return Number(readBigInt(value, 0n, 2n ** 32n - 1n))
}

/** JSON has no NaN and no infinities; proto3 writes them as text. */
function readDouble(value: unknown): number {
  if (typeof value === 'number') return value
  if (typeof value === 'string' && /^(?:NaN|-?Infinity|-?\d[\d.eE+-]*)$/.test(value)) {
    const number = Number(value)
    if (!Number.isNaN(number) || value === 'NaN') return number
  }
  throw new Mistake('must be a number')
}

/** Base64 in either alphabet, with or without padding. */
function readBytes(value: unknown): Uint8Array {
  if (typeof value === 'string' && /^[\w+/-]*={0,2}$/.test(value)) return Buffer.from(value, 'base64')
  throw new Mistake('must be base64')
}

/** Trace and span ids, unlike other bytes. */
function readHex(value: unknown): Uint8Array {
  if (typeof value === 'string' && /^(?:[\da-fA-F]{2})*$/.test(value)) return Buffer.from(value, 'hex')
  throw new Mistake('must be hex')
}

function readResourceMetrics(value: unknown): ResourceMetrics {
  const from = object(value)
  return new ResourceMetrics({
    resource: optional(from, 'resource', readResource),
    scopes: list(from, 'scopeMetrics', readScopeMetrics),
    schemaUrl: optional(from, 'schemaUrl', readText),
  })
}

function readResource(value: unknown): Resource {
  const from = object(value)
  return new Resource({
    attributes: attributes(from, 'attributes'),
    droppedAttributesCount: optional(from, 'droppedAttributesCount', readUint32),
  })
}

function readScopeMetrics(value: unknown): ScopeMetrics {
  const from = object(value)
  return new ScopeMetrics({
    scope: optional(from, 'scope', readScope),
    metrics: list(from, 'metrics', readMetric),
    schemaUrl: optional(from, 'schemaUrl', readText),
  })
}

function readScope(value: unknown): Scope {
  const from = object(value)
  return new Scope({
    name: optional(from, 'name', readText),
    version: optional(from, 'version', readText),
    attributes: attributes(from, 'attributes'),
    droppedAttributesCount: optional(from, 'droppedAttributesCount', readUint32),
  })
}

/** metrics.proto, `oneof data` of `Metric`. */
const dataReaders: readonly (readonly [name: string, type: MetricType, read: (point: unknown) => DataPoint])[] = [
  ['gauge', 'gauge', readNumberPoint],
  ['sum', 'sum', readNumberPoint],
  ['histogram', 'histogram', readHistogramPoint],
  ['exponentialHistogram', 'exponential_histogram', readExponentialHistogramPoint],
  ['summary', 'summary', readSummaryPoint],
]

function readMetric(value: unknown): Metric {
  const from = object(value)
  const fields = {
    name: optional(from, 'name', readText),
    description: optional(from, 'description', readText),
    unit: optional(from, 'unit', readText),
    metadata: attributes(from, 'metadata'),
  }
  for (const [name, type, readPoint] of dataReaders) {
    const data = optional(from, name, object)
    if (data === undefined) continue
    return at(
      name,
      () =>
        new Metric({
          ...fields,
          type,
          points: list(data, 'dataPoints', readPoint),
          temporality: optional(data, 'aggregationTemporality', readTemporality),
          monotonic: optional(data, 'isMonotonic', readBoolean),
        }),
      data,
    )
  }
  return new Metric({ ...fields, type: 'none' })
}

/** metrics.proto, `enum AggregationTemporality`, by number and name. */
const temporalities: ReadonlyMap<unknown, Temporality> = new Map<unknown, Temporality>(
  (['unspecified', 'delta', 'cumulative'] as const).flatMap((name, number) => [
    [number, name],
    [`AGGREGATION_TEMPORALITY_${name.toUpperCase()}`, name],
  ]),
)

/** A number that this version does not know means `unspecified`, as in protobuf. */
function readTemporality(value: unknown): Temporality {
  const temporality = temporalities.get(value)
  if (temporality === undefined && typeof value === 'string')
    throw new Mistake('must be a number or a name of the enum')
  return temporality ?? 'unspecified'
}

function pointFields(from: Json) {
  return {
    attributes: attributes(from, 'attributes'),
    timeUnixNano: optional(from, 'timeUnixNano', readTime),
    startTimeUnixNano: optional(from, 'startTimeUnixNano', readTime),
    flags: optional(from, 'flags', readUint32),
  }
}

/** `oneof value` of a number point or an exemplar. */
function numberValue(from: Json): { value: number | bigint | undefined; isInt: boolean } {
  const int = optional(from, 'asInt', readInt64)
  return int === undefined
    ? { value: optional(from, 'asDouble', readDouble), isInt: false }
    : { value: int, isInt: true }
}

function readNumberPoint(value: unknown): DataPoint {
  const from = object(value)
  return new NumberPoint({ ...pointFields(from), ...numberValue(from), exemplars: exemplars(from) })
}

function distribution(from: Json) {
  return {
    ...pointFields(from),
    count: optional(from, 'count', readUint64),
    sum: optional(from, 'sum', readDouble),
    min: optional(from, 'min', readDouble),
    max: optional(from, 'max', readDouble),
    exemplars: exemplars(from),
  }
}

function readHistogramPoint(value: unknown): DataPoint {
  const from = object(value)
  return new HistogramPoint({
    ...distribution(from),
    bucketCounts: list(from, 'bucketCounts', readUint64),
    explicitBounds: list(from, 'explicitBounds', readDouble),
  })
}

function readExponentialHistogramPoint(value: unknown): DataPoint {
  const from = object(value)
  return new ExponentialHistogramPoint({
    ...distribution(from),
    scale: optional(from, 'scale', readInt32),
    zeroCount: optional(from, 'zeroCount', readUint64),
    zeroThreshold: optional(from, 'zeroThreshold', readDouble),
    positive: optional(from, 'positive', readBuckets),
    negative: optional(from, 'negative', readBuckets),
  })
}

function readBuckets(value: unknown): Buckets {
  const from = object(value)
  return { offset: optional(from, 'offset', readInt32) ?? 0, bucketCounts: list(from, 'bucketCounts', readUint64) }
}

function readSummaryPoint(value: unknown): DataPoint {
  const from = object(value)
  return new SummaryPoint({
    ...pointFields(from),
    count: optional(from, 'count', readUint64),
    sum: optional(from, 'sum', readDouble),
    quantileValues: list(from, 'quantileValues', readQuantile),
  })
}

function readQuantile(value: unknown): Quantile {
  const from = object(value)
  return { quantile: optional(from, 'quantile', readDouble) ?? 0, value: optional(from, 'value', readDouble) ?? 0 }
}

const NO_BYTES = new Uint8Array()

function exemplars(from: Json): Exemplar[] {
  return list(from, 'exemplars', readExemplar)
}

function readExemplar(value: unknown): Exemplar {
  const from = object(value)
  const { value: number = 0, isInt } = numberValue(from)
  return {
    filteredAttributes: attributes(from, 'filteredAttributes'),
    timeUnixNano: optional(from, 'timeUnixNano', readTime) ?? 0n,
    value: number,
    isInt,
    spanId: optional(from, 'spanId', readHex) ?? NO_BYTES,
    traceId: optional(from, 'traceId', readHex) ?? NO_BYTES,
  }
}

function attributes(from: Json, name: string): Attributes {
  return Attributes.from(list(from, name, readKeyValue))
}

function readKeyValue(value: unknown): KeyValue {
  const from = object(value)
  return { key: optional(from, 'key', readText) ?? '', value: optional(from, 'value', readAnyValue) ?? {} }
}

/** common.proto, `oneof value` of `AnyValue`. */
function readAnyValue(value: unknown): AnyValue {
  const from = object(value)
  const stringValue = optional(from, 'stringValue', readText)
  if (stringValue !== undefined) return { stringValue }
  const intValue = optional(from, 'intValue', readInt64)
  if (intValue !== undefined) return { intValue }
  const boolValue = optional(from, 'boolValue', readBoolean)
  if (boolValue !== undefined) return { boolValue }
  const doubleValue = optional(from, 'doubleValue', readDouble)
  if (doubleValue !== undefined) return { doubleValue }
  const arrayValue = optional(from, 'arrayValue', (array) => list(object(array), 'values', readAnyValue))
  if (arrayValue !== undefined) return { arrayValue }
  const kvlistValue = optional(from, 'kvlistValue', (map) => list(object(map), 'values', readKeyValue))
  if (kvlistValue !== undefined) return { kvlistValue }
  const bytesValue = optional(from, 'bytesValue', readBytes)
  return bytesValue === undefined ? {} : { bytesValue }
}
