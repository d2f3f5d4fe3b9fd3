import { endianness } from 'node:os'
import { whole } from '../../host/numbers.ts'
import { forEachLine } from './root.ts'
import type { Root } from './root.ts'
import { defineScraper } from './scraper.ts'

/** The entry of the auxiliary vector that holds the page size. Source: getauxval(3), `<elf.h>`. */
const AT_PAGESZ = 6n

export const memory = defineScraper({
  doc: 'Memory in use, by state.',
  metrics: {
    'system.memory.usage': {
      doc: 'Bytes of memory in each state. On Linux `slab_reclaimable` is part of `cached`, and `slab_unreclaimable` of `used`.',
      unit: 'By',
      type: 'sum',
      value: 'int',
      attributes: ['state'],
      required: ['state'],
      enabled: true,
    },
    'system.memory.utilization': {
      doc: 'Share of all memory in each state, from 0 to 1.',
      unit: '1',
      type: 'gauge',
      value: 'double',
      attributes: ['state'],
      required: ['state'],
      enabled: false,
    },
    'system.memory.limit': {
      doc: 'Bytes of memory the system has.',
      unit: 'By',
      type: 'sum',
      value: 'int',
      enabled: false,
    },
    'system.memory.page_size': {
      doc: 'Size of a memory page.',
      unit: 'By',
      type: 'gauge',
      value: 'int',
      enabled: false,
      on: 'linux',
    },
    'system.linux.memory.available': {
      doc: 'Estimate of the memory that new programs can take without swapping.',
      unit: 'By',
      type: 'sum',
      value: 'int',
      enabled: false,
      on: 'linux',
    },
    'system.linux.memory.dirty': {
      doc: 'Bytes that wait to be written to disk.',
      unit: 'By',
      type: 'sum',
      value: 'int',
      enabled: false,
      on: 'linux',
    },
    'system.memory.linux.shared': {
      doc: 'Bytes of shared memory, file systems in memory included.',
      unit: 'By',
      type: 'sum',
      value: 'int',
      enabled: false,
      on: 'linux',
    },
    'system.memory.linux.hugepages.limit': {
      doc: 'Number of huge pages there are.',
      unit: '{page}',
      type: 'sum',
      value: 'int',
      enabled: false,
      on: 'linux',
    },
    'system.memory.linux.hugepages.page_size': {
      doc: 'Size of a huge page.',
      unit: 'By',
      type: 'gauge',
      value: 'int',
      enabled: false,
      on: 'linux',
    },
    'system.memory.linux.hugepages.reserved': {
      doc: 'Number of huge pages that are promised but not yet in use; they count as free.',
      unit: '{page}',
      type: 'gauge',
      value: 'int',
      enabled: false,
      on: 'linux',
    },
    'system.memory.linux.hugepages.surplus': {
      doc: 'Number of huge pages beyond the configured number.',
      unit: '{page}',
      type: 'gauge',
      value: 'int',
      enabled: false,
      on: 'linux',
    },
    'system.memory.linux.hugepages.usage': {
      doc: 'Number of huge pages in each state.',
      unit: '{page}',
      type: 'sum',
      value: 'int',
      attributes: ['system.memory.linux.hugepages.state'],
      enabled: false,
      on: 'linux',
    },
    'system.memory.linux.hugepages.utilization': {
      doc: 'Share of the huge pages in each state, from 0 to 1.',
      unit: '1',
      type: 'gauge',
      value: 'double',
      attributes: ['system.memory.linux.hugepages.state'],
      enabled: false,
      on: 'linux',
    },
  },
  settings: {},
  linux(_config, root) {
    let pageSize: number | undefined
    return (scrape) => {
      const text = root.text('proc/meminfo')
      /** Bytes, and plain numbers for what has no unit. */
      const values: Record<string, number | undefined> = {}
      forEachLine(scrape, '/proc/meminfo', text, ([key, value, unit]) => {
        values[key] = Number(whole(value, unit === 'kB' ? 1024 : 1))
      })
      const { 'MemTotal:': total, 'MemFree:': free, 'Buffers:': buffered, 'Cached:': pageCache } = values
      const { 'SReclaimable:': reclaimable = 0, 'SUnreclaim:': unreclaimable } = values
      if (total === undefined || free === undefined || buffered === undefined || pageCache === undefined) {
        throw new Error('/proc/meminfo lacks one of MemTotal, MemFree, Buffers and Cached.')
      }
      // The collector's rule: reclaimable slabs count as cached, and what is neither free, buffered nor cached is used.
      const cached = pageCache + reclaimable
      const used = Math.max(0, total - free - buffered - cached)
      const states = { used, free, buffered, cached, slab_reclaimable: reclaimable, slab_unreclaimable: unreclaimable }
      for (const [state, bytes] of Object.entries(states)) {
        scrape.record('system.memory.usage', bytes, { state })
        scrape.record('system.memory.utilization', bytes && bytes / total, { state })
      }
      scrape.record('system.memory.limit', total)
      if (scrape.wants('system.memory.page_size')) {
        scrape.record('system.memory.page_size', (pageSize ??= readPageSize(root)))
      }
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
      // What is not free but can be had at once holds copies of files: the kernels call it inactive.
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
 * The kernel tells every process the page size in its auxiliary vector, pairs of machine words; asking `getconf` would
 * cost a process.
 */
function readPageSize(root: Root): number {
  const vector = root.bytes('proc/self/auxv')
  for (let offset = 0; offset + 16 <= vector.length; offset += 16) {
    if (readWord(vector, offset) === AT_PAGESZ) return Number(readWord(vector, offset + 8))
  }
  throw new Error('/proc/self/auxv does not say the page size.')
}

/** All of Node.js 20's Linux builds but 32-bit ARM have words of 64 bits. */
function readWord(bytes: Buffer, offset: number): bigint {
  return endianness() === 'LE' ? bytes.readBigUInt64LE(offset) : bytes.readBigUInt64BE(offset)
}
