import type { Attributes } from '../../../otlp/common/attributes.ts'
import type { DataPoint } from '../../../otlp/metrics/points.ts'

const SECOND = 1_000_000_000n

/** The time and the attributes of a point. */
export interface PointContext {
  /** Whole seconds since 1970. */
  seconds(): number
  /** The lower 32 bits of the nanoseconds since 1970. */
  lowTime(): number
  /** Nanoseconds from its start to its time; 0 if the start is not known or not before the time. */
  elapsed(): number
  attributes(): Attributes
}

export class ContextOfPoint implements PointContext {
  constructor(private readonly point: DataPoint) {}

  seconds(): number {
    return Number(this.point.timeUnixNano / SECOND)
  }

  lowTime(): number {
    return Number(BigInt.asIntN(32, this.point.timeUnixNano))
  }

  elapsed(): number {
    const { startTimeUnixNano: start, timeUnixNano: time } = this.point
    return start === 0n || start >= time ? 0 : Number(time - start)
  }

  attributes(): Attributes {
    return this.point.attributes
  }
}
