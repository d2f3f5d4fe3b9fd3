import { findControlGroup } from '../../host/control_group.ts'
import type { ControlGroup } from '../../host/control_group.ts'
import { whole } from '../../host/numbers.ts'
import { forEachLine, inPart } from './proc_text.ts'
import type { Root } from './root.ts'
import { counter, defineScraper, gauge, upDownCounter } from './scraper.ts'
import type { Scrape } from './scraper.ts'

/** In these the kernel counts the time at which a process started, on every machine. Source: proc_pid_stat(5). */
const TICKS_PER_SECOND = 100

const pressure = {
  ...counter,
  unit: 's',
  value: 'double',
  attributes: ['system.linux.pressure.stall_type'],
  required: ['system.linux.pressure.stall_type'],
  on: 'linux',
} as const

const metrics = {
  'container.uptime': {
    ...gauge,
    doc: 'Seconds since the first process of the container started.',
    unit: 's',
    on: 'linux',
  },
  'container.cpu.time': {
    ...counter,
    doc: 'Seconds of CPU time used.',
    unit: 's',
    value: 'double',
    attributes: ['cpu.mode'],
    on: 'linux',
  },
  'container.cpu.usage': {
    ...gauge,
    doc: 'CPUs in use, from 0 to the number of CPUs, as the mean since the previous scrape.',
    unit: '{cpu}',
    enabled: true,
    on: 'linux',
  },
  'container.cpu.limit': {
    ...gauge,
    doc: 'CPUs that may be used. Without a limit there is no data point.',
    unit: '{cpu}',
    enabled: true,
    on: 'linux',
  },
  'container.cpu.throttling_data.periods': {
    ...counter,
    doc: 'Periods in which the limit was enforced.',
    unit: '{periods}',
    on: 'linux',
  },
  'container.cpu.throttling_data.throttled_periods': {
    ...counter,
    doc: 'Periods in which the limit was reached, so that processes had to wait.',
    unit: '{periods}',
    on: 'linux',
  },
  'container.cpu.throttling_data.throttled_time': {
    ...counter,
    doc: 'Nanoseconds that processes had to wait because of the limit.',
    unit: 'ns',
    on: 'linux',
  },
  'container.memory.usage': {
    ...upDownCounter,
    doc: 'Bytes of memory in use, the page cache included.',
    unit: 'By',
    on: 'linux',
  },
  'container.memory.working_set': {
    ...upDownCounter,
    doc: 'Bytes of memory in use, without page cache that can be reclaimed easily: the part that counts against the limit.',
    unit: 'By',
    on: 'linux',
  },
  'container.memory.rss': {
    ...upDownCounter,
    doc: 'Bytes of memory that are not in the page cache.',
    unit: 'By',
    enabled: false,
    on: 'linux',
  },
  'container.memory.usage.limit': {
    ...upDownCounter,
    doc: 'Bytes of memory that may be used. Without a limit there is no data point.',
    unit: 'By',
    on: 'linux',
  },
  'container.memory.available': {
    ...upDownCounter,
    doc: 'Bytes between the working set and the limit. Without a limit there is no data point.',
    unit: 'By',
    enabled: false,
    on: 'linux',
  },
  'container.paging.faults': {
    ...counter,
    doc: 'Page faults: `major` had to read from disk.',
    unit: '{fault}',
    attributes: ['system.paging.fault.type'],
    enabled: false,
    on: 'linux',
  },
  'container.disk.io': {
    ...counter,
    doc: 'Bytes read from and written to disks.',
    unit: 'By',
    attributes: ['disk.io.direction', 'system.device'],
    on: 'linux',
  },
  'container.pids.count': { ...upDownCounter, doc: 'Processes and threads.', unit: '{pids}', on: 'linux' },
  'container.pids.limit': {
    ...upDownCounter,
    doc: 'Processes and threads that may exist. Without a limit there is no data point.',
    unit: '{pids}',
    on: 'linux',
  },
  'container.cpu.linux.pressure.total': {
    ...pressure,
    doc: 'Seconds in which `some` of the processes, or all of them (`full`), waited for a CPU. Only with version 2 of cgroups, like the next two.',
  },
  'container.memory.linux.pressure.total': {
    ...pressure,
    doc: 'Seconds in which `some` of the processes, or all of them (`full`), waited for memory.',
  },
  'container.io.linux.pressure.total': {
    ...pressure,
    doc: 'Seconds in which `some` of the processes, or all of them (`full`), waited for a disk.',
  },
} as const

