import { Attributes } from '../otlp/common/attributes.ts'
import { Metric } from '../otlp/metrics/metric.ts'
import { NumberPoint } from '../otlp/metrics/points.ts'

/** The OpenTelemetry metrics of one host, or of one of its devices, for one time. */
interface Figures {
  /** The sum of the points in the given states, or of all points if no state is given; NaN if there is none. */
  readonly of: (metric: string, ...states: readonly string[]) => number
  /** The same per second of the time that a sum of differences covers; NaN if that is not known. */
  readonly rate: (metric: string, ...states: readonly string[]) => number
  /** `rate` of one device; NaN if the points of several devices were added up, so that the rate belongs to none. */
  readonly ofDevice: (metric: string) => number
}

/** A metric with the Datadog Agent's name and unit: a gauge, because the Agent sends the rates of its checks as gauges. */
interface AgentMetric {
  readonly name: string
  readonly unit: string
  /** The OpenTelemetry metrics that `value` reads, the preferred ones first. */
  readonly from: readonly string[]
  /** `value` in words. */
  readonly formula: string
  /** In `unit`; NaN or infinite if there is nothing to send. */
  readonly value: (figures: Figures) => number
}

/** Metrics that are read together. Those of the host have no tags of their own; others have those of the device. */
interface AgentMetrics {
  readonly title: string
  readonly of: 'host' | 'device'
  readonly metrics: readonly AgentMetric[]
}

/** The sizes of units that are not those of OpenTelemetry. */
const SIZES: Readonly<Record<string, number | undefined>> = {
  MiB: 2 ** 20,
  'MiB/s': 2 ** 20,
  KiB: 2 ** 10,
  'KiB/s': 2 ** 10,
}
const SECTOR = 512
/** The Agent's page size, the same on every machine. Source: gopsutil, mem/mem_linux.go, `SwapMemory`. */
const PAGE = 4096
const MILLISECONDS = 1000

const CPU = 'system.cpu.time'
const CPU_SHARES = 'system.cpu.utilization'
const CPUS = 'system.cpu.logical.count'
const MEMORY = 'system.memory.usage'
const MEMORY_SHARES = 'system.memory.utilization'
const MEMORY_LIMIT = 'system.memory.limit'
const MEMORY_AVAILABLE = 'system.linux.memory.available'
const MEMORY_SHARED = 'system.memory.linux.shared'
const SWAP = 'system.paging.usage'
const SWAP_SHARES = 'system.paging.utilization'
const PAGING = 'system.paging.operations'
const DISK_IO = 'system.disk.io'
const DISK_OPERATIONS = 'system.disk.operations'
const DISK_MERGED = 'system.disk.merged'
const DISK_TIME = 'system.disk.operation_time'
const DISK_BUSY = 'system.disk.io_time'
const DISK_WEIGHTED = 'system.disk.weighted_io_time'

/**
 * Source: datadog-agent (2026), pkg/collector/corechecks: system/cpu/cpu/cpu.go, system/cpu/load/load.go,
 * system/memory/memory_nix.go, system/disk/diskv2/disk.go, system/disk/io/iostats_nix.go, net/networkv2/network.go; that
 * a rate leaves the Agent as a gauge: pkg/metrics/rate.go.
 */
