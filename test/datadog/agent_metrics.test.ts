import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from '@jest/globals'
import { agentMetrics, toAgentMetrics } from '../../src/datadog/agent_metrics.ts'
import { Attributes } from '../../src/otlp/common/attributes.ts'
import { Metric } from '../../src/otlp/metrics/metric.ts'
import { NumberPoint } from '../../src/otlp/metrics/points.ts'
import { scrapers } from '../../src/receivers/host_metrics/receiver.ts'

const SECOND = 1_000_000_000n
const NOON = 1_767_268_800n * SECOND
const MIB = 1024 * 1024

type Points = readonly (readonly [value: number, attributes?: Record<string, string>])[]

/** A gauge, or a sum that goes up and down. */
function level(name: string, points: Points, time = NOON): Metric {
  return new Metric({
    name,
    type: 'gauge',
    points: points.map(
      ([value, attributes = {}]) =>
        new NumberPoint({ value, timeUnixNano: time, attributes: Attributes.of(attributes) }),
    ),
  })
}

/** What was counted in `seconds`. */
function counted(name: string, points: Points, seconds = 10, time = NOON): Metric {
  const start = time - BigInt(seconds * 1e9)
  return new Metric({
    name,
    type: 'sum',
    monotonic: true,
    temporality: 'delta',
    points: points.map(
      ([value, attributes = {}]) =>
        new NumberPoint({
          value,
          timeUnixNano: time,
          startTimeUnixNano: start,
          attributes: Attributes.of(attributes),
        }),
    ),
  })
}

const directed = (
  first: number,
  second: number,
  device: string,
  [one, other]: readonly [string, string] = ['read', 'write'],
): Points => [
  [first, { device, direction: one }],
  [second, { device, direction: other }],
]
const DIRECTIONS = ['receive', 'transmit'] as const

/** What the host-metrics receiver says of a machine with two CPUs, a disk, a file system and a network. */
const machine: readonly Metric[] = [
  // Twenty seconds of two CPUs.
  counted('system.cpu.time', [
    [2, { cpu: 'cpu0', state: 'user' }],
    [1, { cpu: 'cpu1', state: 'user' }],
    [1, { cpu: 'cpu0', state: 'nice' }],
    [0.5, { cpu: 'cpu0', state: 'system' }],
    [0.3, { cpu: 'cpu0', state: 'interrupt' }],
    [0.2, { cpu: 'cpu1', state: 'softirq' }],
    [1.5, { cpu: 'cpu1', state: 'wait' }],
    [0.5, { cpu: 'cpu1', state: 'steal' }],
    [6, { cpu: 'cpu0', state: 'idle' }],
    [7, { cpu: 'cpu1', state: 'idle' }],
  ]),
  level('system.cpu.logical.count', [[2]]),
  level('system.cpu.load_average.1m', [[3]]),
  level('system.cpu.load_average.5m', [[2]]),
  level('system.cpu.load_average.15m', [[0.5]]),
  level('system.uptime', [[1234.5]]),
  level('system.memory.usage', [
    [500 * MIB, { state: 'used' }],
    [200 * MIB, { state: 'free' }],
    [50 * MIB, { state: 'buffered' }],
    [250 * MIB, { state: 'cached' }],
    [30 * MIB, { state: 'slab_reclaimable' }],
    [20 * MIB, { state: 'slab_unreclaimable' }],
  ]),
  level('system.memory.limit', [[1000 * MIB]]),
  level('system.linux.memory.available', [[450 * MIB]]),
  level('system.memory.linux.shared', [[1.5 * MIB]]),
  level('system.paging.usage', [
    [10 * MIB, { device: '/dev/sdb1', state: 'used' }],
    [90 * MIB, { device: '/dev/sdb1', state: 'free' }],
    [40 * MIB, { device: '/swap', state: 'used' }],
    [60 * MIB, { device: '/swap', state: 'free' }],
  ]),
  counted('system.paging.operations', [
    [2560, { type: 'major', direction: 'page_in' }],
    [5120, { type: 'major', direction: 'page_out' }],
    [7, { type: 'minor', direction: 'page_in' }],
    [9, { type: 'minor', direction: 'page_out' }],
  ]),
  level(
    'system.filesystem.usage',
    ['used', 'free', 'reserved'].map((state, index) => [
      [300, 100, 112][index] * 1024,
      { device: '/dev/sda1', mountpoint: '/', type: 'ext4', mode: 'rw', state },
    ]),
  ),
  level('system.filesystem.inodes.usage', [
    [25, { device: '/dev/sda1', mountpoint: '/', type: 'ext4', mode: 'rw', state: 'used' }],
    [75, { device: '/dev/sda1', mountpoint: '/', type: 'ext4', mode: 'rw', state: 'free' }],
  ]),
  counted('system.disk.io', directed(512_000, 1_024_000, 'sda')),
  counted('system.disk.operations', directed(100, 300, 'sda')),
  counted('system.disk.merged', directed(5, 10, 'sda')),
  counted('system.disk.operation_time', directed(0.2, 1.2, 'sda')),
  counted('system.disk.io_time', [[2.5, { device: 'sda' }]]),
  counted('system.disk.weighted_io_time', [[3, { device: 'sda' }]]),
  counted('system.network.io', directed(1005, 2000, 'eth0', DIRECTIONS)),
  counted('system.network.packets', directed(10, 20, 'eth0', DIRECTIONS)),
  counted('system.network.errors', directed(1, 2, 'eth0', DIRECTIONS)),
  counted('system.network.dropped', directed(3, 4, 'eth0', DIRECTIONS)),
]