type ContainerScrape = Scrape<typeof metrics>

/** Reads the files of one controller and records their figures. It leaves out figures that they lack. */
type Part = (scrape: ContainerScrape, group: ControlGroup) => void

/** The container that this process itself runs in, whatever `root_path` says: other groups cannot be seen from within. */
export const container = defineScraper({
  doc: 'The container or service that this process runs in, from its control group (version 1 or 2): CPU time and throttling, memory, disks, processes, pressure. Independent of `root_path`. Sums start with the first process of the container.',
  metrics,
  settings: {},
  linux(_config, _root, own) {
    const parts: Readonly<Record<string, Part>> = {
      cpuacct: cpuTimeRecorder(own),
      cpu: recordCpuLimit,
      memory: recordMemory,
      blkio: (scrape, group) => recordDisks(scrape, group, own),
      pids: recordPids,
      '': recordPressure,
    }
    let groups: readonly (readonly [Part, ControlGroup])[] | undefined
    return (scrape) => {
      groups ??= Object.entries(parts).flatMap(([controller, part]) => {
        const group = findControlGroup(own, controller)
        return group === undefined ? [] : [[part, group] as const]
      })
      if (groups.length === 0)
        throw new Error('No mount of /proc/self/mountinfo shows the control group of this process.')
      inPart(scrape, () => recordStart(scrape, own))
      for (const [part, group] of groups) inPart(scrape, () => part(scrape, group))
    }
  },
})

function recordStart(scrape: ContainerScrape, own: Root): void {
  // `1 (name) S ...`, where the name may hold anything; the start is the 22nd field.
  const line = own.optionalText('proc/1/stat') ?? ''
  const ticks = line.slice(line.lastIndexOf(')') + 2).split(' ')[19]
  if (ticks === undefined) return
  if (!/^\d+$/.test(ticks)) throw new Error('/proc/1/stat does not say when the first process started.')
  const start = Number(ticks) / TICKS_PER_SECOND
  scrape.beginsAfterBoot(start)
  scrape.record('container.uptime', Math.max(0, uptime(own) - start))
}

/** Seconds since the boot. @throws when it cannot be read */
function uptime(own: Root): number {
  const [seconds] = own.text('proc/uptime').split(' ')
  if (!/^\d+(\.\d+)?$/.test(seconds)) throw new Error('/proc/uptime does not say how long the system has been running.')
  return Number(seconds)
}

function cpuTimeRecorder(own: Root): Part {
  let previous: { readonly used: number; readonly at: number } | undefined
  return (scrape, group) => {
    const { user, system } = cpuTime(scrape, group)
    scrape.record('container.cpu.time', user, { 'cpu.mode': 'user' })
    scrape.record('container.cpu.time', system, { 'cpu.mode': 'system' })
    if (user === undefined || system === undefined) return
    const now = { used: user + system, at: uptime(own) }
    if (previous !== undefined && now.at > previous.at) {
      scrape.record('container.cpu.usage', Math.max(0, now.used - previous.used) / (now.at - previous.at))
    }
    previous = now
  }
}

/** Seconds of CPU time. */
function cpuTime(scrape: ContainerScrape, group: ControlGroup) {
  if (group.version === 2) {
    const { user_usec: user, system_usec: system } = group.table('cpu.stat', scrape)
    return { user: user && user / 1e6, system: system && system / 1e6 }
  }
  const [user] = group.numbers('cpuacct.usage_user', scrape)
  const [system] = group.numbers('cpuacct.usage_sys', scrape)
  return { user: user && user / 1e9, system: system && system / 1e9 }
}

