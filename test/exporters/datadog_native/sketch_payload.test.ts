import zlib from 'node:zlib'
import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { sketchOfHistogram } from '../../../src/exporters/datadog_native/sketch/explicit_sketch.ts'
import { Sketch } from '../../../src/exporters/datadog_native/sketch/sketch.ts'
import type { BodyFormat, NativeRequest } from '../../../src/exporters/datadog_native/body.ts'
import { sketchFormat, sketchPacker } from '../../../src/exporters/datadog_native/sketch/sketch_payload.ts'
import type { SketchSample } from '../../../src/exporters/datadog_native/sketch/sketch_payload.ts'
import type { Compression } from '../../../src/net/compression.ts'
import { HistogramPoint } from '../../../src/otlp/metrics/points.ts'
import { encodeSketchSeries, readSketches } from '../../kit/sketch_payload.ts'
import type { ReceivedSketch } from '../../kit/sketch_payload.ts'

const NOON = 1_767_268_800
const LIMITS: BodyFormat['limits'] = { wire: 2_621_440, raw: 4_194_304 }

function sketch(bucketCounts: readonly number[], sum = 1): Sketch {
  const count = bucketCounts.reduce((total, each) => total + each, 0)
  const explicitBounds = bucketCounts.slice(1).map((_count, index) => 5 * 3 ** index)
  return sketchOfHistogram(new HistogramPoint({ count, sum, bucketCounts, explicitBounds })) as Sketch
}

function sample(metric: string, tags: readonly string[], made: Sketch, host?: string): SketchSample {
  return { encoded: encodeSketchSeries({ metric, host, tags }), timestamp: NOON, sketch: made }
}

function binsOf({ keys, counts, start, end }: Sketch): {
  readonly k: readonly number[]
  readonly n: readonly number[]
} {
  return { k: [...keys.subarray(start, end)], n: [...counts.subarray(start, end)] }
}

interface Sent {
  readonly requests: readonly NativeRequest[]
  readonly sketches: readonly ReceivedSketch[]
  readonly dropped: number
}

function send(samples: readonly SketchSample[], limits = LIMITS, compression: Compression = 'none'): Sent {
  let dropped = 0
  const account = {
    dropped(reason: string, points: number) {
      expect(reason).toBe('too_large')
      dropped += points
    },
  }
  const pack = sketchPacker(samples, sketchFormat(limits), compression, account)
  const requests: NativeRequest[] = []
  for (let made = pack(); made !== undefined; made = pack()) requests.push(...made)
  return { requests, sketches: requests.flatMap(({ body }) => readSketches(opened(body, compression))), dropped }
}

function opened(body: Uint8Array, compression: Compression): Uint8Array {
  return compression === 'deflate' ? zlib.inflateSync(body) : body
}

describe('the payload of sketches', () => {
  it('holds name, host, tags, second, summary and bins in the fields that Datadog publishes', () => {
    const made = sketch([0, 3, 0], 42)
    const { requests, sketches } = send([
      sample('request.size', ['env:prod', 'route:/users'], made, 'web-1'),
      sample('größe', [], sketch([70_000, 0], 350_000)),
    ])
    expect(requests).toHaveLength(1)
    expect(requests[0]).toMatchObject({ items: 2, bytes: requests[0].body.length, depth: 0 })
    expect(sketches).toEqual([
      {
        ...{ metric: 'request.size', host: 'web-1', tags: ['env:prod', 'route:/users'], distributions: [] },
        dogsketches: [{ ts: NOON, cnt: 3, min: 5, max: 15, avg: 14, sum: 42, ...binsOf(made) }],
      },
      {
        ...{ metric: 'größe', host: '', tags: [], distributions: [] },
        dogsketches: [
          {
            ts: NOON,
            cnt: 70_000,
            min: 5,
            max: 5,
            avg: 5,
            sum: 350_000,
            k: [1442, 1442],
            n: [4465, 65_535],
          },
        ],
      },
    ])
  })

  it('holds negative keys, and counts whose varints are of every length', () => {
    const bucketCounts = [1, 127, 128, 16_383, 16_384, 65_535, 65_536, 131_070, 131_071, 0]
    const explicitBounds = [-1000, -999.9, -1, -0.999, 1, 1.0001, 3, 3.0001, 9.0001]
    const count = bucketCounts.reduce((total, each) => total + each, 0)
    const made = sketchOfHistogram(new HistogramPoint({ count, bucketCounts, explicitBounds })) as Sketch
    const [{ dogsketches }] = send([sample('m', [], made)]).sketches
    expect(dogsketches[0].cnt).toBe(count)
    expect(addedUp(dogsketches[0])).toEqual(addedUp(binsOf(made)))
    expect(Math.max(...dogsketches[0].n)).toBe(65_535)
  })

  it('is not sent when there is nothing in it', () => {
    expect(send([]).requests).toEqual([])
  })
})

