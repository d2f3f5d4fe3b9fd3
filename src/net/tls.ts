import type { ConfigOf, Finding, Settings } from '../component/settings.ts'
import { readPem, reloadInterval } from './pem.ts'
import type { Pem } from './pem.ts'

/** The `tls` settings of every component that opens connections. */
export const tlsSettings = {
  ca_file: {
    doc: 'Certificates (PEM) of the authorities to trust, instead of those built into Node.js.',
    format: 'path',
    default: undefined,
  },
  cert_file: {
    doc: 'The certificate (PEM) to show to the server; needs `key_file`.',
    format: 'path',
    default: undefined,
  },
  key_file: { doc: 'The key (PEM) of `cert_file`.', format: 'path', default: undefined },
  insecure_skip_verify: {
    doc: "Sends without checking the server's certificate. For tests only.",
    format: 'boolean',
    default: false,
  },
  reload_interval: reloadInterval,
} as const satisfies Settings

export type TlsConfig = ConfigOf<typeof tlsSettings>

/** The rules that span the TLS settings. */
export function* checkTls(tls: TlsConfig): Generator<Finding> {
  if (tls.cert_file !== undefined && tls.key_file === undefined) {
    yield { path: 'tls.key_file', message: 'is required together with tls.cert_file' }
  }
  if (tls.key_file !== undefined && tls.cert_file === undefined) {
    yield { path: 'tls.cert_file', message: 'is required together with tls.key_file' }
  }
  if (tls.insecure_skip_verify) {
    const message =
      'sends keys and data to any server that answers; to trust a private authority safely, set tls.ca_file'
    yield { path: 'tls.insecure_skip_verify', message, severity: 'warning' }
  }
}

/** Reads the files of the TLS settings. Throws an error with the name of the setting if one cannot be read. */
export function readTls(tls: TlsConfig): Promise<Pem> {
  return readPem('tls', {
    ca: ['ca_file', tls.ca_file],
    cert: ['cert_file', tls.cert_file],
    key: ['key_file', tls.key_file],
  })
}
