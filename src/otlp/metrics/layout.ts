import type { Encoded } from '../wire/lazy_message.ts'
import { fieldEnd, varintEnd } from '../wire/wire_format.ts'
import type { MetricType } from './metric_type.ts'

/** The parts of a metric that must be known before its points, found without reading a text. Positions are those of its request. */
export interface MetricLayout {
  readonly type: Exclude<MetricType, 'none'>
  readonly monotonic: boolean
  /** The ends of name, description and unit, each with the tag of what follows. */
  readonly headerEnd: number
  /** The data: its points and its other fields. */
  readonly dataStart: number
  readonly dataEnd: number
  /** The position of the temporality's one byte; -1 if it is absent. */
  readonly temporalityAt: number
  readonly pointCount: number
}

/** `oneof data` of `Metric`, by the tags of its fields 5, 7, 9, 10 and 11. */
const TYPES: MetricLayout['type'][] = []
TYPES[0x2a] = 'gauge'
TYPES[0x3a] = 'sum'
TYPES[0x4a] = 'histogram'
TYPES[0x52] = 'exponential_histogram'
TYPES[0x5a] = 'summary'

/**
 * The layout of a metric that is written in the usual way: name, description and unit first, the data last, and nothing
 * else. `undefined` for any other, which has to be read.
 */
export function layoutOf({ source, start, end }: Encoded<unknown>): MetricLayout | undefined {
  const { bytes, canonical } = source
  if (!canonical) return undefined
  let at = start
  // string name = 1; string description = 2; string unit = 3;
  while (at < end && (bytes[at] === 0x0a || bytes[at] === 0x12 || bytes[at] === 0x1a)) at = fieldEnd(bytes, at + 1)
  const type = TYPES[bytes[at]] as MetricLayout['type'] | undefined
  if (at >= end || type === undefined) return undefined
  const headerEnd = at + 1
  if (fieldEnd(bytes, headerEnd) !== end) return undefined
  const dataStart = varintEnd(bytes, headerEnd)
  at = dataStart
  let temporalityAt = -1
  let monotonicAt = -1
  let pointCount = 0
  while (at < end) {
    const tag = bytes[at]
    if (tag === 0x0a) {
      at = fieldEnd(bytes, at + 1)
      pointCount++
      continue
    }
    // AggregationTemporality aggregation_temporality = 2; bool is_monotonic = 3; in one byte each.
    if (type === 'gauge' || type === 'summary' || bytes[at + 1] > 127) return undefined
    if (tag === 0x10) temporalityAt = at + 1
    else if (tag === 0x18 && type === 'sum') monotonicAt = at + 1
    else return undefined
    at += 2
  }
  return {
    type,
    monotonic: monotonicAt >= 0 && bytes[monotonicAt] !== 0,
    headerEnd,
    dataStart,
    dataEnd: end,
    temporalityAt,
    pointCount,
  }
}
