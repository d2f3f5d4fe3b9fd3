import type { Attributes } from '../../otlp/attributes.ts'
import type { DataPoint } from '../../otlp/points.ts'

const SECOND = 1_000_000_000n

/** What puts a point where it belongs: its time and its attributes. */
export interface Place {
  /** Whole seconds since 1970. */
  seconds(): number
  /** The lower 32 bits of the nanoseconds since 1970. */
  lowTime(): number
  /** Nanoseconds from its start to its time; 0 when the first is not known or not before the second. */
  elapsed(): number
  attributes(): Attributes
}

export class PlaceOfPoint implements Place {
  constructor(private readonly point: DataPoint) {}

  seconds(): number {
    return secondOf(this.point.timeUnixNano)
  }

  lowTime(): number {
    return Number(BigInt.asIntN(32, this.point.timeUnixNano))
  }

  elapsed(): number {
    return elapsedBetween(this.point.startTimeUnixNano, this.point.timeUnixNano)
  }

  attributes(): Attributes {
    return this.point.attributes
  }
}

/** Whole seconds since 1970 of nanoseconds. */
export function secondOf(time: bigint): number {
  return Number(time / SECOND)
}

/** As of `Place`. */
export function elapsedBetween(start: bigint, time: bigint): number {
  return start === 0n || start >= time ? 0 : Number(time - start)
}
