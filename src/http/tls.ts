import { readFile } from 'node:fs/promises'
import type { ConfigOf, Finding, Settings } from '../component.ts'
import { errorMessage } from '../errors.ts'

/** The `tls` settings of every component that opens connections. */
export const tlsSettings = {
  ca_file: {
    doc: 'Certificates (PEM) of the authorities to trust, instead of those built into Node.',
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
    doc: "Sends to anybody, without checking the server's certificate. For tests only.",
    format: 'boolean',
    default: false,
  },
} as const satisfies Settings

export type TlsConfig = ConfigOf<typeof tlsSettings>

/** The rules that span the TLS settings. */
export function* checkTls(tls: TlsConfig): Generator<Finding> {
  if (tls.cert_file !== undefined && tls.key_file === undefined) {
    yield { path: 'tls.key_file', message: 'is required beside tls.cert_file' }
  }
  if (tls.key_file !== undefined && tls.cert_file === undefined) {
    yield { path: 'tls.cert_file', message: 'is required beside tls.key_file' }
  }
  if (tls.insecure_skip_verify) {
    const message = 'sends keys and data to whoever answers; tls.ca_file trusts a private authority safely'
    yield { path: 'tls.insecure_skip_verify', message, severity: 'warning' }
  }
}

/** What is in the files of the TLS settings. */
export interface TlsFiles {
  readonly ca: Buffer | undefined
  readonly cert: Buffer | undefined
  readonly key: Buffer | undefined
}

/** Reads the files that the TLS settings name. Throws with the name of the setting when one cannot be read. */
export async function readTlsFiles(tls: TlsConfig): Promise<TlsFiles> {
  const [ca, cert, key] = await Promise.all([
    readSetting('tls.ca_file', tls.ca_file),
    readSetting('tls.cert_file', tls.cert_file),
    readSetting('tls.key_file', tls.key_file),
  ])
  return { ca, cert, key }
}

async function readSetting(path: string, file: string | undefined): Promise<Buffer | undefined> {
  if (file === undefined) return undefined
  try {
    return await readFile(file)
  } catch (error) {
    throw new Error(`${path}: ${errorMessage(error)}`, { cause: error })
  }
}
