import { maxHeaderSize } from 'node:http'
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { Refusal } from './refusal.ts'
import type { Protocol, Receiving } from './receiving.ts'

/*
 * Why a connection ends without a request: its client uses another protocol, fails the TLS handshake, or sends
 * unreadable data.
 */

/** An error that Node reports of a connection: of its HTTP parser, of TLS, or of the socket. */
export interface ClientError extends Error {
  readonly code?: string
  /** The message of the parser or TLS, in a few words of its own. */
  readonly reason?: string
  /** The bytes that the parser could not read. */
  readonly rawPacket?: Buffer
}

type Elsewhere = Receiving['elsewhere']

/** The reason why Node's HTTP server refused it; `undefined` if the client only left, or sent nothing. */
export function refusedByNode(error: ClientError, socket: Socket, elsewhere: Elsewhere): Refusal | undefined {
  const { code = '', reason, rawPacket } = error
  const parsed = code.startsWith('HPE_')
  if (parsed && rawPacket !== undefined) {
    if (isTls(rawPacket)) return tlsOnPlainPort()
    if (rawPacket.toString('latin1').startsWith('PRI * HTTP/2')) return otherProtocol('http', elsewhere)
  }
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return new Refusal('headers_too_large', `The headers are larger than ${maxHeaderSize} bytes.`)
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return new Refusal('too_large', 'The extensions of a chunk are too large.')
    case 'HPE_INVALID_EOF_STATE':
      return new Refusal('incomplete', 'The client disconnected before the end of the request.')
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return socket.bytesRead === 0 ? undefined : new Refusal('too_slow', 'The request did not arrive in time.')
    default:
      return parsed ? new Refusal('malformed', `This is not an HTTP/1.1 request: ${reason}.`) : undefined
  }
}

/** The reason why the TLS handshake failed; `undefined` if the client only left, or sent nothing. */
export function refusedByTls(
  { code = '', reason }: ClientError,
  socket: TLSSocket,
  protocol: Protocol,
  elsewhere: Elsewhere,
): Refusal | undefined {
  // A code, whatever the types say.
  const untrusted = socket.authorizationError as unknown as string | null
  if (untrusted) return tls(`no authority of client_ca_file has signed the certificate of the client, ${untrusted}`)
  switch (code) {
    case 'ERR_SSL_HTTP_REQUEST':
    case 'ERR_SSL_HTTPS_PROXY_REQUEST':
    case 'ERR_SSL_WRONG_VERSION_NUMBER':
      return wrongProtocol('this port uses TLS, and the client does not; it has to use https://')
    case 'ERR_SSL_NO_APPLICATION_PROTOCOL':
      return otherProtocol(protocol, elsewhere)
    case 'ERR_SSL_UNSUPPORTED_PROTOCOL':
      return tls('the client only supports versions of TLS older than min_version')
    case 'ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE':
      return tls('the client sent no certificate, and client_ca_file requires one')
    default:
      if (!code.startsWith('ERR_SSL_')) return undefined
      return /_ALERT_(?:UNKNOWN_CA|.*CERTIFICATE.*)$/.test(code)
        ? tls(`the client does not accept the certificate of cert_file: ${reason}`)
        : tls(`the handshake failed: ${reason}`)
  }
}

/** Clients that check the certificate after the handshake, as those of Node do, give no reason when they leave. */
export function leftWithoutRequest(): Refusal {
  return tls('the client disconnected before its first request; it may not accept the certificate of cert_file')
}

/** The reason why the first bytes of a connection cannot be HTTP/2; `undefined` if they can. */
export function refusedByPreface(bytes: Buffer, elsewhere: Elsewhere): Refusal | undefined {
  const length = Math.min(bytes.length, PREFACE.length)
  if (bytes.subarray(0, length).equals(PREFACE.subarray(0, length))) return undefined
  if (isTls(bytes)) return tlsOnPlainPort()
  return /^[A-Z]+ /.test(bytes.toString('latin1')) ? otherProtocol('grpc', elsewhere) : notHttp2()
}

/** The first bytes of an HTTP/2 client. Source: RFC 9113, 3.4. */
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')

/** A connection that turns out not to be HTTP/2. */
export function notHttp2(): Refusal {
  return wrongProtocol('this port is for gRPC, and the client does not use HTTP/2')
}

/** Whether TLS begins like this: a record of the handshake, version 3.x. Source: RFC 8446, 5.1. */
function isTls(bytes: Buffer): boolean {
  return bytes[0] === 0x16 && bytes[1] === 3
}

function tlsOnPlainPort(): Refusal {
  return wrongProtocol(
    'the client uses TLS, and this port does not; the client has to use http://, or this port needs `tls`',
  )
}

function otherProtocol(protocol: Protocol, elsewhere: Elsewhere): Refusal {
  const [name, client] = protocol === 'http' ? ['HTTP/1.1', 'HTTP/2'] : ['gRPC', 'HTTP/1.1']
  return wrongProtocol(`this is the port of ${name}, and the client speaks ${client}; ${elsewhere[protocol]}`)
}

function wrongProtocol(message: string): Refusal {
  return new Refusal('wrong_protocol', `${message}.`)
}

function tls(message: string): Refusal {
  return new Refusal('tls', `${message}.`)
}
