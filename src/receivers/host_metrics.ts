import { statSync } from 'node:fs'
import { defineComponent } from '../component/define.ts'
import { resourceAttributes } from '../host/inventory.ts'
import { checkAggregations } from './host_metrics/aggregation.ts'
import { describeScrapers } from './host_metrics/page.ts'
import { collect, scrapers } from './host_metrics/receiver.ts'
import { checkSelections } from './host_metrics/selection.ts'
import { scrapersSettings, switches } from './host_metrics/scraper.ts'

export default defineComponent({
  kind: 'receiver',
  type: 'host_metrics',
  summary:
    'Collects metrics of the host: CPU, memory, disks, file systems, network, load, paging, processes, uptime; and of its own container.',
  description: describeScrapers(scrapers),
  config: {
    collection_interval: { doc: 'The interval between scrapes.', format: 'duration', default: '1m' },
    initial_delay: { doc: 'The delay between the start and the first scrape.', format: 'duration', default: '1s' },
    timeout: {
      doc: 'How long one scraper may take; `0s` means no limit. A scraper that takes longer is left out of the scrape and counted, and runs again only after it has finished.',
      format: 'duration',
      default: '10s',
    },
    root_path: {
      doc: "For a receiver in a container, the folder where the host's file system is mounted; unset on the host itself. Only on Linux.",
      format: 'path',
      default: undefined,
    },
    scrapers: scrapersSettings(scrapers),
    resource_attributes: switches(resourceAttributes),
  },
  examples: [
    {
      title: 'All defaults, for the host of a container',
      yaml: `host_metrics:
  root_path: /hostfs
  scrapers:
    cpu:
    memory:
    disk:
      exclude: { devices: ['^loop', '^ram'], match_type: regexp }
    filesystem:
    network:
      exclude: { interfaces: [lo] }
    load: { cpu_average: true }
    paging:
    processes:
    system:`,
    },
    {
      title: 'The CPUs together, the disks together and the interfaces together',
      yaml: `host_metrics:
  scrapers:
    cpu:
      metrics:
        system.cpu.time: { attributes: [state] }
    disk:
      # A partition counts what its disk counts, too.
      include: { devices: ['^(sd[a-z]+|nvme\\d+n\\d+)$'], match_type: regexp }
      metrics:
        system.disk.io: { attributes: [direction] }
        system.disk.pending_operations: { attributes: [], aggregation_strategy: max }
    network:
      exclude: { interfaces: ['^(lo$|veth|br-|docker)'], match_type: regexp }
      metrics:
        system.network.io: { attributes: [direction] }`,
    },
    {
      title: 'Utilization as a fraction, every 10 seconds',
      yaml: `host_metrics:
  collection_interval: 10s
  scrapers:
    cpu:
      metrics:
        system.cpu.time: { enabled: false }
        system.cpu.utilization: { enabled: true }
    filesystem:
      metrics:
        system.filesystem.utilization: { enabled: true }`,
    },
  ],
  *check({ collection_interval, root_path, scrapers: configured }) {
    if (collection_interval === 0) yield { path: 'collection_interval', message: 'must be more than 0s' }
    if (root_path !== undefined && !isFolder(root_path)) {
      // Only a warning: a configuration is often checked on another machine than the one that runs it.
      yield { path: 'root_path', message: `${root_path} is not a folder here`, severity: 'warning' }
    }
    if (Object.values(configured).every((scraper) => scraper === undefined)) {
      yield { path: 'scrapers', message: `needs at least one of ${Object.keys(configured).join(', ')}` }
    }
    for (const [name, settings] of Object.entries(configured)) {
      if (settings === undefined) continue
      yield* checkSelections(settings, `scrapers.${name}`)
      yield* checkAggregations(scrapers[name as keyof typeof scrapers], settings, `scrapers.${name}`)
    }
  },
  create: (context) => collect(context),
})

function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory()
  } catch {
    return false
  }
}
