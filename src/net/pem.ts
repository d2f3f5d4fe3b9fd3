import { createSecureContext } from 'node:tls'
import type { Clock } from '../time/clock.ts'
import type { Logger } from '../component/logger.ts'
import type { Setting } from '../component/settings.ts'
import { errorMessage, readFailure } from '../errors.ts'
import { readSmallFile } from '../small_file.ts'

/** The contents of certificate and key files (PEM) for TLS. */
export interface Pem {
  /** The certificates of the authorities to trust. */
  readonly ca: Buffer | undefined
  readonly cert: Buffer | undefined
  readonly key: Buffer | undefined
}

/** The setting for how often the files are read. */
export const reloadInterval = {
  doc: 'How often the files are read again, so that new connections use their current contents; `0s` means never.',
  format: 'duration',
  default: '1m',
} as const satisfies Setting

/**
 * Reads the files of `settings`, each with the name of a setting and its value.
 * @throws an error that names the setting below `path` if a file cannot be read, or `path` if the contents cannot be
 * used together
 */
export async function readPem(
  path: string,
  settings: Readonly<Record<keyof Pem, readonly [name: string, file: string | undefined]>>,
): Promise<Pem> {
  const read = async ([name, file]: readonly [string, string | undefined]): Promise<Buffer | undefined> => {
    if (file === undefined) return undefined
    try {
      return await readSmallFile(file)
    } catch (error) {
      throw new Error(`${path}.${name}: ${file} ${readFailure(error)}`, { cause: error })
    }
  }
  const [ca, cert, key] = await Promise.all([read(settings.ca), read(settings.cert), read(settings.key)])
  if ((ca ?? cert) === undefined) return { ca, cert, key }
  try {
    // An empty list keeps the authorities built into Node out of the check.
    createSecureContext({ ca: ca ?? [], cert, key })
  } catch (error) {
    throw new Error(`${path}: the files cannot be used: ${errorMessage(error)}`, { cause: error })
  }
  return { ca, cert, key }
}

interface Watch {
  readonly clock: Clock
  readonly log: Logger
  readonly signal: AbortSignal
  readonly read: () => Promise<Pem>
  /** Milliseconds; 0 means never. */
  readonly interval: number
}

/**
 * Reads the files again until the signal aborts, and hands over their contents whenever they change. Contents that
 * cannot be read or used, perhaps because only one of the files has been replaced so far, are logged and change
 * nothing.
 */
export function watchPem(known: Pem, { read, interval, clock, log, signal }: Watch, changed: (pem: Pem) => void): void {
  if (interval === 0 || signal.aborted || (known.ca ?? known.cert) === undefined) return
  const look = async (): Promise<void> => {
    try {
      const pem = await read()
      if (signal.aborted || same(pem, known)) return
      changed(pem)
      known = pem
      log.info('The TLS files have changed; new connections use the new contents.')
    } catch (error) {
      log.warn('The TLS files cannot be read again; their previous contents stay in use.', {
        event: 'tls_reload_failed',
        error: errorMessage(error),
      })
    }
  }
  const timer = clock.setInterval(() => void look(), interval).unref()
  signal.addEventListener('abort', () => clock.clearTimeout(timer), { once: true })
}

function same(left: Pem, right: Pem): boolean {
  return (['ca', 'cert', 'key'] as const).every((name) => String(left[name]) === String(right[name]))
}
