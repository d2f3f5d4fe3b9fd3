import type { Context } from '../../component/context.ts'
import type { ConfigOf, Settings } from '../../component/settings.ts'
import { errorMessage } from '../../errors.ts'
import { readInventory } from '../../host/inventory.ts'
import type { Host } from '../../host/inventory.ts'
import type { AttributeValue } from '../../otlp/common/attributes.ts'
import { MetricBatch } from '../../otlp/metrics/batch.ts'
import type { Metric } from '../../otlp/metrics/metric.ts'
import { inTime } from '../../time/in_time.ts'
import { aggregationOf } from './aggregation.ts'
import type { MetricConfig } from './aggregation.ts'
import { container } from './container.ts'
import { cpu } from './cpu.ts'
import { disk } from './disk.ts'
import { filesystem } from './filesystem.ts'
import { load } from './load.ts'
import { memory } from './memory.ts'
import { network } from './network.ts'
import { paging } from './paging.ts'
import { loadPortableSystem } from './portable.ts'
import type { PortableSystem } from './portable.ts'
import { processes } from './processes.ts'
import { countOf } from './proc_text.ts'
import { Root } from './root.ts'
import { Recording } from './scraper.ts'
import type { Aggregation, MetricDeclaration, MetricTable, Read, RecordedMetrics, Scraper } from './scraper.ts'
import { system } from './system.ts'
import { ticks } from '../../time/ticker.ts'

/** By their names in the YAML. */
export const scrapers = {
  cpu,
  memory,
  disk,
  filesystem,
  network,
  load,
  paging,
  processes,
  system,
  container,
}

const TIMEOUT = 'The scraper did not finish within its timeout; it runs again after it has finished.'

interface Switches {
  readonly [name: string]: { readonly enabled: boolean }
}

type ScraperConfig = ConfigOf<Settings> & { readonly metrics: Readonly<Record<string, MetricConfig>> }

/** The checked configuration of the receiver; each scraper has its own settings in addition to `metrics`. */
export interface HostMetricsConfig {
  readonly collection_interval: number
  readonly initial_delay: number
  readonly timeout: number
  readonly root_path: string | undefined
  readonly scrapers: { readonly [name: string]: ScraperConfig | undefined }
  readonly resource_attributes: Switches
}

/** A configured scraper. */
interface ActiveScraper extends RecordedMetrics {
  readonly name: string
  readonly read: Read<MetricTable>
  /** Why parts could not be read in the last scrape. */
  causes: ReadonlySet<string>
  /** Whether the last read has not finished. */
  busy: boolean
}

/**
 * Yields one batch per scrape, empty if nothing could be read, until the signal is aborted.
 * @param portable the source instead of `/proc`; default: systeminformation on anything but Linux
 * @param own the root that this process lives in, which `root_path` does not change
 */