const fileSystem = { device: '/dev/sda1', mountpoint: '/', type: 'ext4', mode: 'rw', device_name: 'sda1' }
const sda = { device: 'sda', device_name: 'sda' }
const eth0 = { device: 'eth0', device_name: 'eth0' }

const expected: readonly (readonly [name: string, value: number, attributes: Record<string, string>])[] = [
  ['system.cpu.user', 20, {}],
  ['system.cpu.system', 5, {}],
  ['system.cpu.interrupt', 2.5, {}],
  ['system.cpu.iowait', 7.5, {}],
  ['system.cpu.idle', 65, {}],
  ['system.cpu.stolen', 2.5, {}],
  ['system.cpu.num_cores', 2, {}],
  ['system.load.1', 3, {}],
  ['system.load.norm.1', 1.5, {}],
  ['system.load.5', 2, {}],
  ['system.load.norm.5', 1, {}],
  ['system.load.15', 0.5, {}],
  ['system.load.norm.15', 0.25, {}],
  ['system.uptime', 1234.5, {}],
  ['system.mem.total', 1000, {}],
  ['system.mem.free', 200, {}],
  ['system.mem.used', 800, {}],
  ['system.mem.usable', 450, {}],
  ['system.mem.pct_usable', 0.45, {}],
  ['system.mem.cached', 250, {}],
  ['system.mem.buffered', 50, {}],
  ['system.mem.slab', 50, {}],
  ['system.mem.slab_reclaimable', 30, {}],
  ['system.mem.shared', 1.5, {}],
  ['system.swap.total', 200, {}],
  ['system.swap.free', 150, {}],
  ['system.swap.used', 50, {}],
  ['system.swap.pct_free', 0.75, {}],
  ['system.swap.swap_in', 1, {}],
  ['system.swap.swap_out', 2, {}],
  ['system.disk.total', 512, fileSystem],
  ['system.disk.used', 300, fileSystem],
  ['system.disk.free', 100, fileSystem],
  ['system.disk.in_use', 0.75, fileSystem],
  ['system.disk.utilized', 75, fileSystem],
  ['system.fs.inodes.total', 100, fileSystem],
  ['system.fs.inodes.used', 25, fileSystem],
  ['system.fs.inodes.free', 75, fileSystem],
  ['system.fs.inodes.in_use', 0.25, fileSystem],
  ['system.fs.inodes.utilized', 25, fileSystem],
  ['system.io.r_s', 10, sda],
  ['system.io.w_s', 30, sda],
  ['system.io.rrqm_s', 0.5, sda],
  ['system.io.wrqm_s', 1, sda],
  ['system.io.rkb_s', 50, sda],
  ['system.io.wkb_s', 100, sda],
  ['system.io.util', 25, sda],
  ['system.io.avg_q_sz', 0.3, sda],
  ['system.io.await', 3.5, sda],
  ['system.io.r_await', 2, sda],
  ['system.io.w_await', 4, sda],
  ['system.io.svctm', 6.25, sda],
  ['system.io.avg_rq_sz', 7.5, sda],
  ['system.net.bytes_rcvd', 100.5, eth0],
  ['system.net.bytes_sent', 200, eth0],
  ['system.net.packets_in.count', 1, eth0],
  ['system.net.packets_in.error', 0.1, eth0],
  ['system.net.packets_in.drop', 0.3, eth0],
  ['system.net.packets_out.count', 2, eth0],
  ['system.net.packets_out.error', 0.2, eth0],
  ['system.net.packets_out.drop', 0.4, eth0],
]

