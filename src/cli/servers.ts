import type { Logger } from '../component.ts'
import type { Answer } from '../http/serve.ts'
import type { RunningPipeline } from '../pipeline/pipeline.ts'
import type { ServiceConfig } from '../pipeline/settings.ts'

export interface ServersOptions {
  readonly pipeline: RunningPipeline
  readonly secrets: Iterable<string>
  readonly reload: () => Promise<Answer>
  readonly log: Logger
}

/** The servers that tell of the process or change it. Each is loaded when the configuration names it. */
export class Servers {
  readonly #open = new Map<string, { readonly address: string; readonly close: Promise<() => void> }>()

  constructor(private readonly options: ServersOptions) {}

  /** Opens and closes them as the configuration says; one whose address stays is left alone. */
  async configure({ admin, health, telemetry }: ServiceConfig): Promise<void> {
    const { log, pipeline, reload, secrets } = this.options
    const { level, address } = telemetry.metrics
    await Promise.all([
      this.#serve('health', health?.address, async (address) => {
        const { serveHealth } = await import('../pipeline/health_server.ts')
        return serveHealth(address, pipeline.health, secrets, log)
      }),
      this.#serve('metrics', level === 'none' ? undefined : address, async (address) => {
        const { serveMetrics } = await import('../pipeline/metrics_server.ts')
        return serveMetrics(address, pipeline.metrics, log)
      }),
      this.#serve('admin', admin?.address, async (address) => {
        const { serveAdmin } = await import('../pipeline/admin_server.ts')
        return serveAdmin(address, reload, log)
      }),
    ])
  }

  async close(): Promise<void> {
    for (const name of this.#open.keys()) await this.#serve(name, undefined)
  }

  async #serve(
    name: string,
    address: string | undefined,
    open?: (address: string) => Promise<() => void>,
  ): Promise<void> {
    const before = this.#open.get(name)
    if (before?.address === address) return
    this.#open.delete(name)
    ;(await before?.close)?.()
    if (address === undefined || open === undefined) return
    const close = open(address)
    this.#open.set(name, { address, close })
    await close
  }
}