export async function* collect(
  {
    clock,
    config,
    log,
    meter,
    signal,
  }: Pick<Context<HostMetricsConfig>, 'clock' | 'config' | 'log' | 'meter' | 'signal'>,
  portable?: PortableSystem,
  own = new Root(''),
): AsyncGenerator<MetricBatch, void> {
  const errors = meter.createCounter('scraper_errors', {
    description: 'Parts of the host that a scraper could not read.',
    unit: '{error}',
  })
  const skippedScrapes = meter.createCounter('skipped_scrapes', {
    description: 'Scrapes left out because the previous one took longer than the interval.',
    unit: '{scrape}',
  })
  const root = new Root(config.root_path?.replace(/\/+$/, '') ?? '')
  const portableSystem = portable ?? (process.platform === 'linux' ? undefined : await loadPortableSystem())
  const host: Host = {
    root,
    platform: portableSystem?.platform ?? process.platform,
    information: async () => (portableSystem ?? (await loadPortableSystem())).information,
  }
  const active = activeScrapers()
  let inventory: Record<string, AttributeValue> | undefined
  let boot: bigint | undefined
  let latest = 0n

  for await (const skipped of ticks(
    { interval: config.collection_interval, initialDelay: config.initial_delay },
    signal,
    clock,
  )) {
    if (skipped > 0) skippedScrapes.add(skipped)
    inventory ??= await readInventory(enabledOf(config.resource_attributes), host, (cause, error) => {
      errors.add(1, { scraper: 'inventory' })
      log.warn('A resource attribute could not be read.', { cause, detail: errorMessage(error) })
    })
    const scraped = BigInt(clock.now()) * 1_000_000n
    // The kernel derives the boot time from the clock: if the clock was set back, sums must not seem to begin later.
    if (boot === undefined || scraped < latest) boot = bootTime() ?? boot
    if (boot !== undefined && boot > scraped) boot = scraped
    latest = scraped
    const times = { scrape: scraped, boot: boot ?? 0n }
    const metrics = (await Promise.all(active.map((scraper) => scrape(scraper, times)))).flat()
    root.forget()
    own.forget()
    yield MetricBatch.of({ resource: inventory, scope: { name: 'heka-pipeline/host_metrics' }, metrics })
  }

  function activeScrapers(): ActiveScraper[] {
    return Object.entries(config.scrapers).flatMap(([name, settings]) => {
      if (settings === undefined) return []
      const scraper: Scraper = scrapers[name as keyof typeof scrapers]
      const enabled = enabledOf(settings.metrics).filter((metric) => isAvailable(scraper.metrics[metric].on))
      const read =
        portableSystem === undefined
          ? scraper.linux(settings, root, own, clock)
          : scraper.portable?.(settings, portableSystem)
      if (read === undefined || enabled.length === 0) {
        log.warn('A scraper has no data on this operating system.', { scraper: name })
        return []
      }
      const aggregations = new Map<string, Aggregation>()
      for (const metric of enabled) {
        const aggregation = aggregationOf(settings.metrics[metric], scraper.metrics[metric])
        if (aggregation !== undefined) aggregations.set(metric, aggregation)
      }
      return [{ name, table: scraper.metrics, enabled, aggregations, read, causes: new Set<string>(), busy: false }]
    })
  }

  function isAvailable(on: MetricDeclaration['on']): boolean {
    return portableSystem === undefined || on === undefined || (on === 'unix' && portableSystem.platform !== 'win32')
  }

  /** Nanoseconds since 1970; `undefined` while it cannot be read. Not read at each scrape, so that sums keep their start. */
  function bootTime(): bigint | undefined {
    try {
      const seconds =
        portableSystem === undefined
          ? countOf(root.text('proc/stat'), 'btime', '/proc/stat')
          : Math.round(clock.now() / 1000 - portableSystem.os.uptime())
      return BigInt(seconds) * 1_000_000_000n
    } catch {
      return undefined
    }
  }

  /** Never throws: a failure of one scraper does not affect the others. */
  async function scrape(scraper: ActiveScraper, times: { scrape: bigint; boot: bigint }): Promise<Metric[]> {
    const causes = new Set<string>()
    const fail = (cause: string, detail?: string) => {
      errors.add(1, { scraper: scraper.name })
      if (!scraper.causes.has(cause) && !causes.has(cause)) {
        log.warn('A part of the host could not be read.', {
          event: 'scrape_failed',
          ...{ scraper: scraper.name, cause, detail },
        })
      }
      causes.add(cause)
    }
    const recording = new Recording(scraper, times, fail)
    try {
      if (scraper.busy) throw new Error(TIMEOUT)
      const reading = scraper.read(recording)
      if (reading !== undefined) {
        scraper.busy = true
        const ended = reading.finally(() => (scraper.busy = false))
        await (config.timeout === 0 ? ended : inTime(clock, ended, config.timeout, TIMEOUT))
      }
    } catch (error) {
      fail(errorMessage(error))
    }
    scraper.causes = causes
    return recording.metrics()
  }
}

function enabledOf(switches: Switches): string[] {
  return Object.keys(switches).filter((name) => switches[name].enabled)
}
