import type { Logger } from '../component/logger.ts'
import type { Answer, Door } from '../net/process_server.ts'
import type { RunningPipeline } from '../pipeline/pipeline.ts'
import type { ServiceConfig } from '../pipeline/config/settings.ts'

interface ServersOptions {
  readonly pipeline: RunningPipeline
  readonly secrets: Iterable<string>
  readonly reload: () => Promise<Answer>
  readonly log: Logger
}

/** The servers that report on the process or change it. Each is loaded if the configuration names it. */
export class Servers {
  readonly #open = new Map<string, { readonly address: string; readonly close: Promise<() => void> }>()
  #allowedHosts: readonly string[] = []

  constructor(private readonly options: ServersOptions) {}

  /** Opens and closes them according to the configuration; a server whose address stays the same is left alone. */
  async configure({ admin, allowed_hosts: allowedHosts, health, telemetry }: ServiceConfig): Promise<void> {
    const { pipeline, reload, secrets } = this.options
    this.#allowedHosts = allowedHosts ?? []
    const { level, address } = telemetry.metrics
    await Promise.all([
      this.#serve('health', health?.address, async (door) => {
        const { serveHealth } = await import('../pipeline/telemetry/health_server.ts')
        return serveHealth(door, pipeline.health, secrets)
      }),
      this.#serve('metrics', level === 'none' ? undefined : address, async (door) => {
        const { serveMetrics } = await import('../pipeline/telemetry/metrics_server.ts')
        return serveMetrics(door, pipeline.metrics)
      }),
      this.#serve('admin', admin?.address, async (door) => {
        const { serveAdmin } = await import('../pipeline/admin/admin_server.ts')
        return serveAdmin(door, reload)
      }),
    ])
  }

  async close(): Promise<void> {
    for (const name of this.#open.keys()) await this.#serve(name, undefined)
  }

  async #serve(name: string, address: string | undefined, open?: (door: Door) => Promise<() => void>): Promise<void> {
    const before = this.#open.get(name)
    if (before?.address === address) return
    this.#open.delete(name)
    ;(await before?.close)?.()
    if (address === undefined || open === undefined) return
    const close = open({ address, allowedHosts: () => this.#allowedHosts, log: this.options.log })
    this.#open.set(name, { address, close })
    await close
  }
}
