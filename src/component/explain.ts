import type { Batch } from '../otlp/signal.ts'

/** A tag as the destination stores it. */
export interface ExplainedTag {
  readonly tag: string
  /** The source of the tag, for people: `resource attribute service.name`. */
  readonly from: string
}

/** One value as the destination would store it, and its origin. */
export interface ExplainedValue {
  readonly name: string
  /** The destination's word: `count`, `gauge`, `distribution`. */
  readonly type: string
  readonly unit: string | undefined
  /** Seconds since 1970. */
  readonly time: number
  /** Several figures if one value summarizes many. */
  readonly value: number | Readonly<Record<string, number>>
  /** Seconds that a count covers, if they are sent. */
  readonly interval: number | undefined
  readonly host: { readonly name: string | undefined; readonly rule: string }
  readonly tags: readonly ExplainedTag[]
  /** The metrics handed in that it is made from; empty if that is not known. */
  readonly from: readonly string[]
}

/** An exporter's description of the requests that it would send. */
export interface Explanation {
  /** Of metrics, read from the bytes of the requests. */
  readonly values: readonly ExplainedValue[]
  /** Log records or spans, read from them likewise. */
  readonly sent?: Batch
  /** Where each request goes, and its bytes before compression, in the order of the requests. */
  readonly requests: readonly { readonly to: string; readonly rawBytes: number }[]
  /** Resource attributes that do not become tags, each with one of its values. */
  readonly notSent: readonly { readonly attribute: string; readonly value: string; readonly reason: string }[]
  /** The number of metrics that the destination would bill for the values; `undefined` if that is not known. */
  readonly billedMetrics: number | undefined
}
