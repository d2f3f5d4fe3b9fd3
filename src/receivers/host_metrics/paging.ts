import { whole } from '../../host/numbers.ts'
import { countOf, forEachLine, inPart, unescapePath, withoutHeading } from './proc_text.ts'
import { counter, defineScraper, gauge, upDownCounter } from './scraper.ts'
import type { Scrape } from './scraper.ts'

const metrics = {
  'system.paging.usage': {
    ...upDownCounter,
    doc: 'Bytes of swap space in each state. Without `device` if the system does not distinguish the devices.',
    unit: 'By',
    attributes: ['device', 'state'],
  },
  'system.paging.operations': {
    ...counter,
    doc: 'Data moved between memory and disk: `major` counts pages to and from swap space, `minor` all blocks of 1 KiB, as the kernel counts them.',
    unit: '{operations}',
    attributes: ['direction', 'type'],
    required: ['type'],
    on: 'linux',
  },
  'system.paging.faults': {
    ...counter,
    doc: 'Page faults: `major` had to read from disk.',
    unit: '{faults}',
    attributes: ['type'],
    on: 'linux',
  },
  'system.paging.utilization': {
    ...gauge,
    doc: 'Fraction of the swap space in each state, from 0 to 1.',
    unit: '1',
    attributes: ['device', 'state'],
  },
} as const

export const paging = defineScraper({
  doc: 'Swap space in use, and pages moved.',
  metrics,
  settings: {},
  linux(_config, root) {
    return (scrape) => {
      inPart(scrape, () => {
        const lines = withoutHeading(root.text('proc/swaps'), 1)
        forEachLine(scrape, '/proc/swaps', lines, ([file, , kibibytes, usedKibibytes], figure) => {
          const total = figure(() => Number(whole(kibibytes, 1024)))
          const used = figure(() => Number(whole(usedKibibytes, 1024)))
          recordUsage(scrape, unescapePath(file), used, total - used)
        })
      })

      const text = root.text('proc/vmstat')
      const count = (key: string) => countOf(text, key, '/proc/vmstat')
      const operations = [
        { type: 'major', direction: 'page_in', key: 'pswpin' },
        { type: 'major', direction: 'page_out', key: 'pswpout' },
        { type: 'minor', direction: 'page_in', key: 'pgpgin' },
        { type: 'minor', direction: 'page_out', key: 'pgpgout' },
      ]
      for (const { type, direction, key } of operations) {
        inPart(scrape, () => scrape.record('system.paging.operations', count(key), { type, direction }))
      }
      inPart(scrape, () => {
        const majorFaults = count('pgmajfault')
        scrape.record('system.paging.faults', majorFaults, { type: 'major' })
        scrape.record('system.paging.faults', Number(count('pgfault')) - Number(majorFaults), { type: 'minor' })
      })
    }
  },
  portable(_config, { information }) {
    return async (scrape) => {
      const { swaptotal, swapused, swapfree } = await information.mem()
      if (swaptotal > 0) recordUsage(scrape, undefined, swapused, swapfree)
    }
  },
})

function recordUsage(scrape: Scrape<typeof metrics>, device: string | undefined, used: number, free: number): void {
  for (const [state, bytes] of Object.entries({ used, free })) {
    scrape.record('system.paging.usage', bytes, { device, state })
    scrape.record('system.paging.utilization', bytes / (used + free), { device, state })
  }
}
