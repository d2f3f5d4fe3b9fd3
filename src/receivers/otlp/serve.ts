import type { ReceiverContext } from '../../component/context.ts'
import type { Logger } from '../../component/logger.ts'
import { errorMessage } from '../../errors.ts'
import { throttled } from '../../throttled.ts'
import { Admission } from './admission.ts'
import type { GrpcServerConfig } from './grpc.ts'
import { serveHttp } from './http.ts'
import type { HttpServerConfig } from './http.ts'
import { LargeJson } from './large_json.ts'
import { GRACE } from './listen.ts'
import type { Listener } from './listen.ts'
import type { Protocol, Receiving } from './receiving.ts'
import { busy, Refusal } from './refusal.ts'
import type { Reason } from './refusal.ts'

export interface OtlpConfig {
  readonly protocols: { readonly grpc: GrpcServerConfig | undefined; readonly http: HttpServerConfig | undefined }
  readonly admission: { readonly request_limit_mib: number; readonly max_connections: number }
}

/** For refusals that are not the client's fault, or nobody's. */
const LEVELS: Partial<Record<Reason, keyof Logger>> = { failed: 'error', busy: 'debug', incomplete: 'debug' }

/** For connections without a request. Their messages are few and hold no text from the client. */
const OF_CONNECTIONS: ReadonlySet<Reason> = new Set<Reason>(['wrong_protocol', 'tls'])

/**
 * Opens the configured servers until the component stops. If one cannot go on, all end, and `fail` is called.
 * @param jsonThread the file of the thread that reads large OTLP/JSON
 */
export function serve(context: ReceiverContext<OtlpConfig>, jsonThread: URL, fail: (error: unknown) => void): void {
  const { clock, config, log, meter, onStop, signal } = context
  const refusals = meter.createCounter('refused_requests', {
    description: 'Requests and connections that were refused, by protocol and reason.',
    unit: '{request}',
  })
  // Clients send different data; the first message for each reason is enough.
  const quiet = { http: throttled(log, clock), grpc: throttled(log, clock) }
  const admission = new Admission(config.admission.request_limit_mib * 2 ** 20, context.memoryIsShort)
  const largeJson = new LargeJson(jsonThread, context)
  const { max_connections: maxConnections } = config.admission
  const { grpc, http } = config.protocols
  const elsewhere = {
    http:
      grpc === undefined ? '`protocols.grpc` would receive OTLP over gRPC' : `OTLP over gRPC is on ${grpc.endpoint}`,
    grpc:
      http === undefined ? '`protocols.http` would receive OTLP over HTTP' : `OTLP over HTTP is on ${http.endpoint}`,
  }
  const receiving: Receiving = { context, admission, largeJson, maxConnections, refused, elsewhere, fail: failed }
  const listeners: Listener[] = []
  let closed: Promise<void> | undefined
  const seconds = clock.setInterval(() => admission.tick(), 1000).unref()
  // A component that is stopped at once opens nothing.
  const opened = Promise.resolve().then(open)
  context.starting(opened)
  onStop(async () => {
    await opened
    await (closed ??= close())
  })

  async function open(): Promise<void> {
    const opening: Promise<Listener>[] = []
    if (http !== undefined) opening.push(serveHttp(http, receiving))
    // Only users of gRPC pay for it.
    if (grpc !== undefined) opening.push(import('./grpc.ts').then(({ serveGrpc }) => serveGrpc(grpc, receiving)))
    // One serves while the other waits for its port.
    const added = opening.map(async (open) => {
      const listener = await open
      listeners.push(listener)
      if (closed === undefined) return
      listener.close()
      await listener.destroy()
    })
    await Promise.all(added).catch(failed)
    await Promise.allSettled(added)
  }

  /**
   * Accepts no more connections, and resolves when the fate of every request is known. Answers on their way then have a
   * moment to be taken, while queues are drained.
   */
  async function close(): Promise<void> {
    for (const listener of listeners) listener.close()
    clock.clearTimeout(seconds)
    const late = clock.setInterval(() => {
      admission.refuseIncoming(busy('The receiver is stopping.'))
      admission.tick(1)
    }, GRACE)
    // A request that is never answered must not keep the process of an embedded pipeline.
    late.unref()
    await admission.allAnswered()
    const gone = admission.idle().then(async () => {
      clock.clearTimeout(late)
      await Promise.all([...listeners.map((listener) => listener.destroy()), largeJson.end()])
    })
    onStop(() => gone)
  }

  function failed(error: unknown): void {
    if (signal.aborted) return
    closed ??= close()
    fail(error)
  }

  function refused(protocol: Protocol, error: unknown, client?: string): Refusal {
    const refusal =
      error instanceof Refusal ? error : new Refusal('failed', 'The receiver failed on this request.', { cause: error })
    const { reason, message } = refusal
    refusals.add(1, { protocol, reason })
    const level = LEVELS[reason] ?? 'warn'
    const problem = errorMessage(refusal.cause ?? refusal)
    if (OF_CONNECTIONS.has(reason))
      quiet[protocol][level](`A connection was refused: ${message}`, { event: 'connection_refused', protocol, client })
    else
      quiet[protocol][level](`A request was refused: ${reason}.`, {
        event: 'request_refused',
        reason,
        protocol,
        client,
        problem,
      })
    return refusal
  }
}
