import type { Account, ExportRequest } from '../../component/exporter.ts'
import { compress, decompress } from '../../net/compression.ts'
import type { Compression } from '../../net/compression.ts'

/** A request body for one of Datadog's intakes. */
export interface BodyFormat {
  readonly path: string
  readonly contentType: string
  /** Bytes of a body on the wire, and before compression. */
  readonly limits: { readonly wire: number; readonly raw: number }
  /** A body with the first `count` samples of a body, and one with the others. */
  divide(body: Buffer, count: number): readonly [Buffer, Buffer]
}

/** One body for one of Datadog's intakes. */
export interface NativeRequest extends ExportRequest {
  readonly format: BodyFormat
  readonly body: Uint8Array
  readonly rawBytes: number
  /** How often it was halved. */
  readonly depth: number
}

/** The least factor by which compression makes a body smaller; only a guess, because every body is measured. */
const COMPRESSION_RATIO = 4

/** Bytes of a raw body that will probably stay within the limits. */
export function likelyLength({ limits }: BodyFormat, compression: Compression): number {
  return Math.min(limits.raw, compression === 'none' ? limits.wire : limits.wire * COMPRESSION_RATIO)
}

/**
 * Makes a request of a raw body and the number of samples in it, or several if it turns out too large; a sample that is
 * too large by itself is reported to `account`.
 */
export function requestMaker(
  format: BodyFormat,
  compression: Compression,
  account: Pick<Account, 'dropped'>,
): (raw: Buffer, items: number) => readonly NativeRequest[] {
  const { wire, raw: maxRaw } = format.limits

  return (raw, items) => measured(toRequest(raw, items, 0))

  function toRequest(raw: Buffer, items: number, depth: number): NativeRequest {
    // The memory of the raw body is used again.
    const body = compression === 'none' ? Buffer.from(raw) : compress(raw, compression)
    return {
      format,
      items,
      bytes: body.length,
      rawBytes: raw.length,
      body,
      depth,
      divide: () => (items === 1 ? undefined : halves(body, items, depth + 1)),
    }
  }

  function measured(request: NativeRequest): readonly NativeRequest[] {
    const { body, bytes, rawBytes, items } = request
    if (bytes <= wire && rawBytes <= maxRaw) return [request]
    if (items > 1) return halves(body, items, 0).flatMap(measured)
    account.dropped('too_large', 1)
    return []
  }

  function halves(body: Uint8Array, items: number, depth: number): NativeRequest[] {
    const middle = Math.ceil(items / 2)
    const [first, second] = format.divide(decompress(body, compression), middle)
    return [toRequest(first, middle, depth), toRequest(second, items - middle, depth)]
  }
}
