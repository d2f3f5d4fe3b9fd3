import type { ExporterState, Told } from '../component.ts'

/** Two memories as one: what it tells is what the first did, behind its length in four bytes, and what the second did. */
export function joinStates(first: ExporterState, second: ExporterState): ExporterState {
  return {
    begin() {
      first.begin()
      second.begin()
    },
    changes() {
      const [one, other] = [first.changes(), second.changes()]
      const all = one.all && other.all
      if (one.bytes.length + other.bytes.length === 0) return { bytes: one.bytes, all }
      const length = Buffer.allocUnsafe(4)
      length.writeUInt32LE(one.bytes.length)
      return { bytes: Buffer.concat([length, one.bytes, other.bytes]), all }
    },
    restore(tellings) {
      const lengthOf = (bytes: Uint8Array): number => Buffer.from(bytes.buffer, bytes.byteOffset).readUInt32LE()
      const parts = (part: (bytes: Uint8Array) => Uint8Array): Told[][] =>
        tellings.map((told) => told.map(({ bytes, age }) => ({ bytes: part(bytes), age })))
      // Each of them is whole, whatever becomes of the other.
      try {
        first.restore(parts((bytes) => bytes.subarray(4, 4 + lengthOf(bytes))))
      } finally {
        second.restore(parts((bytes) => bytes.subarray(4 + lengthOf(bytes))))
      }
    },
  }
}
