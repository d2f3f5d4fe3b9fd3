/*
 * HTTP/2 as bytes, for what no client library sends. Source: RFC 9113 and RFC 7541.
 */

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
const DATA = 0
const HEADERS = 1
const RST_STREAM = 3
const SETTINGS = 4
const PING = 6
const WINDOW_UPDATE = 8
const ACK = 1
const END_STREAM = 1
const END_HEADERS = 4
const INITIAL_WINDOW_SIZE = 4
/** Of a frame's own header. */
const FRAME = 9

function frame(type: number, flags: number, stream: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(FRAME)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

export const dataFrame = (stream: number, payload: Uint8Array, end = false): Buffer =>
  frame(DATA, end ? END_STREAM : 0, stream, payload)

/** What a connection begins with; `window`: how many bytes of answers the client takes in each stream. */
export function preface(window = 65_535): Buffer {
  const setting = Buffer.alloc(6)
  setting.writeUInt16BE(INITIAL_WINDOW_SIZE, 0)
  setting.writeUInt32BE(window, 2)
  return Buffer.concat([PREFACE, frame(SETTINGS, 0, 0, setting)])
}

const EXPORT = '/opentelemetry.proto.collector.metrics.v1.MetricsService/Export'

/** The headers of a call that exports metrics over gRPC. */
export function exportHeaders(stream: number, more: Readonly<Record<string, string>> = {}): Buffer {
  const headers = {
    ':method': 'POST',
    ':scheme': 'http',
    ':path': EXPORT,
    ':authority': 'x',
    'content-type': 'application/grpc',
    te: 'trailers',
    ...more,
  }
  // Literals without indexing, of fewer than 127 bytes.
  const fields = Object.entries(headers).flatMap(([name, value]) => [
    Buffer.of(0),
    ...[name, value].flatMap((text) => [Buffer.of(text.length), Buffer.from(text)]),
  ])
  return frame(HEADERS, END_HEADERS, stream, Buffer.concat(fields))
}

/** What stands before a gRPC message of `length` bytes. */
export function messagePrefix(length: number, compressed = false): Buffer {
  const prefix = Buffer.alloc(5)
  prefix[0] = compressed ? 1 : 0
  prefix.writeUInt32BE(length, 1)
  return prefix
}

/** Acknowledges what a server has to have acknowledged, and counts what its frames say. */
export class Http2Reader {
  #rest: Buffer = Buffer.alloc(0)
  /** Bytes that the connection may send now. */
  window = 65_535
  /** Streams that the server has reset. */
  resets = 0

  constructor(private readonly write: (bytes: Buffer) => void) {}

  read(bytes: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, bytes])
    while (this.#rest.length >= FRAME) {
      const end = FRAME + this.#rest.readUIntBE(0, 3)
      if (this.#rest.length < end) return
      const [type, flags, stream] = [this.#rest[3], this.#rest[4], this.#rest.readUInt32BE(5)]
      const payload = this.#rest.subarray(FRAME, end)
      if (type === SETTINGS && (flags & ACK) === 0) this.write(frame(SETTINGS, ACK, 0))
      if (type === PING && (flags & ACK) === 0) this.write(frame(PING, ACK, 0, payload))
      if (type === RST_STREAM) this.resets += 1
      if (type === WINDOW_UPDATE && stream === 0) this.window += payload.readUInt32BE(0)
      this.#rest = this.#rest.subarray(end)
    }
  }
}
