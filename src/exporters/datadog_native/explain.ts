import protobuf from 'protobufjs/minimal.js'
import type { ExplainedTag, ExplainedValue } from '../../component/explain.ts'
import { pointTags, sortedTags } from '../../datadog/explain.ts'
import type { TagOrigins } from '../../datadog/explain.ts'
import { normalizeName } from '../../datadog/names.ts'
import type { MetricBatch } from '../../otlp/metrics/batch.ts'
import { v1 } from './series_v1.ts'
import { v2 } from './series_v2.ts'
import { SUFFIXES } from './mapping/histograms.ts'
import type { BodyFormat } from './body.ts'

/*
 * Explains requests for people: values, names, hosts and tags are read from the bytes that would be sent. Their origin
 * is found by looking for the same names, hosts and tags in the batch that the requests were made from.
 */

/** A value as it is in a request. */
type Sent = Omit<ExplainedValue, 'host' | 'tags' | 'from'> & {
  readonly host: string | undefined
  readonly tags: readonly string[]
}

/** The origin of a series. */
interface Origin {
  readonly from: readonly string[]
  readonly rule: string
  readonly tags: readonly ExplainedTag[]
}

/** `finished`: the batch that they were made from. `namesBefore`: the metrics handed in that one of its metrics comes from. */
export function explainBodies(
  bodies: readonly { readonly format: BodyFormat; readonly raw: Buffer }[],
  finished: MetricBatch,
  origins: TagOrigins,
  namesBefore: (name: string) => readonly string[],
): readonly ExplainedValue[] {
  const known = originsOf(finished, origins, namesBefore)
  return bodies.flatMap(({ format, raw }) =>
    read(format, raw).map((sent) => {
      const origin = underived(sent.tags)
        .map((tags) => known.get(keyOf(sent.name, sent.host, tags)))
        .find((one) => one !== undefined)
      const from = new Map(origin?.tags.map((tag) => [tag.tag, tag.from]))
      return {
        ...sent,
        host: { name: sent.host, rule: origin?.rule ?? 'not known' },
        tags: sortedTags(sent.tags.map((tag) => ({ tag, from: from.get(tag) ?? 'the metric itself' }))),
        from: origin?.from ?? [],
      }
    }),
  )
}

/** The possible tags of the point, without those that distinguish buckets and quantiles. */
function underived(tags: readonly string[]): readonly (readonly string[])[] {
  const withKey = (key: string): readonly string[] => tags.filter((tag) => tag.startsWith(key))
  const buckets = withKey('lower_bound:').flatMap((lower) => withKey('upper_bound:').map((upper) => [lower, upper]))
  const quantiles = withKey('quantile:').map((quantile) => [quantile])
  // An attribute of the point may also have such a key.
  return [[], ...buckets, ...quantiles].map((derived) => tags.filter((tag) => !derived.includes(tag)))
}

function keyOf(name: string, host: string | undefined, tags: readonly string[]): string {
  return [name, host, ...[...tags].sort()].join('\n')
}

function originsOf(
  finished: MetricBatch,
  origins: TagOrigins,
  namesBefore: (name: string) => readonly string[],
): ReadonlyMap<string, Origin> {
  const known = new Map<string, Origin>()
  for (const { metric, resource, scope } of finished.metrics()) {
    const { name, type, points } = metric
    const ofResource = origins.tagsOf(resource.attributes)
    const ofScope = origins.scopeTagsOf(scope)
    const isNumber = type === 'gauge' || type === 'sum'
    const sentNames = isNumber ? [name] : [name, ...SUFFIXES.map((suffix) => name + suffix)]
    for (const { attributes } of points) {
      const { host, rule } = origins.hostOf(resource.attributes, attributes)
      const tags = pointTags(ofResource, ofScope, attributes)
      const texts = tags.map(({ tag }) => tag)
      for (const sentName of sentNames) {
        const key = keyOf(normalizeName(sentName), host, texts)
        const from = [...new Set([...(known.get(key)?.from ?? []), ...namesBefore(name)])]
        known.set(key, { from, rule, tags })
      }
    }
  }
  return known
}

