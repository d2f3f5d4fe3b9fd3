import { endianness } from 'node:os'
import { whole } from '../../host/numbers.ts'
import { forEachLine, inPart } from './proc_text.ts'
import type { Root } from './root.ts'
import { defineScraper, gauge, upDownCounter } from './scraper.ts'

/** The entry of the auxiliary vector that holds the page size. Source: getauxval(3), `<elf.h>`. */
const AT_PAGESZ = 6n

export const memory = defineScraper({
  doc: 'Memory in use, by state.',
  metrics: {
    'system.memory.usage': {
      ...upDownCounter,
      doc: 'Bytes of memory in each state. On Linux the states overlap: `slab_reclaimable` is part of `cached`, and `slab_unreclaimable` of `used`. `system.memory.limit` is the total.',
      unit: 'By',
      attributes: ['state'],
      required: ['state'],
    },
    'system.memory.utilization': {
      ...gauge,
      doc: 'Fraction of all memory in each state, from 0 to 1.',
      unit: '1',
      attributes: ['state'],
      required: ['state'],
    },
    'system.memory.limit': { ...upDownCounter, doc: 'Bytes of memory in the system.', unit: 'By' },
    'system.memory.page_size': { ...gauge, doc: 'Size of a memory page.', unit: 'By', value: 'int', on: 'linux' },
    'system.linux.memory.available': {
      ...upDownCounter,
      doc: 'Estimate of the memory that new programs can take without swapping.',
      unit: 'By',
      enabled: false,
      on: 'linux',
    },
    'system.linux.memory.dirty': {
      ...upDownCounter,
      doc: 'Bytes waiting to be written to disk.',
      unit: 'By',
      enabled: false,
      on: 'linux',
    },
    'system.memory.linux.shared': {
      ...upDownCounter,
      doc: 'Bytes of shared memory, including file systems in memory.',
      unit: 'By',
      enabled: false,
      on: 'linux',
    },
    'system.memory.linux.hugepages.limit': {
      ...upDownCounter,
      doc: 'Number of huge pages.',
      unit: '{page}',
      enabled: false,
      on: 'linux',
    },
    'system.memory.linux.hugepages.page_size': {
      ...gauge,
      doc: 'Size of a huge page.',
      unit: 'By',
      value: 'int',
      on: 'linux',
    },
    'system.memory.linux.hugepages.reserved': {
      ...gauge,
      doc: 'Number of huge pages that are reserved but not yet in use; they count as free.',
      unit: '{page}',
      value: 'int',
      on: 'linux',
    },
    'system.memory.linux.hugepages.surplus': {
      ...gauge,
      doc: 'Number of huge pages beyond the configured number.',
      unit: '{page}',
      value: 'int',
      on: 'linux',
    },
    'system.memory.linux.hugepages.usage': {
      ...upDownCounter,
      doc: 'Number of huge pages in each state.',
      unit: '{page}',
      attributes: ['system.memory.linux.hugepages.state'],
      enabled: false,
      on: 'linux',
    },
    'system.memory.linux.hugepages.utilization': {
      ...gauge,
      doc: 'Fraction of the huge pages in each state, from 0 to 1.',
      unit: '1',
      attributes: ['system.memory.linux.hugepages.state'],
      on: 'linux',
    },
  },
  settings: {
    use_linux_mem_available: {
      doc: 'Whether `used` is all memory that is not available (`MemAvailable`), as in the Collector since 0.142 at the latest; then the states do not add up to all memory. Otherwise `used` is the memory that is neither free, buffered nor cached. Only on Linux.',
      format: 'boolean',
      default: true,
      changed: { in: '0.1.0', from: false },
    },
  },
  linux(config, root) {
    let pageSize: number | undefined
    return (scrape) => {
      const text = root.text('proc/meminfo')
      /** Bytes, and plain numbers for figures without a unit; NaN for those that are not understood. */
      const values: Record<string, number | undefined> = {}
      forEachLine(scrape, '/proc/meminfo', text, ([key, value, unit], figure) => {
        values[key] = figure(() => Number(whole(value, unit === 'kB' ? 1024 : 1)))
      })
      const needed = (key: string): number => {
        if (values[`${key}:`] === undefined) scrape.fail(`/proc/meminfo does not say ${key}.`)
        return values[`${key}:`] ?? NaN
      }
      const [total, free, buffered] = [needed('MemTotal'), needed('MemFree'), needed('Buffers')]
      const { 'SReclaimable:': reclaimable = 0, 'SUnreclaim:': unreclaimable } = values
      // The Collector's rule: reclaimable slabs count as cached.
      const cached = needed('Cached') + reclaimable
      const rest = total - free - buffered - cached
      // Linux before 3.14 does not report the available memory.
      const { 'MemAvailable:': available = total - rest } = values
      const used = Math.max(0, config.use_linux_mem_available ? total - available : rest)
      const states = { used, free, buffered, cached, slab_reclaimable: reclaimable, slab_unreclaimable: unreclaimable }
      for (const [state, bytes] of Object.entries(states)) {
        scrape.record('system.memory.usage', bytes, { state })
        scrape.record('system.memory.utilization', bytes && bytes / total, { state })
      }
      scrape.record('system.memory.limit', total)
      inPart(scrape, () => {
        if (!scrape.wants('system.memory.page_size')) return
        scrape.record('system.memory.page_size', (pageSize ??= readPageSize(root)))
      })
      scrape.record('system.linux.memory.available', values['MemAvailable:'])
      scrape.record('system.linux.memory.dirty', values['Dirty:'])
      scrape.record('system.memory.linux.shared', values['Shmem:'])

      const { 'HugePages_Total:': pages, 'HugePages_Free:': freePages } = values
      scrape.record('system.memory.linux.hugepages.limit', pages)
      scrape.record('system.memory.linux.hugepages.page_size', values['Hugepagesize:'])
      scrape.record('system.memory.linux.hugepages.reserved', values['HugePages_Rsvd:'])
      scrape.record('system.memory.linux.hugepages.surplus', values['HugePages_Surp:'])
      if (pages === undefined || freePages === undefined) return
      for (const [state, count] of Object.entries({ free: freePages, used: pages - freePages })) {
        const attributes = { 'system.memory.linux.hugepages.state': state }
        scrape.record('system.memory.linux.hugepages.usage', count, attributes)
        if (pages > 0) scrape.record('system.memory.linux.hugepages.utilization', count / pages, attributes)
      }
    }
  },
  portable(_config, { information }) {
    return async (scrape) => {
      const { total, free, available } = await information.mem()
      // Memory that is not free but can be used at once holds copies of files: the kernels call it inactive.
      const states = { used: total - available, free, inactive: Math.max(0, available - free) }
      for (const [state, bytes] of Object.entries(states)) {
        scrape.record('system.memory.usage', bytes, { state })
        scrape.record('system.memory.utilization', bytes / total, { state })
      }
      scrape.record('system.memory.limit', total)
    }
  },
})

/**
 * The kernel passes the page size to every process in its auxiliary vector, pairs of machine words; calling `getconf`
 * would take a process.
 */
function readPageSize(root: Root): number {
  const vector = root.bytes('proc/self/auxv')
  for (let offset = 0; offset + 16 <= vector.length; offset += 16) {
    if (readWord(vector, offset) === AT_PAGESZ) return Number(readWord(vector, offset + 8))
  }
  throw new Error('/proc/self/auxv does not contain the page size.')
}

/** All Linux builds of Node.js 20 except 32-bit ARM have 64-bit words. */
function readWord(bytes: Buffer, offset: number): bigint {
  return endianness() === 'LE' ? bytes.readBigUInt64LE(offset) : bytes.readBigUInt64BE(offset)
}
