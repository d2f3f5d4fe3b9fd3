import { fileURLToPath } from 'node:url'
import protobuf from 'protobufjs'
import { sketchSeries } from '../../src/exporters/datadog_native/sketch/sketch_payload.ts'
import { TagList } from '../../src/exporters/datadog_native/mapping/tag_list.ts'
import { Attributes } from '../../src/otlp/common/attributes.ts'

/** The independent reference for sketches: protobufjs's own codec, made from Datadog's published definition. */
const SketchPayload = new protobuf.Root()
  .loadSync(fileURLToPath(new URL('../datadog/agent_payload.proto', import.meta.url)), { keepCase: true })
  .lookupType('datadog.agentpayload.SketchPayload')

export interface ReceivedDogsketch {
  readonly ts: number
  readonly cnt: number
  readonly min: number
  readonly max: number
  readonly avg: number
  readonly sum: number
  /** Keys and what each bin counts, side by side. */
  readonly k: readonly number[]
  readonly n: readonly number[]
}

export interface ReceivedSketch {
  readonly metric: string
  readonly host: string
  readonly tags: readonly string[]
  readonly distributions: readonly unknown[]
  readonly dogsketches: readonly ReceivedDogsketch[]
}

/** The sketches of a body; throws when it is not one. */
export function readSketches(body: Uint8Array): readonly ReceivedSketch[] {
  const payload = SketchPayload.toObject(SketchPayload.decode(body), { longs: Number, defaults: true })
  return (payload as { sketches: readonly ReceivedSketch[] }).sketches
}

/** The bins as `key:count`, as the Agent prints them. */
export function binsText({ k, n }: ReceivedDogsketch): string {
  return k.map((key, index) => `${key}:${n[index]}`).join(' ')
}

/** The value at a rank, from 0 on, as the middle of its bin by Datadog's rule: a key is the rounded logarithm, plus 1338. */
export function valueAtRank({ k, n }: ReceivedDogsketch, rank: number): number {
  let before = 0
  for (const [index, key] of k.entries()) {
    before += n[index]
    if (rank < before) return key === 0 ? 0 : Math.sign(key) * (1 + 1 / 64) ** (Math.abs(key) - 1338)
  }
  throw new RangeError(`rank ${rank} of ${before}`)
}

/** A distribution's series as it is written. */
export function encodeSketchSeries(series: {
  readonly metric: string
  readonly host: string | undefined
  readonly tags: readonly string[]
}): Uint8Array {
  const tags = new TagList()
  tags.fill([], Attributes.empty, series.tags)
  const { head, tail } = sketchSeries.frame(series)
  const out = Buffer.alloc(tags.length + tags.count * 6)
  return Buffer.concat([head, out.subarray(0, sketchSeries.tags(out, 0, tags)), tail])
}