/** Name, value and attributes of every point, each a gauge of a double. */
function made(metrics: readonly Metric[]): [string, number, object][] {
  return toAgentMetrics(metrics).metrics.flatMap(({ name, type, points }) =>
    (points as readonly NumberPoint[]).map((point): [string, number, object] => {
      expect([type, point.isInt]).toEqual(['gauge', false])
      return [name, Number(Number(point.value).toPrecision(12)), point.attributes.toObject()]
    }),
  )
}

const valuesOf = (metrics: readonly Metric[]) => Object.fromEntries(made(metrics).map(([name, value]) => [name, value]))

describe("the Agent's metrics of a machine", () => {
  it.each(expected)('have %s, %d', (name, value, attributes) => {
    expect(made(machine)).toContainEqual([name, value, attributes])
  })

  it('are these and no others, all of the time of what they were made from', () => {
    expect(made(machine).map(([name]) => name)).toEqual(expected.map(([name]) => name))
    const times = toAgentMetrics(machine).metrics.flatMap(({ points }) => points.map((point) => point.timeUnixNano))
    expect(new Set(times)).toEqual(new Set([NOON]))
  })

  it('are all of the table but the swap space that is also in memory, of which this machine says nothing', () => {
    const names = agentMetrics.flatMap(({ metrics }) => metrics.map(({ name }) => name))
    expect(names.filter((name) => !expected.some(([one]) => one === name))).toEqual(['system.swap.cached'])
    expect(new Set(names).size).toBe(names.length)
  })

  it('use every metric they are made from, each of which the host-metrics receiver has', () => {
    const { used } = toAgentMetrics(machine)
    const wholly = machine.map(({ name }) => name).filter((name) => name !== 'system.paging.operations')
    expect([...used].sort()).toEqual(wholly.sort())
    const known = Object.values(scrapers).flatMap((scraper) => Object.keys(scraper.metrics))
    expect([...used].filter((name) => !known.includes(name))).toEqual([])
  })
})

describe('what can be said of less', () => {
  const without = (...names: string[]) => valuesOf(machine.filter(({ name }) => !names.includes(name)))

  it('is the memory of other systems than Linux', () => {
    const usage = level('system.memory.usage', [
      [6 * MIB, { state: 'used' }],
      [1 * MIB, { state: 'free' }],
      [3 * MIB, { state: 'inactive' }],
    ])
    expect(valuesOf([usage])).toEqual({
      'system.mem.total': 10,
      'system.mem.free': 1,
      'system.mem.used': 9,
      'system.mem.usable': 4,
      'system.mem.pct_usable': 0.4,
    })
  })

  it('is the load without its share for each CPU, where their number is not known', () => {
    const values = without('system.cpu.logical.count')
    expect(values).toMatchObject({ 'system.load.1': 3 })
    expect(Object.keys(values).filter((name) => /norm|num_cores/.test(name))).toEqual([])
  })

  it('is no rate, where it is not known how long was counted', () => {
    const points: Points = directed(5, 5, 'eth0', DIRECTIONS)
    expect(made([counted('system.network.io', points, 0)])).toEqual([])
    expect(made([level('system.network.io', points)])).toEqual([])
  })

  it('is nothing of a disk that did nothing but the zeros of it', () => {
    const idle = machine
      .filter(({ name }) => name.startsWith('system.disk.'))
      .map((metric) => metric.withPoints((metric.points as NumberPoint[]).map((point) => point.with({ value: 0 }))))
    const values = valuesOf(idle)
    expect(Object.keys(values)).toContain('system.io.await')
    expect(new Set(Object.values(values))).toEqual(new Set([0]))
  })

  it('is no share of a disk where the figures are those of all disks together', () => {
    const all = [counted('system.disk.io_time', [[25, {}]]), counted('system.disk.weighted_io_time', [[30, {}]])]
    expect(made(all)).toEqual([])
  })

  it('is nothing of a file system without room', () => {
    const attributes = { device: 'proc', mountpoint: '/proc', type: 'proc', mode: 'rw' }
    const points: Points = ['used', 'free', 'reserved'].map((state) => [0, { ...attributes, state }])
    expect(made([level('system.filesystem.usage', points)])).toEqual([])
  })

  it('is nothing of other metrics and of other kinds of metrics', () => {
    expect(made([level('system.processes.count', [[1]]), level('http.requests', [[1]])])).toEqual([])
    expect(made([new Metric({ name: 'system.uptime', type: 'summary' })])).toEqual([])
  })
})

