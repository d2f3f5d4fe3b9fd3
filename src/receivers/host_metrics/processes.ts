import { setImmediate as nextTurn } from 'node:timers/promises'
import { countOf, inPart } from './proc_text.ts'
import { counter, defineScraper, upDownCounter } from './scraper.ts'

/** The letters in `/proc/[pid]/stat`. Source: proc_pid_stat(5). `X` is seen only while a process vanishes. */
const STATUSES: Partial<Record<string, string>> = {
  R: 'running',
  S: 'sleeping',
  D: 'blocked',
  Z: 'zombies',
  T: 'stopped',
  t: 'stopped',
  I: 'idle',
  W: 'paging',
}

/** The names of some statuses in systeminformation. */
const OTHER_STATUS_NAMES: Partial<Record<string, string>> = { zombie: 'zombies', dead: 'unknown' }

/** Reported even if there are none, so that a chart falls to zero. */
const LASTING_STATUSES = ['blocked', 'idle', 'running', 'sleeping', 'stopped', 'zombies']

/** After this many processes other work gets a turn: reading one takes about 10 µs. */
const PROCESSES_PER_TURN = 500

export const processes = defineScraper({
  doc: 'Number of processes by status, and how many were created.',
  metrics: {
    'system.processes.count': {
      ...upDownCounter,
      doc: 'Processes in each status.',
      unit: '{processes}',
      attributes: ['status'],
      on: 'unix',
    },
    'system.processes.created': { ...counter, doc: 'Processes and threads created.', unit: '{processes}', on: 'linux' },
  },
  settings: {},
  linux(_config, root) {
    return async (scrape) => {
      inPart(scrape, () => {
        scrape.record('system.processes.created', countOf(root.text('proc/stat'), 'processes', '/proc/stat'))
      })
      if (!scrape.wants('system.processes.count')) return
      const counts = new Map(LASTING_STATUSES.map((status) => [status, 0]))
      for (const [index, pid] of root
        .list('proc')
        .filter((name) => /^\d+$/.test(name))
        .entries()) {
        if (index % PROCESSES_PER_TURN === PROCESSES_PER_TURN - 1) await nextTurn()
        const line = root.optionalText(`proc/${pid}/stat`)
        // It ended after its folder was listed.
        if (line === undefined) continue
        // `pid (name) status ...`, where the name may hold anything.
        const status = STATUSES[line[line.lastIndexOf(')') + 2]] ?? 'unknown'
        counts.set(status, (counts.get(status) ?? 0) + 1)
      }
      for (const [status, count] of counts) scrape.record('system.processes.count', count, { status })
    }
  },
  portable(_config, { information }) {
    return async (scrape) => {
      if (!scrape.wants('system.processes.count')) return
      const counts = new Map(LASTING_STATUSES.map((status) => [status, 0]))
      for (const { state } of (await information.processes()).list) {
        const status = OTHER_STATUS_NAMES[state] ?? state
        counts.set(status, (counts.get(status) ?? 0) + 1)
      }
      for (const [status, count] of counts) scrape.record('system.processes.count', count, { status })
    }
  },
})
