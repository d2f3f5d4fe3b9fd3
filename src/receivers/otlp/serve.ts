import type { Context, Logger } from '../../component.ts'
import { errorMessage } from '../../errors.ts'
import { throttled } from '../../throttled.ts'
import { Admission } from './admission.ts'
import type { GrpcConfig } from './grpc.ts'
import { serveHttp } from './http.ts'
import type { HttpConfig } from './http.ts'
import { GRACE } from './listen.ts'
import type { Listener } from './listen.ts'
import { busy, Refusal } from './refusal.ts'
import type { Reason } from './refusal.ts'

export interface OtlpConfig {
  readonly protocols: { readonly grpc: GrpcConfig | undefined; readonly http: HttpConfig | undefined }
  readonly admission: { readonly request_limit_mib: number; readonly max_connections: number }
}

/** What both protocols share. */
export interface Receiving {
  readonly context: Pick<Context, 'clock' | 'deliver' | 'listen' | 'log' | 'signal'>
  readonly admission: Admission
  /** Of each protocol. */
  readonly maxConnections: number
  /** Counts a request that was not taken, and says what its client is told. */
  readonly refused: (protocol: string, error: unknown) => Refusal
  /** Ends the receiver, because a server cannot go on. */
  readonly fail: (error: unknown) => void
}

/** Of refusals that are no fault of the client, or are nobody's. */
const LEVELS: Partial<Record<Reason, keyof Logger>> = { failed: 'error', busy: 'debug', incomplete: 'debug' }

/** Opens the configured servers until the component stops. When one cannot go on, all end, and `fail` is told. */
export function serve(context: Context<OtlpConfig>, fail: (error: unknown) => void): void {
  const { clock, config, log, meter, onStop, signal } = context
  const refusals = meter.createCounter('refused_requests', {
    description: 'Requests that were not taken, by protocol and reason.',
    unit: '{request}',
  })
  // What clients send differs, and the first of each reason says enough.
  const quiet = throttled(log, clock)
  const admission = new Admission(config.admission.request_limit_mib * 2 ** 20, context.memoryIsShort)
  const { max_connections: maxConnections } = config.admission
  const receiving: Receiving = { context, admission, maxConnections, refused, fail: failed }
  const listeners: Listener[] = []
  let closed: Promise<void> | undefined
  const seconds = clock.setInterval(() => admission.tick(), 1000).unref()
  // A component that is stopped at once opens nothing.
  const opened = Promise.resolve().then(open).catch(failed)
  context.starting(opened)
  onStop(async () => {
    await opened
    await (closed ??= close())
  })

  async function open(): Promise<void> {
    const { grpc, http } = config.protocols
    if (http !== undefined) listeners.push(await serveHttp(http, receiving))
    if (grpc !== undefined) {
      // Only those who use gRPC pay for it.
      const { serveGrpc } = await import('./grpc.ts')
      listeners.push(await serveGrpc(grpc, receiving))
    }
  }

  /**
   * Takes no more connections, and resolves when the fate of every request is known. Answers that are on their way then have a
   * moment to be taken, which what waits in queues does not wait for.
   */
  async function close(): Promise<void> {
    for (const listener of listeners) listener.close()
    clock.clearTimeout(seconds)
    const late = clock.setInterval(() => {
      admission.refuseIncoming(busy('The receiver is stopping.'))
      admission.tick(1)
    }, GRACE)
    await admission.allAnswered()
    const gone = admission.idle().then(async () => {
      clock.clearTimeout(late)
      await Promise.all(listeners.map((listener) => listener.destroy()))
    })
    onStop(() => gone)
  }

  function failed(error: unknown): void {
    if (signal.aborted) return
    closed ??= close()
    fail(error)
  }

  function refused(protocol: string, error: unknown): Refusal {
    const refusal =
      error instanceof Refusal ? error : new Refusal('failed', 'The receiver failed on this request.', { cause: error })
    const { reason } = refusal
    refusals.add(1, { protocol, reason })
    const problem = errorMessage(refusal.cause ?? refusal)
    quiet[LEVELS[reason] ?? 'warn'](`A request was refused: ${reason}.`, { protocol, problem })
    return refusal
  }
}