function read(format: BodyFormat, raw: Buffer): readonly Sent[] {
  if (format === v1) return readV1(raw)
  return readRepeated(raw, format === v2 ? readSeries : readSketch).flat()
}

interface V1Series {
  readonly metric: string
  readonly type: string
  readonly host?: string
  readonly tags: readonly string[]
  readonly interval?: number
  readonly points: readonly (readonly [time: number, value: number])[]
}

function readV1(raw: Buffer): readonly Sent[] {
  const { series } = JSON.parse(raw.toString()) as { series: readonly V1Series[] }
  return series.flatMap(({ metric, type, host, tags, interval, points }) =>
    points.map(([time, value]) => ({ name: metric, type, unit: undefined, host, tags, interval, time, value })),
  )
}

type Reader = protobuf.Reader

/** The messages of a body that consists of field 1, repeated. */
function readRepeated<T>(raw: Buffer, message: (reader: Reader) => T): readonly T[] {
  const reader = protobuf.Reader.create(raw)
  const messages: T[] = []
  while (reader.pos < reader.len) {
    reader.uint32()
    messages.push(message(nested(reader)))
  }
  return messages
}

function nested(reader: Reader): Reader {
  return protobuf.Reader.create(reader.bytes())
}

/** Calls `field` with the number of each field of a message; it returns whether it has read the field. */
function readFields(reader: Reader, field: (number: number) => boolean): void {
  while (reader.pos < reader.len) {
    const tag = reader.uint32()
    if (!field(tag >>> 3)) reader.skipType(tag & 7)
  }
}

const V2_TYPES = ['', 'count', 'rate', 'gauge']

/** message MetricSeries of agent_payload.proto; see `v2`. */
function readSeries(reader: Reader): readonly Sent[] {
  let [name, type, host, unit, interval] = ['', '', undefined as string | undefined, undefined as string | undefined, 0]
  const tags: string[] = []
  const points: { time: number; value: number }[] = []
  readFields(reader, (number) => {
    if (number === 1) {
      const resource = nested(reader)
      readFields(resource, (field) => field === 2 && ((host = resource.string()), true))
    } else if (number === 2) name = reader.string()
    else if (number === 3) tags.push(reader.string())
    else if (number === 4) points.push(readPoint(nested(reader)))
    else if (number === 5) type = V2_TYPES[reader.int32()]
    else if (number === 6) unit = reader.string()
    else if (number === 8) interval = Number(reader.int64())
    else return false
    return true
  })
  return points.map((point) => ({ name, type, unit, host, tags, interval: interval || undefined, ...point }))
}

function readPoint(reader: Reader): { time: number; value: number } {
  const point = { time: 0, value: 0 }
  readFields(reader, (number) => {
    if (number === 1) point.value = reader.double()
    else if (number === 2) point.time = Number(reader.int64())
    else return false
    return true
  })
  return point
}

/** message Sketch of agent_payload.proto; see sketch_payload.ts. */
function readSketch(reader: Reader): readonly Sent[] {
  let [name, host] = ['', undefined as string | undefined]
  const tags: string[] = []
  const sketches: { time: number; value: Record<string, number> }[] = []
  readFields(reader, (number) => {
    if (number === 1) name = reader.string()
    else if (number === 2) host = reader.string()
    else if (number === 4) tags.push(reader.string())
    else if (number === 7) sketches.push(readDogsketch(nested(reader)))
    else return false
    return true
  })
  return sketches.map((sketch) => ({
    ...{ name, type: 'distribution', unit: undefined, host, tags, interval: undefined },
    ...sketch,
  }))
}

const FIGURES: Readonly<Record<number, string>> = { 3: 'min', 4: 'max', 5: 'avg', 6: 'sum' }

function readDogsketch(reader: Reader): { time: number; value: Record<string, number> } {
  let time = 0
  const value: Record<string, number> = {}
  readFields(reader, (number) => {
    if (number === 1) time = Number(reader.int64())
    else if (number === 2) value.count = Number(reader.int64())
    else if (number in FIGURES) value[FIGURES[number]] = reader.double()
    else return false
    return true
  })
  return { time, value }
}