export const agentMetrics: readonly AgentMetrics[] = [
  {
    title: 'CPU, load and uptime',
    of: 'host',
    metrics: [
      cpuShare('user', 'user', 'nice'),
      cpuShare('system', 'system', 'interrupt', 'softirq'),
      cpuShare('interrupt', 'interrupt', 'softirq'),
      cpuShare('iowait', 'wait'),
      cpuShare('idle', 'idle'),
      cpuShare('stolen', 'steal'),
      metric('system.cpu.num_cores', 'cores', [CPUS], 'as it is', ({ of }) => of(CPUS)),
      ...['1', '5', '15'].flatMap((minutes) => {
        const load = `system.cpu.load_average.${minutes}m`
        return [
          metric(`system.load.${minutes}`, 'threads', [load], 'as it is', ({ of }) => of(load)),
          metric(
            `system.load.norm.${minutes}`,
            'threads',
            [load, CPUS],
            'load / CPUs',
            ({ of }) => of(load) / of(CPUS),
          ),
        ]
      }),
      metric('system.uptime', 's', ['system.uptime'], 'as it is', ({ of }) => of('system.uptime')),
    ],
  },
  {
    title: 'Memory and swap',
    of: 'host',
    metrics: [
      metric(
        'system.mem.total',
        'MiB',
        [MEMORY_LIMIT, MEMORY, MEMORY_SHARES],
        'limit, else usage / utilization, else used + free + inactive if nothing is cached',
        memoryTotal,
      ),
      memory('free', 'free'),
      metric(
        'system.mem.used',
        'MiB',
        [MEMORY_LIMIT, MEMORY, MEMORY_SHARES],
        'total - free',
        (figures) => memoryTotal(figures) - memoryIn(figures, 'free'),
      ),
      metric(
        'system.mem.usable',
        'MiB',
        [MEMORY_AVAILABLE, MEMORY_LIMIT, MEMORY, MEMORY_SHARES],
        'available, else total - used, else free + buffered + cached + inactive',
        memoryUsable,
      ),
      metric(
        'system.mem.pct_usable',
        '0 to 1',
        [MEMORY_AVAILABLE, MEMORY_LIMIT, MEMORY, MEMORY_SHARES],
        'usable / total, else 1 - used',
        (figures) => known(memoryUsable(figures) / memoryTotal(figures)) ?? 1 - figures.of(MEMORY_SHARES, 'used'),
      ),
      memory('cached', 'cached'),
      memory('buffered', 'buffered'),
      memory('slab', 'slab_reclaimable', 'slab_unreclaimable'),
      memory('slab_reclaimable', 'slab_reclaimable'),
      mebibytes('system.mem.shared', MEMORY_SHARED),
      metric('system.swap.total', 'MiB', [SWAP], 'used + free + cached', (figures) => whole(figures, SWAP, 'cached')),
      mebibytes('system.swap.free', SWAP, 'free'),
      mebibytes('system.swap.used', SWAP, 'used'),
      mebibytes('system.swap.cached', SWAP, 'cached'),
      metric(
        'system.swap.pct_free',
        '0 to 1',
        [SWAP, SWAP_SHARES],
        'free / (used + free + cached)',
        (figures) => known(figures.of(SWAP, 'free') / whole(figures, SWAP, 'cached')) ?? freeShareOfSwap(figures),
      ),
      swapped('in'),
      swapped('out'),
    ],
  },
  {
    title: 'File systems',
    of: 'device',
    metrics: [
      ...fileSystem('system.disk', 'KiB', 'system.filesystem.usage', 'system.filesystem.utilization'),
      ...fileSystem('system.fs.inodes', 'inodes', 'system.filesystem.inodes.usage'),
    ],
  },
  {
    title: 'Disks',
    of: 'device',
    metrics: [
      perSecond('system.io.r_s', 'reads/s', DISK_OPERATIONS, 'read'),
      perSecond('system.io.w_s', 'writes/s', DISK_OPERATIONS, 'write'),
      perSecond('system.io.rrqm_s', 'reads/s', DISK_MERGED, 'read'),
      perSecond('system.io.wrqm_s', 'writes/s', DISK_MERGED, 'write'),
      metric('system.io.rkb_s', 'KiB/s', [DISK_IO], 'read / s / 1024', ({ rate }) => rate(DISK_IO, 'read')),
      metric('system.io.wkb_s', 'KiB/s', [DISK_IO], 'write / s / 1024', ({ rate }) => rate(DISK_IO, 'write')),
      metric('system.io.util', '%', [DISK_BUSY], '100 * time / s', ({ ofDevice }) => 100 * ofDevice(DISK_BUSY)),
      metric('system.io.avg_q_sz', 'requests', [DISK_WEIGHTED], 'time / s', ({ ofDevice }) => ofDevice(DISK_WEIGHTED)),
      wait('system.io.await', 'read', 'write'),
      wait('system.io.r_await', 'read'),
      wait('system.io.w_await', 'write'),
      metric('system.io.svctm', 'ms', [DISK_BUSY, DISK_OPERATIONS], '1000 * time / operations', ({ of }) =>
        each(MILLISECONDS * of(DISK_BUSY), of(DISK_OPERATIONS, 'read', 'write')),
      ),
      metric('system.io.avg_rq_sz', 'sectors', [DISK_IO, DISK_OPERATIONS], 'bytes / 512 / operations', ({ of }) =>
        each(of(DISK_IO, 'read', 'write') / SECTOR, of(DISK_OPERATIONS, 'read', 'write')),
      ),
    ],
  },
  {
    title: 'Networks',
    of: 'device',
    metrics: [
      perSecond('system.net.bytes_rcvd', 'bytes/s', 'system.network.io', 'receive'),
      perSecond('system.net.bytes_sent', 'bytes/s', 'system.network.io', 'transmit'),
      perSecond('system.net.packets_in.count', 'packets/s', 'system.network.packets', 'receive'),
      perSecond('system.net.packets_in.error', 'errors/s', 'system.network.errors', 'receive'),
      perSecond('system.net.packets_in.drop', 'packets/s', 'system.network.dropped', 'receive'),
      perSecond('system.net.packets_out.count', 'packets/s', 'system.network.packets', 'transmit'),
      perSecond('system.net.packets_out.error', 'errors/s', 'system.network.errors', 'transmit'),
      perSecond('system.net.packets_out.drop', 'packets/s', 'system.network.dropped', 'transmit'),
    ],
  },
]

