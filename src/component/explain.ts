import type { Batch } from '../otlp/signal.ts'

/** A tag as the destination stores it. */
export interface ExplainedTag {
  readonly tag: string
  /** Where it comes from, for people: `resource attribute service.name`. */
  readonly from: string
}

/** One value as the destination would store it, and why. */
export interface ExplainedValue {
  readonly name: string
  /** In the destination's words: `count`, `gauge`, `distribution`. */
  readonly type: string
  readonly unit: string | undefined
  /** Seconds since 1970. */
  readonly time: number
  /** Several figures where one value is a summary of many. */
  readonly value: number | Readonly<Record<string, number>>
  /** Seconds that a count covers, if that is told. */
  readonly interval: number | undefined
  readonly host: { readonly name: string | undefined; readonly rule: string }
  readonly tags: readonly ExplainedTag[]
  /** The metrics handed in that it is made of; none when that is not known. */
  readonly from: readonly string[]
}

/** What an exporter says of its requests to whoever wants to know what would be sent. */
export interface Explanation {
  /** Of metrics, read from the bytes of the requests. */
  readonly values: readonly ExplainedValue[]
  /** Log records or spans, read from them likewise. */
  readonly sent?: Batch
  /** Where each request goes, and its bytes before compression, in the order of the requests. */
  readonly requests: readonly { readonly to: string; readonly rawBytes: number }[]
  /** Resource attributes that do not become tags, each with a value of it. */
  readonly notSent: readonly { readonly attribute: string; readonly value: string; readonly reason: string }[]
  /** As how many metrics the destination would bill the values; `undefined` where nobody knows. */
  readonly billedMetrics: number | undefined
}