describe('memory of which the states do not say how much there is', () => {
  /** 1000 MiB, of which 450 are available: `used` is all the rest, or what is neither free, buffered nor cached. */
  const states = (used: number) => ({ used, free: 200, buffered: 50, cached: 250, slab_reclaimable: 30 })
  const [before, since] = [states(500), states(550)]
  const usage = (amounts: Record<string, number>) =>
    level(
      'system.memory.usage',
      Object.entries(amounts).map(([state, amount]) => [amount * MIB, { state }]),
    )
  const utilization = (amounts: Record<string, number>) =>
    level(
      'system.memory.utilization',
      Object.entries(amounts).map(([state, amount]) => [amount / 1000, { state }]),
    )
  const limit = level('system.memory.limit', [[1000 * MIB]])
  const available = level('system.linux.memory.available', [[450 * MIB]])

  /** Total, used, usable and its share, in that order. */
  function figuresOf(metrics: readonly Metric[]): (number | undefined)[] {
    const values = valuesOf(metrics)
    return ['total', 'used', 'usable', 'pct_usable'].map((name) => values[`system.mem.${name}`])
  }

  it.each([
    ['the limit', [limit], [1000, 800, 500, 0.5], [1000, 800, 450, 0.45]],
    ['the limit and what is available', [limit, available], [1000, 800, 450, 0.45], [1000, 800, 450, 0.45]],
    ['nothing else', [], [undefined, undefined, 500, undefined], [undefined, undefined, 500, undefined]],
    ['what is available', [available], [undefined, undefined, 450, undefined], [undefined, undefined, 450, undefined]],
  ])('is right of each generation of the Collector with %s', (_, others, ofBefore, ofSince) => {
    expect(figuresOf([usage(before), ...others])).toEqual(ofBefore)
    expect(figuresOf([usage(since), ...others])).toEqual(ofSince)
  })

  it('is as much as an amount and its share say', () => {
    expect(figuresOf([usage(before), utilization(before)])).toEqual([1000, 800, 500, 0.5])
    expect(figuresOf([usage(since), utilization(since)])).toEqual([1000, 800, 450, 0.45])
  })

  it('has the share that is usable where there are only shares', () => {
    expect(valuesOf([utilization(before)])).toEqual({ 'system.mem.pct_usable': 0.5 })
    expect(valuesOf([utilization(since)])).toEqual({ 'system.mem.pct_usable': 0.45 })
  })

  it('has every amount where there are shares and the limit', () => {
    expect(valuesOf([utilization(since), limit])).toEqual({
      'system.mem.total': 1000,
      'system.mem.free': 200,
      'system.mem.used': 800,
      'system.mem.usable': 450,
      'system.mem.pct_usable': 0.45,
      'system.mem.cached': 250,
      'system.mem.buffered': 50,
      'system.mem.slab': 30,
      'system.mem.slab_reclaimable': 30,
    })
  })

  it('is not a sum of states of which one was left out', () => {
    expect(valuesOf([usage({ used: 500 })])).toEqual({})
    expect(valuesOf([usage({ used: 500, inactive: 100 })])).toEqual({ 'system.mem.usable': 100 })
  })
})