function metric(
  name: string,
  unit: string,
  from: readonly string[],
  formula: string,
  value: AgentMetric['value'],
): AgentMetric {
  const size = SIZES[unit] ?? 1
  return { name, unit, from, formula, value: (figures) => value(figures) / size }
}

function mebibytes(name: string, from: string, ...states: readonly string[]): AgentMetric {
  return metric(name, 'MiB', [from], states.join(' + ') || 'as it is', ({ of }) => of(from, ...states))
}

function perSecond(name: string, unit: string, from: string, direction: string): AgentMetric {
  return metric(name, unit, [from], `${direction} / s`, ({ rate }) => rate(from, direction))
}

/** Pages between memory and swap space are `major` operations; `minor` ones are those of files, in other units. */
function swapped(direction: 'in' | 'out'): AgentMetric {
  const pages = `major page_${direction}`
  const formula = `4096 * ${pages} / s / 1048576`
  return metric(`system.swap.swap_${direction}`, 'MiB/s', [PAGING], formula, ({ rate }) => PAGE * rate(PAGING, pages))
}

/** Of the time of all CPUs together, or of their shares, which are 1 for each. */
function cpuShare(name: string, ...states: readonly string[]): AgentMetric {
  const formula = `100 * ${states.length > 1 ? `(${states.join(' + ')})` : states[0]} / all states, over all CPUs`
  return metric(`system.cpu.${name}`, '%', [CPU, CPU_SHARES], formula, ({ of }) => {
    // Without the idle time, the other states do not add up to the whole.
    const share = (from: string) => (Number.isNaN(of(from, 'idle')) ? NaN : (100 * of(from, ...states)) / of(from))
    return known(share(CPU)) ?? share(CPU_SHARES)
  })
}

function memory(name: string, ...states: readonly string[]): AgentMetric {
  const from = [MEMORY, MEMORY_SHARES, MEMORY_LIMIT]
  return metric(`system.mem.${name}`, 'MiB', from, states.join(' + '), (figures) => memoryIn(figures, ...states))
}

/** Milliseconds that an operation took, waiting included. */
function wait(name: string, ...directions: readonly string[]): AgentMetric {
  const formula = `1000 * time / operations, ${directions.join(' + ')}`
  return metric(name, 'ms', [DISK_TIME, DISK_OPERATIONS], formula, ({ of }) =>
    each(MILLISECONDS * of(DISK_TIME, ...directions), of(DISK_OPERATIONS, ...directions)),
  )
}

/** As the Agent counts: reserved space is neither free nor in use, and file systems without any space are left out. */
function fileSystem(prefix: string, unit: string, from: string, ...shares: readonly string[]): readonly AgentMetric[] {
  const all = (figures: Figures): number => whole(figures, from, 'reserved') || NaN
  const inUse = ({ of }: Figures): number => {
    const used = known(of(from, 'used') / (of(from, 'used') + of(from, 'free')))
    return used ?? (shares.length === 0 ? NaN : of(shares[0]))
  }
  const part = (name: string): AgentMetric =>
    metric(`${prefix}.${name}`, unit, [from], name, (figures) =>
      Number.isNaN(all(figures)) ? NaN : figures.of(from, name),
    )
  return [
    metric(`${prefix}.total`, unit, [from], 'used + free + reserved', all),
    part('used'),
    part('free'),
    metric(`${prefix}.in_use`, '0 to 1', [from, ...shares], 'used / (used + free)', inUse),
    metric(
      `${prefix}.utilized`,
      '%',
      [from, ...shares],
      '100 * used / (used + free)',
      (figures) => 100 * inUse(figures),
    ),
  ]
}

