import type { ExporterState, StateRecord } from '../component/exporter.ts'

/** The magic of the bytes of both memories, followed by the length of the first memory's bytes, and these. */
const BOTH = Buffer.from('BOTH')

/** Two memories as one. If only the first has data, the result is its own bytes, as before there was a second. */
export function joinStates(first: ExporterState, second: ExporterState): ExporterState {
  return {
    beginCheckpoint() {
      first.beginCheckpoint()
      second.beginCheckpoint()
    },
    changes() {
      const [one, other] = [first.changes(), second.changes()]
      const all = one.all && other.all
      if (other.bytes.length === 0) return { bytes: one.bytes, all }
      const length = Buffer.allocUnsafe(4)
      length.writeUInt32LE(one.bytes.length)
      return { bytes: Buffer.concat([BOTH, length, one.bytes, other.bytes]), all }
    },
    forget() {
      first.forget?.()
      second.forget?.()
    },
    restore(checkpoints) {
      const parts = checkpoints.map((records) => records.map(divided))
      const of = (which: 0 | 1): StateRecord[][] =>
        parts.map((records) => records.map((part) => part[which]).filter(hasBytes))
      // Each of them is complete, independently of the other.
      try {
        first.restore(of(0))
      } finally {
        second.restore(of(1))
      }
    },
  }
}

function divided({ bytes, age }: StateRecord): readonly [StateRecord, StateRecord] {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  const isBoth = buffer.subarray(0, BOTH.length).equals(BOTH)
  const start = isBoth ? BOTH.length + 4 : 0
  const end = isBoth ? start + buffer.readUInt32LE(BOTH.length) : bytes.length
  return [
    { bytes: bytes.subarray(start, end), age },
    { bytes: bytes.subarray(end), age },
  ]
}

function hasBytes({ bytes }: StateRecord): boolean {
  return bytes.length > 0
}
