import { decimal, whole } from '../../host/numbers.ts'
import { atLeast, forEachLine, inPart } from './proc_text.ts'
import type { Root } from './root.ts'
import { counter, defineScraper, gauge, upDownCounter } from './scraper.ts'
import type { Scrape } from './scraper.ts'

/** The unit of the times in `/proc/stat`, USER_HZ: 100 on every architecture Node.js runs on. Source: proc_stat(5). */
const TICKS_PER_SECOND = 100
/** The unit of the times of `os.cpus()`. */
const MILLISECONDS_PER_SECOND = 1000

/** The columns of a `cpu` line of `/proc/stat`. The guest times after them are already part of `user` and `nice`. */
const STATES = ['user', 'nice', 'system', 'idle', 'wait', 'interrupt', 'softirq', 'steal'] as const

/** The time that each CPU spent in each state, in whole units, by name (`cpu0`); NaN if it is not understood. */
type CpuTimes = Map<string, Readonly<Record<string, number>>>

const metrics = {
  'system.cpu.time': {
    ...counter,
    doc: 'Seconds each logical CPU spent in each state.',
    unit: 's',
    value: 'double',
    attributes: ['cpu', 'state'],
  },
  'system.cpu.utilization': {
    ...gauge,
    doc: 'Fraction of the time since the last scrape that each logical CPU spent in each state, from 0 to 1.',
    unit: '1',
    attributes: ['cpu', 'state'],
  },
  'system.cpu.frequency': { ...gauge, doc: 'Current frequency of each logical CPU.', unit: 'Hz', attributes: ['cpu'] },
  'system.cpu.logical.count': {
    ...upDownCounter,
    doc: 'Number of logical CPUs that are online.',
    unit: '{cpu}',
    enabled: false,
  },
  'system.cpu.physical.count': {
    ...upDownCounter,
    doc: 'Number of physical cores that are online.',
    unit: '{cpu}',
    enabled: false,
  },
} as const

export const cpu = defineScraper({
  doc: 'Times, utilization, frequency and number of the CPUs.',
  metrics,
  settings: {},
  linux(_config, root) {
    const recordTimes = timesRecorder(TICKS_PER_SECOND)
    return (scrape) => {
      const names: string[] = []
      const times: CpuTimes = new Map()
      forEachLine(scrape, '/proc/stat', root.text('proc/stat'), ([name, ...ticks], figure) => {
        if (!/^cpu\d+$/.test(name)) return
        names.push(name)
        atLeast(STATES.length, ticks)
        times.set(name, Object.fromEntries(STATES.map((state, i) => [state, figure(() => Number(whole(ticks[i])))])))
      })
      recordTimes(scrape, times)
      scrape.record('system.cpu.logical.count', names.length)
      inPart(scrape, () => {
        if (!scrape.wants('system.cpu.physical.count')) return
        // Logical CPUs of one core name the same siblings.
        const siblings = names.map((name) => root.text(`sys/devices/system/cpu/${name}/topology/thread_siblings_list`))
        scrape.record('system.cpu.physical.count', new Set(siblings).size)
      })
      if (scrape.wants('system.cpu.frequency')) recordFrequencies(scrape, root, names)
    }
  },
  portable(_config, { os, information }) {
    const recordTimes = timesRecorder(MILLISECONDS_PER_SECOND)
    return async (scrape) => {
      const cpus = os.cpus()
      const times: CpuTimes = new Map()
      cpus.forEach(({ times: { user, nice, sys, idle, irq }, speed }, index) => {
        const name = `cpu${index}`
        times.set(name, { user, nice, system: sys, idle, interrupt: irq })
        if (speed > 0) scrape.record('system.cpu.frequency', speed * 1e6, { cpu: name })
      })
      recordTimes(scrape, times)
      scrape.record('system.cpu.logical.count', cpus.length)
      if (scrape.wants('system.cpu.physical.count')) {
        scrape.record('system.cpu.physical.count', (await information.cpu()).physicalCores)
      }
    }
  },
})

/** Records the times and, for every CPU that was there in the previous scrape, the utilization since then. */
function timesRecorder(unitsPerSecond: number): (scrape: Scrape<typeof metrics>, times: CpuTimes) => void {
  let previous: CpuTimes = new Map()
  return (scrape, times) => {
    for (const [cpu, states] of times) {
      for (const [state, time] of Object.entries(states)) {
        scrape.record('system.cpu.time', time / unitsPerSecond, { cpu, state })
      }
      const before = previous.get(cpu)
      if (before === undefined) continue
      // A time may go back (the kernel corrects `wait`, a CPU that comes online again may start at 0): that counts as no time.
      const spent = Object.entries(states).map(([state, time]) => [state, Math.max(0, time - before[state])] as const)
      const total = spent.reduce((sum, [, time]) => sum + time, 0)
      if (!(total > 0)) continue
      for (const [state, time] of spent) scrape.record('system.cpu.utilization', time / total, { cpu, state })
    }
    previous = times
  }
}

/** The frequency that the driver reports, or the nominal frequency of the processor. */
function recordFrequencies(scrape: Scrape<typeof metrics>, root: Root, names: readonly string[]): void {
  const said = new Map<string, string>()
  const info = root.optionalText('proc/cpuinfo') ?? ''
  for (const [, number, megahertz] of info.matchAll(/^processor\t: (\d+)\n(?:.+\n)*?cpu MHz\t\t: (.+)$/gm)) {
    said.set(`cpu${number}`, megahertz)
  }
  let complete = true
  for (const cpu of names) {
    const path = `sys/devices/system/cpu/${cpu}/cpufreq/scaling_cur_freq`
    const kilohertz = root.optionalText(path)
    const text = kilohertz ?? said.get(cpu)
    if (text === undefined) complete = false
    forEachLine(scrape, kilohertz === undefined ? '/proc/cpuinfo' : `/${path}`, text ?? '', ([value]) => {
      scrape.record('system.cpu.frequency', decimal(value) * (kilohertz === undefined ? 1e6 : 1e3), { cpu })
    })
  }
  if (!complete) scrape.fail('The frequency of a CPU is neither in /sys nor in /proc/cpuinfo.')
}