/** Used, free and the other state; NaN if one of the first two is not known, because the rest is not the whole then. */
function whole({ of }: Figures, metric: string, other: string): number {
  return of(metric, 'used') + of(metric, 'free') + (known(of(metric, other)) ?? 0)
}

/** Bytes of memory in the given states; if only their shares are known, those shares of the limit. */
function memoryIn({ of }: Figures, ...states: readonly string[]): number {
  return known(of(MEMORY, ...states)) ?? of(MEMORY_SHARES, ...states) * of(MEMORY_LIMIT)
}

/**
 * If memory is cached, its states do not show how much there is: `used` may be the memory that is not available, as in
 * the Collector from 0.142 at the latest, or the memory that is neither free, buffered nor cached, as before, and
 * nothing says which. An amount and its share do show it.
 */
function memoryTotal(figures: Figures): number {
  const { of } = figures
  const limit = known(of(MEMORY_LIMIT))
  if (limit !== undefined) return limit
  const totals = ['used', 'free', 'cached'].map((state) => of(MEMORY, state) / of(MEMORY_SHARES, state))
  const total = totals.find(Number.isFinite)
  if (total !== undefined) return Math.round(total)
  return Number.isNaN(of(MEMORY, 'buffered', 'cached')) ? whole(figures, MEMORY, 'inactive') : NaN
}

/**
 * All memory that is not `used`, in either meaning: the memory that the kernel calls available, or all that is free,
 * buffered and cached.
 */
function memoryUsable(figures: Figures): number {
  return (
    known(figures.of(MEMORY_AVAILABLE)) ??
    known(memoryTotal(figures) - memoryIn(figures, 'used')) ??
    memoryIn(figures, 'free', 'buffered', 'cached', 'inactive')
  )
}

/** For one device; the shares of several do not show how large each is. */
function freeShareOfSwap(figures: Figures): number {
  const devices = whole(figures, SWAP_SHARES, 'cached')
  return Math.round(devices) === 1 ? figures.of(SWAP_SHARES, 'free') / devices : NaN
}

function known(figure: number): number | undefined {
  return Number.isNaN(figure) ? undefined : figure
}

/** An average over `count`: 0 if there was none, as in the Agent. */
function each(sum: number, count: number): number {
  return count === 0 ? 0 : sum / count
}

/** By the name of an OpenTelemetry metric: the metrics that are read together with it. */
const readWith: ReadonlyMap<string, AgentMetrics> = new Map(
  agentMetrics.flatMap((group) => group.metrics.flatMap(({ from }) => from.map((name) => [name, group] as const))),
)

/** The attributes that distinguish states and directions, by their current names and those of the newer semantic conventions. */
const STATES: ReadonlySet<string> = new Set([
  'state',
  'direction',
  'cpu.mode',
  'system.cpu.state',
  'system.memory.state',
  'system.paging.state',
  'system.paging.direction',
  'system.filesystem.state',
  'disk.io.direction',
  'network.io.direction',
])
/** Newer words for a state. */
const OLDER_STATES: Readonly<Record<string, string | undefined>> = {
  iowait: 'wait',
  kernel: 'system',
  buffers: 'buffered',
  in: 'page_in',
  out: 'page_out',
}
/** The attributes that further divide the states of operations between memory and disk. */
const KINDS_OF_PAGING = ['type', 'system.paging.type', 'system.paging.fault.type'] as const
const DEVICES = ['device', 'system.device', 'network.interface.name'] as const

const byName = new Map(agentMetrics.flatMap(({ metrics }) => metrics).map((metric) => [metric.name, metric]))

/** The OpenTelemetry metrics that one of the Agent's metrics is made from; empty if it is not one of these. */
export function sourcesOf(name: string): readonly string[] {
  return byName.get(name)?.from ?? []
}

/** Whether a metric of this OpenTelemetry name is part of any of the Agent's metrics. */
export function isRead(name: string): boolean {
  return readWith.has(name)
}

/**
 * The Agent's metrics for one host, made from its OpenTelemetry metrics. Sums must be differences, because rates are
 * made from them. `used`: the names of the metrics that were used completely: the Agent has no name for pages from
 * files.
 */
