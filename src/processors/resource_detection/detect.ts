import type { Clock } from '../../time/clock.ts'
import type { Logger } from '../../component/logger.ts'
import { errorMessage } from '../../errors.ts'
import { azure } from './azure.ts'
import type { Detector, Found } from './detector.ts'
import { docker } from './docker.ts'
import { ec2 } from './ec2.ts'
import { env } from './env.ts'
import { gcp } from './gcp.ts'
import { kubernetes } from './kubernetes.ts'
import { system } from './system.ts'

/** By their names in the YAML. */
export const detectors = { env, system, docker, kubernetes, ec2, gcp, azure }

export type DetectorName = keyof typeof detectors

/** The checked settings of one detector. */
interface DetectorConfig {
  readonly resource_attributes?: string | Readonly<Partial<Record<string, { readonly enabled: boolean }>>>
}

interface Circumstances {
  readonly clock: Clock
  readonly log: Pick<Logger, 'warn'>
  readonly signal: AbortSignal
  /** Milliseconds that all detectors together may take. */
  readonly timeout: number
}

/**
 * Asks all detectors at once; `config` has the settings of each. Never throws: resolves with the findings of each, and
 * with `undefined` for one that could not be asked or did not answer in time, which is logged.
 */
export async function detect(
  names: readonly DetectorName[],
  config: Readonly<Partial<Record<DetectorName, DetectorConfig>>>,
  { clock, log, signal, timeout }: Circumstances,
): Promise<ReadonlyMap<DetectorName, Found | undefined>> {
  const ended = new AbortController()
  const timer = clock.setTimeout(() => ended.abort(new Error(`no answer within ${timeout / 1000} seconds`)), timeout)
  const aborted = new Promise<never>((_resolve, reject) => {
    ended.signal.addEventListener('abort', () => reject(ended.signal.reason))
  })
  aborted.catch(() => undefined)
  const stop = () => ended.abort(new Error('the pipeline stops'))
  signal.addEventListener('abort', stop)
  if (signal.aborted) stop()
  const found = names.map(async (name) => {
    try {
      const fail = (cause: string, error: unknown) =>
        log.warn('A resource detector found only a part of its attributes.', {
          detector: name,
          cause,
          error: errorMessage(error),
        })
      const work = detectOne(detectors[name], config[name] ?? {}, ended.signal, fail)
      return [name, await Promise.race([work, aborted])] as const
    } catch (error) {
      log.warn('A resource detector found nothing; the pipeline runs without it.', {
        detector: name,
        error: errorMessage(error),
      })
      return [name, undefined] as const
    }
  })
  try {
    return new Map(await Promise.all(found))
  } finally {
    clock.clearTimeout(timer)
    signal.removeEventListener('abort', stop)
  }
}

async function detectOne(
  detector: Detector,
  config: DetectorConfig,
  signal: AbortSignal,
  fail: (cause: string, error: unknown) => void,
): Promise<Found> {
  const { resource_attributes: switches } = config
  const wanted = Object.keys(detector.attributes).filter(
    (name) => typeof switches === 'object' && switches[name]?.enabled,
  )
  const found = await detector.detect(config as never, { signal, wanted, fail })
  const isOff = (name: string) => name in detector.attributes && !wanted.includes(name)
  return Object.fromEntries(
    Object.entries(found).filter(([name, value]) => value !== undefined && value !== '' && !isOff(name)),
  )
}