describe('what there are only shares of', () => {
  it('is the CPU, which has the same figures', () => {
    const time = machine.find(({ name }) => name === 'system.cpu.time') as Metric
    const shares = (time.points as NumberPoint[]).map(
      ({ value, attributes }) => [Number(value) / 10, attributes.toObject()] as const,
    )
    const ofTime = valuesOf([time])
    expect(Object.keys(ofTime)).toHaveLength(6)
    expect(valuesOf([level('system.cpu.utilization', shares as Points)])).toEqual(ofTime)
  })

  it('is not the CPU without its idle time, nor is its time', () => {
    const points: Points = [
      [0.2, { cpu: 'cpu0', state: 'user' }],
      [0.1, { cpu: 'cpu0', state: 'system' }],
    ]
    expect(made([level('system.cpu.utilization', points), counted('system.cpu.time', points)])).toEqual([])
  })

  it('is the swap space of one device, but not of several, which may differ in size', () => {
    const device = (name: string): Points => [
      [0.3, { device: name, state: 'used' }],
      [0.6, { device: name, state: 'free' }],
      [0.1, { device: name, state: 'cached' }],
    ]
    expect(valuesOf([level('system.paging.utilization', device('/swap'))])).toEqual({ 'system.swap.pct_free': 0.6 })
    expect(made([level('system.paging.utilization', [...device('/swap'), ...device('/dev/sdb1')])])).toEqual([])
  })

  it('is a file system', () => {
    const attributes = { device: '/dev/sda1', mountpoint: '/', type: 'ext4', mode: 'rw' }
    expect(made([level('system.filesystem.utilization', [[0.75, attributes]])])).toEqual([
      ['system.disk.in_use', 0.75, fileSystem],
      ['system.disk.utilized', 75, fileSystem],
    ])
  })

  it('is said by the amounts where there are both, and the shares are not used', () => {
    const attributes = { device: '/dev/sda1', mountpoint: '/', type: 'ext4', mode: 'rw' }
    const shares = ['cpu', 'memory', 'paging', 'filesystem'].map((name) =>
      level(`system.${name}.utilization`, [[0.5, name === 'filesystem' ? attributes : { state: 'used' }]]),
    )
    expect(made([...machine, ...shares])).toEqual(made(machine))
    const { used } = toAgentMetrics([...machine, ...shares])
    expect([...used].filter((name) => name.endsWith('.utilization'))).toEqual([])
  })
})

describe('what belongs together', () => {
  it('is of one device', () => {
    const both: Points = [...directed(10, 20, 'eth0', DIRECTIONS), ...directed(30, 40, '/dev/net/tun', DIRECTIONS)]
    expect(made([counted('system.network.io', both, 1)])).toEqual([
      ['system.net.bytes_rcvd', 10, eth0],
      ['system.net.bytes_rcvd', 30, { device: '/dev/net/tun', device_name: 'tun' }],
      ['system.net.bytes_sent', 20, eth0],
      ['system.net.bytes_sent', 40, { device: '/dev/net/tun', device_name: 'tun' }],
    ])
  })

  it('is of one time', () => {
    const usage = (seconds: bigint, used: number) =>
      level(
        'system.paging.usage',
        [
          [used * MIB, { state: 'used' }],
          [MIB, { state: 'free' }],
        ],
        NOON + seconds * SECOND,
      )
    const of = toAgentMetrics([usage(0n, 1), usage(10n, 3)]).metrics.find(({ name }) => name === 'system.swap.total')
    expect(of?.points.map((point) => [point.timeUnixNano, (point as NumberPoint).value])).toEqual([
      [NOON, 2],
      [NOON + 10n * SECOND, 4],
    ])
  })

  it('is found by the attributes of newer semantic conventions, too', () => {
    const cpu = counted('system.cpu.time', [
      [1, { 'cpu.mode': 'iowait' }],
      [2, { 'cpu.mode': 'kernel' }],
      [7, { 'cpu.mode': 'idle' }],
    ])
    const io = counted('system.disk.io', [[20_480, { 'system.device': 'sda', 'disk.io.direction': 'read' }]])
    expect(made([cpu, io])).toEqual([
      ['system.cpu.system', 20, {}],
      ['system.cpu.iowait', 10, {}],
      ['system.cpu.idle', 70, {}],
      ['system.io.rkb_s', 2, { 'system.device': 'sda', ...sda }],
    ])
  })
})

it('the table of the documentation is the one of the code', () => {
  const page = readFileSync(fileURLToPath(new URL('../../docs/datadog.md', import.meta.url)), 'utf8')
  const code = (text: string): string => `\`${text}\``
  const rows = agentMetrics.flatMap(({ metrics }) =>
    metrics.map(({ name, unit, from, formula }) => [code(name), unit, from.map(code).join(', '), formula]),
  )
  const [, section] = page.split("## Host metrics by the Agent's names\n")
  const [text] = section.split(/^## /m)
  const shown = [...text.matchAll(/^\| `system\..* \|$/gm)].map(([line]) =>
    line
      .slice(1, -1)
      .split('|')
      .map((cell) => cell.trim()),
  )
  expect(shown).toEqual(rows)
})
