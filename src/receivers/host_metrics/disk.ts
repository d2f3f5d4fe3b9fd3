import { whole } from '../../host/numbers.ts'
import { atLeast, forEachLine } from './proc_text.ts'
import { counter, defineScraper, upDownCounter } from './scraper.ts'
import { selectionSettings, selector } from './selection.ts'

/**
 * The unit of the amounts in `/proc/diskstats`, whatever the disk's own is. Source: the kernel's
 * `Documentation/admin-guide/iostats.rst`.
 */
const SECTOR_BYTES = 512

const perDirection = { ...counter, attributes: ['device', 'direction'], on: 'linux' } as const

export const disk = defineScraper({
  doc: 'Reads and writes of the disks and partitions. Devices that were never used are left out.',
  metrics: {
    'system.disk.io': { ...perDirection, doc: 'Bytes read and written.', unit: 'By' },
    'system.disk.operations': { ...perDirection, doc: 'Reads and writes.', unit: '{operations}' },
    'system.disk.io_time': {
      ...counter,
      doc: 'Seconds in which the disk was busy.',
      unit: 's',
      value: 'double',
      attributes: ['device'],
      on: 'linux',
    },
    'system.disk.operation_time': {
      ...perDirection,
      doc: 'Seconds spent on reads and writes; concurrent ones are added up.',
      unit: 's',
      value: 'double',
    },
    'system.disk.weighted_io_time': {
      ...counter,
      doc: 'Seconds in which the disk was busy, times the operations that waited.',
      unit: 's',
      value: 'double',
      attributes: ['device'],
      on: 'linux',
    },
    'system.disk.pending_operations': {
      ...upDownCounter,
      doc: 'Operations in progress.',
      unit: '{operations}',
      attributes: ['device'],
      on: 'linux',
    },
    'system.disk.merged': {
      ...perDirection,
      doc: 'Reads and writes that were merged with an adjacent one.',
      unit: '{operations}',
    },
  },
  overlapping: { attribute: 'device', reason: 'a partition is a device of its own, in addition to its disk' },
  settings: {
    include: selectionSettings('devices', 'The only devices to collect, such as `sda`; all when empty.'),
    exclude: selectionSettings('devices', 'Devices to leave out, such as `^loop` with `match_type: regexp`.'),
  },
  linux({ include, exclude }, root) {
    const selected = selector('devices', include, exclude)
    return (scrape) => {
      forEachLine(scrape, '/proc/diskstats', root.text('proc/diskstats'), ([, , device, ...fields], figure) => {
        atLeast(11, fields)
        const count = (index: number, factor?: number) => figure(() => whole(fields[index], factor))
        /** From milliseconds. */
        const seconds = (index: number) => Number(count(index)) / 1000
        if (!selected(device) || fields.every((field) => field === '0')) return
        for (const [direction, first] of [
          ['read', 0],
          ['write', 4],
        ] as const) {
          scrape.record('system.disk.io', count(first + 2, SECTOR_BYTES), { device, direction })
          scrape.record('system.disk.operations', count(first), { device, direction })
          scrape.record('system.disk.operation_time', seconds(first + 3), { device, direction })
          scrape.record('system.disk.merged', count(first + 1), { device, direction })
        }
        scrape.record('system.disk.io_time', seconds(9), { device })
        scrape.record('system.disk.weighted_io_time', seconds(10), { device })
        scrape.record('system.disk.pending_operations', count(8), { device })
      })
    }
  },
})
