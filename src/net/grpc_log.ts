import type Grpc from '@grpc/grpc-js'
import type { Context } from '../component/context.ts'
import { cut } from '../text/terminal.ts'
import { throttled } from '../throttled.ts'

/**
 * Makes grpc-js write to our log instead of standard error, at most a line a minute for each severity. grpc-js has one
 * logger per process: the component that opened last gets its messages. Its tracing, which has to be enabled with
 * `GRPC_TRACE`, is not limited.
 */
export function logGrpc(
  { setLogger }: Pick<typeof Grpc, 'setLogger'>,
  { clock, log }: Pick<Context, 'clock' | 'log'>,
): void {
  const quiet = throttled(log, clock)
  const problem = (texts: unknown[]): object => {
    // The following value came from a client, and may be a secret.
    const text = texts
      .map(String)
      .join(' ')
      .replace(/^(Failed to add metadata entry [^:]*):.*/s, '$1')
    return { problem: cut(text, LONGEST) }
  }
  setLogger({
    error: (...texts: unknown[]) => quiet.warn('An error in gRPC.', problem(texts)),
    info: (...texts: unknown[]) => quiet.info('A message from gRPC.', problem(texts)),
    debug: (...texts: unknown[]) => log.debug('gRPC traces.', problem(texts)),
  })
}

/** The most characters of a text that are logged. */
const LONGEST = 1000
