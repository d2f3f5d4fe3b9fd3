import type { Account, ExportRequest } from '../../component.ts'
import { compress, decompress } from '../../http/compression.ts'
import type { Compression } from '../../http/compression.ts'
import type { BytesIndex } from '../../otlp/bytes_index.ts'
import type { SeriesFormat } from './formats.ts'
import type { Samples } from './samples.ts'

/** One body for Datadog's series API. */
export interface SeriesRequest extends ExportRequest {
  readonly body: Uint8Array
  readonly rawBytes: number
  /** How often it was halved. */
  readonly depth: number
}

/** How much smaller compression makes a body, at the least; only a guess, since every body is measured. */
const COMPRESSION_RATIO = 4

/**
 * Packs samples into requests within the limits of the format; one too large for any is told to `account`. `known` holds
 * their series as the format writes them.
 */
export function toRequests(
  samples: Samples,
  known: BytesIndex,
  format: SeriesFormat,
  compression: Compression,
  account: Account,
): SeriesRequest[] {
  const { wire, raw, points: maxPoints } = format.limits
  const maxLength = Math.min(raw, compression === 'none' ? wire : wire * COMPRESSION_RATIO)
  const requests: SeriesRequest[] = []
  for (let start = 0; start < samples.count;) {
    let end = start
    let length = format.open.length + format.close.length
    do length += known.length(samples.series[end++]) + format.rest
    while (
      end < samples.count &&
      end - start < maxPoints &&
      length + known.length(samples.series[end]) + format.rest <= maxLength
    )
    requests.push(...measured(toRequest(write(start, end, length), end - start, 0)))
    start = end
  }
  return requests

  /** The body of some samples, at most `length` bytes. It lasts until the next is written. */
  function write(start: number, end: number, length: number): Buffer {
    const [out, begin] = known.behind(length)
    let at = begin + out.write(format.open, begin, 'latin1')
    let timestamp = NaN
    let interval = NaN
    let moment: Uint8Array = out
    for (let index = start; index < end; index++) {
      if (samples.timestamps[index] !== timestamp || samples.intervals[index] !== interval) {
        timestamp = samples.timestamps[index]
        interval = samples.intervals[index]
        moment = format.moment(timestamp, interval)
      }
      at = format.write(out, at, index === start, known, samples.series[index], moment, samples.values[index])
    }
    at += out.write(format.close, at, 'latin1')
    return out.subarray(begin, at)
  }

  function toRequest(written: Buffer, points: number, depth: number): SeriesRequest {
    const body = compression === 'none' ? Buffer.from(written) : compress(written, compression)
    return {
      points,
      bytes: body.length,
      rawBytes: written.length,
      body,
      depth,
      divide: () => (points === 1 ? undefined : halves(body, points, depth + 1)),
    }
  }

  /** The request, or several when it turned out too large. */
  function measured(request: SeriesRequest): SeriesRequest[] {
    const { body, bytes, rawBytes, points } = request
    if (bytes <= wire && rawBytes <= raw) return [request]
    if (points > 1) return halves(body, points, 0).flatMap(measured)
    account.dropped('too_large', 1)
    return []
  }

  function halves(body: Uint8Array, points: number, depth: number): SeriesRequest[] {
    const middle = Math.ceil(points / 2)
    const [first, second] = format.divide(decompress(body, compression), middle)
    return [toRequest(first, middle, depth), toRequest(second, points - middle, depth)]
  }
}
