import zlib from 'node:zlib'

/** `deflate` is the zlib format of RFC 1950, as in HTTP. */
export type Compression = 'gzip' | 'deflate' | 'zstd' | 'none'

/**
 * zlib's fastest level. For OTLP its output is 6 % larger than with zlib's default, in a third of the time, and no
 * other step of an exporter takes nearly as long (test/bench/compression.ts).
 */
const LEVEL = 1

/** In Node from 22.15 and 23.8 on; the types of Node 20 do not know it. */
const { zstdCompressSync, zstdDecompressSync } = zlib as {
  zstdCompressSync?: (bytes: Uint8Array) => Buffer
  zstdDecompressSync?: (bytes: Uint8Array) => Buffer
}

/** Why this version of Node cannot compress that way; `undefined` if it can. */
export function compressionProblem(compression: Compression): string | undefined {
  if (compression !== 'zstd' || zstdCompressSync !== undefined) return undefined
  return `zstd needs Node 22.15 or later; this is ${process.version}, which has gzip, deflate and none`
}

export function compress(bytes: Uint8Array, compression: Compression): Uint8Array {
  switch (compression) {
    case 'gzip':
      return zlib.gzipSync(bytes, { level: LEVEL })
    case 'deflate':
      return zlib.deflateSync(bytes, { level: LEVEL })
    case 'zstd':
      if (zstdCompressSync === undefined) throw new Error(compressionProblem('zstd'))
      return zstdCompressSync(bytes)
    case 'none':
      return bytes
  }
}

/** The input that `compress` made its result from. */
export function decompress(bytes: Uint8Array, compression: Compression): Buffer {
  switch (compression) {
    case 'gzip':
      return zlib.gunzipSync(bytes)
    case 'deflate':
      return zlib.inflateSync(bytes)
    case 'zstd':
      if (zstdDecompressSync === undefined) throw new Error(compressionProblem('zstd'))
      return zstdDecompressSync(bytes)
    case 'none':
      return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  }
}

/** The `Content-Encoding` header of a compressed body. */
export function contentEncoding(compression: Compression): { 'content-encoding'?: string } {
  return compression === 'none' ? {} : { 'content-encoding': compression }
}