export function toAgentMetrics(metrics: Iterable<Metric>): { metrics: readonly Metric[]; used: ReadonlySet<string> } {
  const points = new Map<string, NumberPoint[]>()
  const used = new Set<string>()
  for (const [group, readings] of read(metrics)) {
    for (const { figures, read, attributes, timeUnixNano } of readings) {
      for (const { name, value } of group.metrics) {
        read.clear()
        const result = value(figures)
        if (!Number.isFinite(result)) continue
        for (const source of read) if (source !== PAGING) used.add(source)
        const point = new NumberPoint({ value: result, isInt: false, attributes, timeUnixNano })
        const others = points.get(name)
        if (others === undefined) points.set(name, [point])
        else others.push(point)
      }
    }
  }
  return { metrics: Array.from(points, ([name, of]) => new Metric({ name, type: 'gauge', points: of })), used }
}

interface Reading {
  readonly timeUnixNano: bigint
  readonly attributes: Attributes
  readonly figures: Figures
  /** The metrics that a figure was read from. */
  readonly read: Set<string>
  readonly add: (metric: string, state: string | undefined, value: number, seconds: number) => void
}

/** The readings of each group: one for each time and, if the group is of devices, each device. */
function read(metrics: Iterable<Metric>): Iterable<[AgentMetrics, Iterable<Reading>]> {
  const groups = new Map<AgentMetrics, Map<string, Reading>>()
  for (const metric of metrics) {
    const group = readWith.get(metric.name)
    if (group === undefined || (metric.type !== 'gauge' && metric.type !== 'sum')) continue
    let readings = groups.get(group)
    if (readings === undefined) groups.set(group, (readings = new Map<string, Reading>()))
    for (const point of metric.points as readonly NumberPoint[]) {
      const { attributes, timeUnixNano, startTimeUnixNano } = point
      const own = group.of === 'host' ? Attributes.empty : attributes.without(STATES)
      const key = `${timeUnixNano} ${own.identity}`
      let reading = readings.get(key)
      if (reading === undefined) readings.set(key, (reading = newReading(timeUnixNano, withDevice(own))))
      const covered = metric.temporality === 'delta' && startTimeUnixNano > 0n ? timeUnixNano - startTimeUnixNano : 0n
      reading.add(metric.name, stateOf(metric.name, attributes), Number(point.value), Number(covered) / 1e9)
    }
  }
  return Array.from(groups, ([group, readings]) => [group, readings.values()])
}

function stateOf(metric: string, attributes: Attributes): string | undefined {
  for (const { key } of attributes) {
    if (!STATES.has(key)) continue
    const word = attributes.text(key) as string
    const state = OLDER_STATES[word] ?? word
    if (metric !== PAGING) return state
    const kind = KINDS_OF_PAGING.find((one) => attributes.has(one))
    return kind === undefined ? state : `${attributes.text(kind)} ${state}`
  }
  return undefined
}

/** The tags of a device: `device` and, as the Agent adds it, `device_name`, the last part of its path. */
function withDevice(attributes: Attributes): Attributes {
  const key = DEVICES.find((name) => attributes.has(name))
  if (key === undefined) return attributes
  const device = attributes.text(key) as string
  return attributes.with({ device, device_name: device.slice(device.lastIndexOf('/') + 1) })
}

function newReading(timeUnixNano: bigint, attributes: Attributes): Reading {
  const amounts = new Map<string, number>()
  const rates = new Map<string, number>()
  const read = new Set<string>()
  const sum =
    (values: ReadonlyMap<string, number>) =>
    (metric: string, ...states: readonly string[]): number => {
      const keys = states.length === 0 ? [metric] : states.map((state) => `${metric} ${state}`)
      const present = keys.flatMap((key) => values.get(key) ?? [])
      if (present.length === 0) return NaN
      read.add(metric)
      return present.reduce((all, value) => all + value)
    }
  return {
    timeUnixNano,
    attributes,
    figures: {
      of: sum(amounts),
      rate: sum(rates),
      ofDevice: (metric) => (attributes.has('device') ? sum(rates)(metric) : NaN),
    },
    read,
    add(metric, state, value, seconds) {
      for (const key of state === undefined ? [metric] : [metric, `${metric} ${state}`]) {
        amounts.set(key, (amounts.get(key) ?? 0) + value)
        rates.set(key, (rates.get(key) ?? 0) + value / (seconds > 0 ? seconds : NaN))
      }
    },
  }
}
