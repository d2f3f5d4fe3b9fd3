import type { IncomingMessage } from 'node:http'
import type { Transform } from 'node:stream'
import zlib from 'node:zlib'
import { errorMessage } from '../../errors.ts'
import type { Admission, Admitted } from './admission.ts'
import { Gathered } from './gathered.ts'
import { Refusal } from './refusal.ts'

/** How a coding is decompressed: all in one turn, or as a stream, by zlib's threads. */
export interface Coding {
  readonly atOnce: (bytes: Uint8Array, options: { maxOutputLength: number }) => Buffer
  readonly stream: (options: { chunkSize: number }) => Transform
}

/** In Node from 22.15 and 23.8 on; the types of Node 20 do not know it. */
const { zstdDecompressSync, createZstdDecompress } = zlib as {
  zstdDecompressSync?: Coding['atOnce']
  createZstdDecompress?: Coding['stream']
}

export const gzip: Coding = { atOnce: zlib.gunzipSync, stream: zlib.createGunzip }
/** The zlib format of RFC 1950, as HTTP means it. */
export const deflate: Coding = { atOnce: zlib.inflateSync, stream: zlib.createInflate }

const codings: ReadonlyMap<string, Coding> = new Map<string, Coding>([
  ['gzip', gzip],
  // RFC 9110, 8.4.1.3.
  ['x-gzip', gzip],
  ['deflate', deflate],
  // The collector's name of the same.
  ['zlib', deflate],
  ...(zstdDecompressSync === undefined || createZstdDecompress === undefined
    ? []
    : ([['zstd', { atOnce: zstdDecompressSync, stream: createZstdDecompress }]] as const)),
])

/** The content codings that this version of Node takes, for `Accept-Encoding`. */
export const contentCodings: readonly string[] = [...codings.keys()]

/**
 * Receives a body of at most `limit` bytes, both on the wire and decompressed, and returns the function that decompresses it. What a refused
 * client still sends is thrown away as it comes.
 * @throws Refusal, as the function does
 */
export async function readBody(
  request: IncomingMessage,
  limit: number,
  admission: Admission,
  admitted: Admitted,
): Promise<() => Buffer | Promise<Buffer>> {
  const name = request.headers['content-encoding']?.trim().toLowerCase() ?? ''
  const coding = codings.get(name)
  if (coding === undefined && name !== '' && name !== 'identity') {
    throw new Refusal(
      'unsupported_coding',
      `Content-Encoding must be one of ${contentCodings.join(', ')}, not ${name}.`,
    )
  }
  if (Number(request.headers['content-length']) > limit) throw tooLarge(limit)
  admission.hold(admitted, 0)
  const wire = await receive(request, limit, admission, admitted)
  if (coding === undefined) return () => wire
  return () =>
    decompressed(wire, coding, {
      limit,
      tooLarge: () => tooLarge(limit),
      hold: (bytes) => admission.hold(admitted, bytes),
    })
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

/** What bounds the bytes that a body is decompressed to. */
interface Bounds {
  /** As many as there may be. */
  readonly limit: number
  readonly tooLarge: () => Refusal
  /** Called with as many as the request holds. @throws Refusal where there is no room */
  readonly hold: (bytes: number) => void
}

/** Bytes that are decompressed in one turn: in some 10 ms. */
const AT_ONCE = 4 * 1024 * 1024
/** Requests of that many bytes on the wire rarely become fewer than that. */
const SMALL = AT_ONCE / 8
/** Bytes that a thread makes at a time. */
const CHUNK = 256 * 1024

/**
 * What `wire` was compressed from: a small body at once, which is faster, and a large one in turns, between which a thread works on it. Never
 * makes more than `limit` bytes, whatever the body claims.
 * @throws Refusal
 */
export function decompressed(wire: Uint8Array, coding: Coding, bounds: Bounds): Buffer | Promise<Buffer> {
  const body = wire.length <= SMALL ? decompressedAtOnce(wire, coding, bounds) : undefined
  if (body === undefined) return decompressedInTurns(wire, coding, bounds)
  bounds.hold(body.length)
  return body
}

/** `undefined` where that would take too long. */
function decompressedAtOnce(wire: Uint8Array, { atOnce }: Coding, { limit, tooLarge }: Bounds): Buffer | undefined {
  try {
    return atOnce(wire, { maxOutputLength: Math.min(limit, AT_ONCE) })
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'ERR_BUFFER_TOO_LARGE') throw malformed(error)
    if (limit <= AT_ONCE) throw tooLarge()
    return undefined
  }
}

/** Ends with the body that is decompressed in turns now: until one is put together it takes its size twice, so they come one by one. */
let last: Promise<unknown> = Promise.resolve()

function decompressedInTurns(wire: Uint8Array, coding: Coding, bounds: Bounds): Promise<Buffer> {
  const body = last.then(() => gatheredInTurns(wire, coding, bounds))
  last = body.catch(() => undefined)
  return body
}

async function gatheredInTurns(
  wire: Uint8Array,
  { stream }: Coding,
  { limit, tooLarge, hold }: Bounds,
): Promise<Buffer> {
  const gathered = new Gathered()
  const pieces = stream({ chunkSize: CHUNK })
  pieces.end(wire)
  try {
    for await (const piece of pieces as AsyncIterable<Buffer>) {
      if (gathered.length + piece.length > limit) throw tooLarge()
      gathered.add(piece)
      // Twice, for the copy that puts it together.
      hold(wire.length + 2 * gathered.held)
    }
  } catch (error) {
    throw error instanceof Refusal ? error : malformed(error)
  }
  const body = gathered.take()
  hold(body.length)
  return body
}

function malformed(error: unknown): Refusal {
  return new Refusal('malformed', `The body cannot be decompressed: ${errorMessage(error)}`, { cause: error })
}

function tooLarge(limit: number): Refusal {
  return new Refusal('too_large', `The body is larger than max_request_body_size, ${limit} bytes.`)
}
