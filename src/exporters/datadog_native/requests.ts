import type { Account, ExportRequest } from '../../component.ts'
import { compress } from '../../http/compression.ts'
import type { Compression } from '../../http/compression.ts'
import type { SeriesFormat } from './formats.ts'
import type { Sample } from './series.ts'

/** One body for Datadog's series API. */
export interface SeriesRequest extends ExportRequest {
  readonly body: Uint8Array
  /** How often it was halved. */
  readonly depth: number
}

/** How much smaller compression makes a body, at the least; only a guess, since every body is measured. */
const COMPRESSION_RATIO = 4

/** Packs samples into requests within the limits of the format; one too large for any is told to `account`. */
export function* toRequests(
  samples: readonly Sample[],
  format: SeriesFormat,
  compression: Compression,
  account: Account,
): Generator<SeriesRequest> {
  const { wire, raw, points: maxPoints } = format.limits
  const maxLength = compression === 'none' ? Math.min(raw, wire) : Math.min(raw, wire * COMPRESSION_RATIO)
  let start = 0
  let length = 0
  for (let index = 0; index < samples.length; index++) {
    const next = format.maxLength(samples[index])
    if (index > start && (length + next > maxLength || index - start >= maxPoints)) {
      yield* measured(samples.slice(start, index), length)
      start = index
      length = 0
    }
    length += next
  }
  if (start < samples.length) yield* measured(start === 0 ? samples : samples.slice(start), length)

  /** The chunk, of at most `length` bytes, as one request, or as several when it turns out too large. */
  function* measured(chunk: readonly Sample[], length: number): Generator<SeriesRequest> {
    const request = toRequest(chunk, length, 0)
    if (request.bytes <= wire && request.rawBytes <= raw) yield request
    else if (chunk.length === 1) account.dropped('too_large', 1)
    else for (const half of halves(chunk)) yield* measured(half, length)
  }

  function toRequest(
    chunk: readonly Sample[],
    length: number,
    depth: number,
  ): SeriesRequest & { readonly rawBytes: number } {
    const written = format.write(chunk, length)
    const body = compress(written, compression)
    return {
      points: chunk.length,
      bytes: body.length,
      rawBytes: written.length,
      body,
      depth,
      divide: () => (chunk.length === 1 ? undefined : halves(chunk).map((half) => toRequest(half, length, depth + 1))),
    }
  }
}

function halves<T>(items: readonly T[]): readonly (readonly T[])[] {
  const middle = Math.ceil(items.length / 2)
  return [items.slice(0, middle), items.slice(middle)]
}
