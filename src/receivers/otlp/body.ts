import type { IncomingMessage } from 'node:http'
import zlib from 'node:zlib'
import { errorMessage } from '../../errors.ts'
import type { Admission, Admitted } from './admission.ts'
import { Gathered } from './gathered.ts'
import { Refusal } from './refusal.ts'

export type Decompress = (bytes: Uint8Array, options: { maxOutputLength: number }) => Buffer

/** In Node from 22.15 and 23.8 on; the types of Node 20 do not know it. */
const zstdDecompressSync = (zlib as { zstdDecompressSync?: Decompress }).zstdDecompressSync

const decompressors: ReadonlyMap<string, Decompress> = new Map<string, Decompress>([
  ['gzip', zlib.gunzipSync],
  // RFC 9110, 8.4.1.3.
  ['x-gzip', zlib.gunzipSync],
  // The zlib format of RFC 1950, as in HTTP.
  ['deflate', zlib.inflateSync],
  // The Collector's name for the same.
  ['zlib', zlib.inflateSync],
  ...(zstdDecompressSync === undefined ? [] : ([['zstd', zstdDecompressSync]] as const)),
])

/** The content codings that this version of Node accepts, for `Accept-Encoding`. */
export const contentCodings: readonly string[] = [...decompressors.keys()]

/**
 * Reads a body of at most `limit` bytes, both on the wire and decompressed. Data that a refused client still sends is
 * discarded.
 * @throws Refusal
 */
export async function readBody(
  request: IncomingMessage,
  limit: number,
  admission: Admission,
  admitted: Admitted,
): Promise<Buffer> {
  const coding = request.headers['content-encoding']?.trim().toLowerCase() ?? ''
  const decompress = decompressors.get(coding)
  if (decompress === undefined && coding !== '' && coding !== 'identity') {
    throw new Refusal(
      'unsupported_coding',
      `Content-Encoding must be one of ${contentCodings.join(', ')}, not ${coding}.`,
    )
  }
  if (Number(request.headers['content-length']) > limit) throw tooLarge(limit)
  admission.hold(admitted, 0)
  const wire = await receive(request, limit, admission, admitted)
  if (decompress === undefined) return wire
  const body = decompressed(wire, decompress, limit, () => tooLarge(limit))
  admission.hold(admitted, body.length)
  return body
}

function receive(request: IncomingMessage, limit: number, admission: Admission, admitted: Admitted): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const gathered = new Gathered()
    let over = false
    const take = (chunk: Buffer): void => {
      if (over) return
      try {
        if (gathered.length + chunk.length > limit) throw tooLarge(limit)
        gathered.add(chunk)
        admission.hold(admitted, gathered.held)
      } catch (error) {
        stop(error)
      }
    }
    const complete = (): void => {
      if (over) return
      over = true
      admission.arrived(admitted)
      resolve(gathered.take())
    }
    const gone = (): void => {
      if (!over) stop(new Refusal('incomplete', 'The client disconnected before the end of the body.'))
    }
    request.on('data', take).on('end', complete).on('close', gone)
    admitted.giveWay = stop

    function stop(error: unknown): void {
      if (over) return
      over = true
      gathered.clear()
      reject(error)
    }
  })
}

/** Never makes more than `limit` bytes, whatever the body claims to hold. @throws Refusal */
export function decompressed(wire: Uint8Array, decompress: Decompress, limit: number, tooLarge: () => Refusal): Buffer {
  try {
    return decompress(wire, { maxOutputLength: limit })
  } catch (error) {
    if ((error as { code?: unknown }).code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge()
    throw new Refusal('malformed', `The body cannot be decompressed: ${errorMessage(error)}`, { cause: error })
  }
}

function tooLarge(limit: number): Refusal {
  return new Refusal('too_large', `The body is larger than max_request_body_size, ${limit} bytes.`)
}
