import { Attributed } from '../common/attributed.ts'
import type { AttributedFields } from '../common/attributed.ts'
import type { Attributes } from '../common/attributes.ts'

/** Bit of `flags`: the point says that there is no value (staleness). Source: metrics.proto, `DataPointFlags`. */
export const NO_RECORDED_VALUE = 1

export interface Exemplar {
  readonly filteredAttributes: Attributes
  readonly timeUnixNano: bigint
  /** An int if `isInt`; beyond 2^53 a bigint. */
  readonly value: number | bigint
  readonly isInt: boolean
  readonly spanId: Uint8Array
  readonly traceId: Uint8Array
  readonly unknown?: Uint8Array
}

interface PointFields extends AttributedFields {
  /** Nanoseconds since 1970. */
  readonly timeUnixNano?: bigint
  /** Nanoseconds since 1970; 0 if not known. */
  readonly startTimeUnixNano?: bigint
  readonly flags?: number
  readonly exemplars?: readonly Exemplar[]
}

/** What all kinds of points share. */
abstract class Point<Fields extends PointFields> extends Attributed<Fields> {
  get timeUnixNano(): bigint {
    return this.fields.timeUnixNano ?? 0n
  }

  get startTimeUnixNano(): bigint {
    return this.fields.startTimeUnixNano ?? 0n
  }

  get flags(): number {
    return this.fields.flags ?? 0
  }

  get exemplars(): readonly Exemplar[] {
    return this.fields.exemplars ?? []
  }

  /** Whether the point carries a value at all. */
  get hasValue(): boolean {
    return (this.flags & NO_RECORDED_VALUE) === 0
  }
}

export interface NumberPointFields extends PointFields {
  readonly value?: number | bigint
  /** Whether the value is an OTLP int; default: it is a bigint. */
  readonly isInt?: boolean
}

/** A point of a gauge or a sum. */
export class NumberPoint extends Point<NumberPointFields> {
  readonly kind = 'number'

  /** An int if `isInt` (a bigint beyond 2^53), otherwise a double; `undefined` if the point has none. */
  get value(): number | bigint | undefined {
    return this.fields.value
  }

  get isInt(): boolean {
    return this.fields.isInt ?? typeof this.fields.value === 'bigint'
  }

  override with(fields: Partial<NumberPointFields>): this {
    return new NumberPoint({ ...this.fields, ...fields }) as this
  }
}

interface DistributionFields extends PointFields {
  readonly count?: number | bigint
  readonly sum?: number
  readonly min?: number
  readonly max?: number
}

/** What histograms of either kind share. */
abstract class DistributionPoint<Fields extends DistributionFields> extends Point<Fields> {
  get count(): number | bigint {
    return this.fields.count ?? 0
  }

  get sum(): number | undefined {
    return this.fields.sum
  }

  get min(): number | undefined {
    return this.fields.min
  }

  get max(): number | undefined {
    return this.fields.max
  }
}

export interface HistogramPointFields extends DistributionFields {
  readonly bucketCounts?: readonly (number | bigint)[]
  readonly explicitBounds?: readonly number[]
}

/** A point of a histogram with explicit bounds. */
export class HistogramPoint extends DistributionPoint<HistogramPointFields> {
  readonly kind = 'histogram'

  get bucketCounts(): readonly (number | bigint)[] {
    return this.fields.bucketCounts ?? []
  }

  get explicitBounds(): readonly number[] {
    return this.fields.explicitBounds ?? []
  }

  override with(fields: Partial<HistogramPointFields>): this {
    return new HistogramPoint({ ...this.fields, ...fields }) as this
  }
}

/** One side of an exponential histogram: bucket `i` counts the values in (base^(offset+i), base^(offset+i+1)]. */
export interface Buckets {
  readonly offset: number
  readonly bucketCounts: readonly (number | bigint)[]
  readonly unknown?: Uint8Array
}

export interface ExponentialHistogramPointFields extends DistributionFields {
  /** base = 2^(2^-scale) */
  readonly scale?: number
  readonly zeroCount?: number | bigint
  readonly zeroThreshold?: number
  readonly positive?: Buckets
  readonly negative?: Buckets
}

/** A point of a histogram whose bucket bounds are powers of a base. */
export class ExponentialHistogramPoint extends DistributionPoint<ExponentialHistogramPointFields> {
  readonly kind = 'exponential_histogram'

  get scale(): number {
    return this.fields.scale ?? 0
  }

  get zeroCount(): number | bigint {
    return this.fields.zeroCount ?? 0
  }

  get zeroThreshold(): number {
    return this.fields.zeroThreshold ?? 0
  }

  get positive(): Buckets | undefined {
    return this.fields.positive
  }

  get negative(): Buckets | undefined {
    return this.fields.negative
  }

  override with(fields: Partial<ExponentialHistogramPointFields>): this {
    return new ExponentialHistogramPoint({ ...this.fields, ...fields }) as this
  }
}

export interface Quantile {
  /** From 0 (minimum) to 1 (maximum). */
  readonly quantile: number
  readonly value: number
  readonly unknown?: Uint8Array
}

export interface SummaryPointFields extends PointFields {
  readonly count?: number | bigint
  readonly sum?: number
  readonly quantileValues?: readonly Quantile[]
}

/** A point of a summary: count, sum and quantiles computed at the source. */
export class SummaryPoint extends Point<SummaryPointFields> {
  readonly kind = 'summary'

  get count(): number | bigint {
    return this.fields.count ?? 0
  }

  get sum(): number {
    return this.fields.sum ?? 0
  }

  get quantileValues(): readonly Quantile[] {
    return this.fields.quantileValues ?? []
  }

  override with(fields: Partial<SummaryPointFields>): this {
    return new SummaryPoint({ ...this.fields, ...fields }) as this
  }
}

export type DataPoint = NumberPoint | HistogramPoint | ExponentialHistogramPoint | SummaryPoint