const recordCpuLimit: Part = (scrape, group) => {
  const { nr_periods, nr_throttled, throttled_usec, throttled_time } = group.table('cpu.stat', scrape)
  scrape.record('container.cpu.throttling_data.periods', nr_periods)
  scrape.record('container.cpu.throttling_data.throttled_periods', nr_throttled)
  scrape.record(
    'container.cpu.throttling_data.throttled_time',
    throttled_time ?? (throttled_usec && throttled_usec * 1000),
  )
  const [quota, period] =
    group.version === 2
      ? group.numbers('cpu.max', scrape)
      : [...group.numbers('cpu.cfs_quota_us', scrape), ...group.numbers('cpu.cfs_period_us', scrape)]
  if (quota !== undefined && period !== undefined) scrape.record('container.cpu.limit', quota / period)
}

const recordMemory: Part = (scrape, group) => {
  const { usage, limit, stat } = group.memory(scrape)
  scrape.record('container.memory.usage', usage)
  scrape.record('container.memory.usage.limit', limit)
  scrape.record('container.memory.rss', stat(group.version === 2 ? 'anon' : 'rss'))
  const inactive = stat('inactive_file')
  if (usage !== undefined && inactive !== undefined) {
    const workingSet = Math.max(0, usage - inactive)
    scrape.record('container.memory.working_set', workingSet)
    if (limit !== undefined) scrape.record('container.memory.available', Math.max(0, limit - workingSet))
  }
  const [faults, major] = [stat('pgfault'), stat('pgmajfault')]
  if (faults === undefined || major === undefined) return
  scrape.record('container.paging.faults', major, { 'system.paging.fault.type': 'major' })
  scrape.record('container.paging.faults', faults - major, { 'system.paging.fault.type': 'minor' })
}

function recordDisks(scrape: ContainerScrape, group: ControlGroup, own: Root): void {
  const record = (number: string, direction: string, bytes: number | bigint) => {
    scrape.record('container.disk.io', bytes, {
      'disk.io.direction': direction,
      'system.device': own.linkName(`sys/dev/block/${number}`) ?? number,
    })
  }
  if (group.version === 2) {
    // 8:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0
    forEachLine(scrape, 'io.stat', group.text('io.stat') ?? '', ([number, ...fields], figure) => {
      const bytes = new Map(fields.map((field) => field.split('=') as [string, string]))
      // If a disk was never used, its line has only the number.
      if (!bytes.has('rbytes')) return
      for (const direction of ['read', 'write']) {
        record(
          number,
          direction,
          figure(() => whole(bytes.get(`${direction[0]}bytes`))),
        )
      }
    })
    return
  }
  // 8:0 Read 4096, with a total behind the lines.
  const file = 'blkio.throttle.io_service_bytes'
  forEachLine(scrape, file, group.text(`${file}_recursive`) ?? group.text(file) ?? '', ([number, operation, bytes]) => {
    if (operation === 'Read' || operation === 'Write') record(number, operation.toLowerCase(), whole(bytes))
  })
}

const recordPids: Part = (scrape, group) => {
  scrape.record('container.pids.count', group.numbers('pids.current', scrape)[0])
  scrape.record('container.pids.limit', group.numbers('pids.max', scrape)[0])
}

const recordPressure: Part = (scrape, group) => {
  for (const resource of ['cpu', 'memory', 'io'] as const) {
    // some avg10=0.00 avg60=0.00 avg300=0.00 total=0. Source: the kernel's `Documentation/accounting/psi.rst`.
    const file = `${resource}.pressure`
    forEachLine(scrape, file, group.text(file) ?? '', ([type, ...fields]) => {
      const total = fields.find((field) => field.startsWith('total='))?.slice('total='.length)
      const attributes = { 'system.linux.pressure.stall_type': type }
      scrape.record(`container.${resource}.linux.pressure.total`, Number(whole(total)) / 1e6, attributes)
    })
  }
}