/** What each key counts, over all its bins. */
function addedUp({ k, n }: { readonly k: readonly number[]; readonly n: readonly number[] }): Record<string, number> {
  const counts: Record<string, number> = {}
  k.forEach((key, index) => (counts[key] = (counts[key] ?? 0) + n[index]))
  return counts
}

describe('splitting', () => {
  const samples = fc.array(
    fc
      .tuple(
        fc.string({ minLength: 1, maxLength: 30 }),
        fc.array(fc.string({ maxLength: 40 }), { maxLength: 5 }),
        fc.array(fc.nat(200_000), { minLength: 2, maxLength: 8 }).filter((counts) => counts.some((each) => each > 0)),
      )
      .map(([metric, tags, counts]) => sample(metric, tags, sketch(counts))),
    { maxLength: 60 },
  )

  it.each<Compression>(['none', 'deflate'])(
    'with compression %s loses nothing and keeps every limit',
    (compression) => {
      fc.assert(
        fc.property(
          samples,
          fc.integer({ min: 500, max: 20_000 }),
          fc.integer({ min: 500, max: 40_000 }),
          (all, wire, raw) => {
            const { requests, sketches, dropped } = send(all, { wire, raw }, compression)
            for (const { body, bytes } of requests) {
              expect(bytes).toBe(body.length)
              expect(body.length).toBeLessThanOrEqual(wire)
              expect(opened(body, compression).length).toBeLessThanOrEqual(raw)
            }
            const whole = send(all, { wire: 1e9, raw: 1e9 })
            expect(whole.sketches).toHaveLength(all.length)
            const fits = ({ requests: [alone] }: Sent): boolean => alone !== undefined
            const kept = whole.sketches.filter((_sketch, index) => fits(send([all[index]], { wire, raw }, compression)))
            expect(sketches).toEqual(kept)
            expect(requests.reduce((points, request) => points + request.items, dropped)).toBe(all.length)
          },
        ),
        { numRuns: 40 },
      )
    },
  )

  it('uses as few requests as the limit allows', () => {
    const one = sample('m', [], sketch([0, 100, 0]))
    const { bytes } = send([one]).requests[0]
    const limits = { wire: 1e9, raw: bytes * 3 }
    const { requests } = send(Array<SketchSample>(10).fill(one), limits)
    expect(requests.map(({ items }) => items)).toEqual([3, 3, 3, 1])
  })

  it('again halves what the destination finds too large, down to single sketches', () => {
    const all = ['a', 'b', 'c', 'd', 'e'].map((metric) => sample(metric, [], sketch([0, 9, 0])))
    const [request] = send(all, LIMITS, 'deflate').requests
    const single: string[] = []
    const divide = (part: NativeRequest): void => {
      const parts = part.divide?.()
      if (parts === undefined) single.push(readSketches(zlib.inflateSync(part.body))[0].metric)
      else {
        for (const half of parts as readonly NativeRequest[]) {
          expect(half.depth).toBe(part.depth + 1)
          divide(half)
        }
      }
    }
    divide(request)
    expect(single).toEqual(['a', 'b', 'c', 'd', 'e'])
  })
})
