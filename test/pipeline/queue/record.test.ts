import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { encodeHeader, HEADER_SIZE, readRecords } from '../../../src/pipeline/queue/record.ts'

const SALT = 0x1234_5678

/** Records of the given payloads, one behind the other as in a segment. */
function segmentOf(payloads: readonly Uint8Array[], salt = SALT): Buffer {
  return Buffer.concat(
    payloads.flatMap((payload, index) => [
      encodeHeader(salt, { index, items: index + 1, before: (index * (index + 1)) / 2, time: 1000 + index }, payload),
      payload,
    ]),
  )
}

/** Payloads, among them such that try to look like records. */
const payloads = fc.array(
  fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc.constant(segmentOf([Buffer.from('forged')], 0)),
    fc.constant(Buffer.from('HEKQ'.repeat(20))),
  ),
  { minLength: 1, maxLength: 8 },
)

/** Where each record begins. */
function startsOf(all: readonly Uint8Array[]): number[] {
  let offset = 0
  return all.map(({ length }) => (offset += HEADER_SIZE + length) - HEADER_SIZE - length)
}

function expectOnlyOriginals(found: ReturnType<typeof readRecords>, all: readonly Uint8Array[]): void {
  for (const { index, items, time, payload } of found.records) {
    expect({ items, time }).toEqual({ items: index + 1, time: 1000 + index })
    expect(Buffer.compare(payload, all[index])).toBe(0)
  }
  const indices = found.records.map(({ index }) => index)
  expect(indices).toEqual([...new Set(indices)].sort((a, b) => a - b))
}

describe('records', () => {
  it('come back as they were written', () => {
    fc.assert(
      fc.property(payloads, (all) => {
        const found = readRecords(segmentOf(all), SALT)
        expectOnlyOriginals(found, all)
        expect(found.records).toHaveLength(all.length)
        expect(found.damages).toEqual([])
      }),
    )
  })

  it('come back up to where the file was cut off, and the rest is known to be torn', () => {
    fc.assert(
      fc.property(payloads, fc.nat(), (all, position) => {
        const whole = segmentOf(all)
        const cut = position % (whole.length + 1)
        const found = readRecords(whole.subarray(0, cut), SALT)
        expectOnlyOriginals(found, all)
        const complete = startsOf(all).filter((start, index) => start + HEADER_SIZE + all[index].length <= cut)
        expect(found.records).toHaveLength(complete.length)
        const end = found.records.reduce((sum, { length }) => sum + HEADER_SIZE + length, 0)
        expect(found.damages).toMatchObject(end === cut ? [] : [{ start: end, end: cut, torn: true }])
      }),
    )
  })

  it('come back but for the one in which a bit was flipped', () => {
    fc.assert(
      fc.property(payloads, fc.nat(), (all, position) => {
        const bytes = segmentOf(all)
        const bit = position % (bytes.length * 8)
        bytes[bit >> 3] ^= 1 << (bit & 7)
        const found = readRecords(bytes, SALT)
        expectOnlyOriginals(found, all)
        expect(found.records).toHaveLength(all.length - 1)
        expect(found.damages).toHaveLength(1)
      }),
      { numRuns: 300 },
    )
  })

  it('are never made up, whatever the bytes', () => {
    const edits = fc.array(fc.tuple(fc.nat(), fc.uint8Array({ maxLength: 40 })), { minLength: 1, maxLength: 5 })
    fc.assert(
      fc.property(payloads, edits, (all, changes) => {
        const bytes = segmentOf(all)
        for (const [position, replacement] of changes)
          bytes.set(replacement.subarray(0, bytes.length - (position % bytes.length)), position % bytes.length)
        expectOnlyOriginals(readRecords(bytes, SALT), all)
      }),
    )
  })

  it('of another file are not taken for its own', () => {
    const own = segmentOf([Buffer.from('a'), segmentOf([Buffer.from('b')], SALT + 1)])
    own[HEADER_SIZE + 1 + 4] ^= 1 // The header around what the client sent.
    expect(readRecords(own, SALT).records.map(({ index }) => index)).toEqual([0])
  })
})
