import type { Account, ExportRequest } from '../../component.ts'
import { compress, decompress } from '../../http/compression.ts'
import type { Compression } from '../../http/compression.ts'
import type { BytesIndex } from '../../otlp/bytes_index.ts'
import type { SeriesFormat } from './formats.ts'

/** One body for Datadog's series API. */
export interface SeriesRequest extends ExportRequest {
  readonly body: Uint8Array
  /** How often it was halved. */
  readonly depth: number
}

/** How much smaller compression makes a body, at the least; only a guess, since every body is measured. */
const COMPRESSION_RATIO = 4

/** Packs samples into requests within the limits of the format. The body is written where the last one was. */
export class RequestWriter {
  readonly #known: BytesIndex
  readonly #format: SeriesFormat
  readonly #compression: Compression
  readonly #maxLength: number
  #out = Buffer.allocUnsafeSlow(16_384)
  #at = 0
  #points = 0
  #bodies: { readonly body: Uint8Array; readonly rawBytes: number; readonly points: number }[] = []
  #timestamp = -1
  #interval = -1
  #moment: Uint8Array = Buffer.alloc(0)

  /** `known`: the series, as the format writes them. */
  constructor(known: BytesIndex, format: SeriesFormat, compression: Compression) {
    this.#known = known
    this.#format = format
    this.#compression = compression
    const { wire, raw } = format.limits
    this.#maxLength = Math.min(raw, compression === 'none' ? wire : wire * COMPRESSION_RATIO)
    this.discard()
  }

  /** `timestamp`: seconds since 1970; `interval`: seconds that a count covers, 0 when that is not known. */
  add(series: number, timestamp: number, value: number, interval: number): void {
    const format = this.#format
    if (timestamp !== this.#timestamp || interval !== this.#interval) {
      this.#timestamp = timestamp
      this.#interval = interval
      this.#moment = format.moment(timestamp, interval)
    }
    const end = this.#at + this.#known.length(series) + this.#moment.length + format.rest + format.close.length
    if (this.#points > 0 && (end > this.#maxLength || this.#points >= format.limits.points)) {
      this.#end()
      return this.add(series, timestamp, value, interval)
    }
    if (end > this.#out.length) this.#grow(end)
    this.#at = format.write(this.#out, this.#at, this.#known, series, this.#moment, value)
    this.#points++
  }

  /** The requests of all samples since the last time; one too large for any is told to `account`. */
  take(account: Account): SeriesRequest[] {
    if (this.#points > 0) this.#end()
    const requests = this.#bodies.flatMap(({ body, rawBytes, points }) =>
      this.#measured(this.#request(body, points, 0), rawBytes, account),
    )
    this.#bodies = []
    return requests
  }

  /** Forgets all samples since the last time. */
  discard(): void {
    this.#bodies = []
    this.#begin()
  }

  #begin(): void {
    this.#points = 0
    this.#at = this.#out.write(this.#format.open, 'latin1')
  }

  #end(): void {
    const rawBytes = this.#at + this.#out.write(this.#format.close, this.#at, 'latin1')
    const raw = this.#out.subarray(0, rawBytes)
    const body = this.#compression === 'none' ? Buffer.from(raw) : compress(raw, this.#compression)
    this.#bodies.push({ body, rawBytes, points: this.#points })
    this.#begin()
  }

  #grow(needed: number): void {
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.#out.length * 2))
    larger.set(this.#out.subarray(0, this.#at))
    this.#out = larger
  }

  /** The request, or several when it turned out too large. */
  #measured(request: SeriesRequest, rawBytes: number, account: Account): SeriesRequest[] {
    const { wire, raw } = this.#format.limits
    if (request.bytes <= wire && rawBytes <= raw) return [request]
    if (request.points === 1) {
      account.dropped('too_large', 1)
      return []
    }
    return this.#halves(request).flatMap(([half, rawBytes]) => this.#measured({ ...half, depth: 0 }, rawBytes, account))
  }

  #request(body: Uint8Array, points: number, depth: number): SeriesRequest {
    const request: SeriesRequest = {
      points,
      bytes: body.length,
      body,
      depth,
      divide: () => (points === 1 ? undefined : this.#halves(request).map(([half]) => half)),
    }
    return request
  }

  #halves({ body, points, depth }: SeriesRequest): readonly (readonly [SeriesRequest, number])[] {
    const middle = Math.ceil(points / 2)
    const [first, second] = this.#format.divide(decompress(body, this.#compression), middle)
    return [
      [this.#request(compress(first, this.#compression), middle, depth + 1), first.length],
      [this.#request(compress(second, this.#compression), points - middle, depth + 1), second.length],
    ]
  }
}
