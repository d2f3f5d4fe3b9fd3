import type Grpc from '@grpc/grpc-js'
import type { Context } from '../component/context.ts'
import { cut } from '../text/terminal.ts'
import { throttled } from '../throttled.ts'

/**
 * Lets grpc-js write to our log instead of standard error, at most a line a minute of each severity. It has one logger a process: the
 * component that opened last gets what it reports. Its tracing, which somebody has to ask for by `GRPC_TRACE`, is not held back.
 */
export function logGrpc(
  { setLogger }: Pick<typeof Grpc, 'setLogger'>,
  { clock, log }: Pick<Context, 'clock' | 'log'>,
): void {
  const quiet = throttled(log, clock)
  const problem = (texts: unknown[]): object => {
    // The value that follows came from a client, and may be a secret.
    const text = texts
      .map(String)
      .join(' ')
      .replace(/^(Failed to add metadata entry [^:]*):.*/s, '$1')
    return { problem: cut(text, LONGEST) }
  }
  setLogger({
    error: (...texts: unknown[]) => quiet.warn('gRPC reports an error.', problem(texts)),
    info: (...texts: unknown[]) => quiet.info('gRPC reports something.', problem(texts)),
    debug: (...texts: unknown[]) => log.debug('gRPC traces.', problem(texts)),
  })
}

/** Characters of a text that are logged. */
const LONGEST = 1000
