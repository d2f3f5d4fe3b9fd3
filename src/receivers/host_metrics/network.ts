import { whole } from '../../host/numbers.ts'
import { forEachLine, withoutHeading } from './root.ts'
import { defineScraper } from './scraper.ts'
import type { MetricDeclaration } from './scraper.ts'
import { selectionSettings, selector } from './selection.ts'

/** A state's place is its number in `/proc/net/tcp`. Source: the kernel's `include/net/tcp_states.h`. */
const TCP_STATES = [
  undefined,
  'ESTABLISHED',
  'SYN_SENT',
  'SYN_RECV',
  'FIN_WAIT_1',
  'FIN_WAIT_2',
  'TIME_WAIT',
  'CLOSE',
  'CLOSE_WAIT',
  'LAST_ACK',
  'LISTEN',
  'CLOSING',
] as const

/** What other systems call some of the states. */
const OTHER_STATE_NAMES: Partial<Record<string, string>> = {
  CLOSED: 'CLOSE',
  FIN_WAIT1: 'FIN_WAIT_1',
  FIN_WAIT2: 'FIN_WAIT_2',
  LISTENING: 'LISTEN',
  SYN_RECEIVED: 'SYN_RECV',
}

const traffic = {
  type: 'sum',
  monotonic: true,
  value: 'int',
  attributes: ['device', 'direction'],
  enabled: true,
} as const satisfies Partial<MetricDeclaration>

export const network = defineScraper({
  doc: 'Traffic of the network interfaces, and TCP connections.',
  metrics: {
    'system.network.io': { ...traffic, doc: 'Bytes received and transmitted.', unit: 'By' },
    'system.network.packets': { ...traffic, doc: 'Packets received and transmitted.', unit: '{packets}', on: 'linux' },
    'system.network.errors': { ...traffic, doc: 'Errors while receiving and transmitting.', unit: '{errors}' },
    'system.network.dropped': { ...traffic, doc: 'Packets dropped.', unit: '{packets}' },
    'system.network.connections': {
      doc: 'TCP connections in each state, over IPv4 and IPv6 together.',
      unit: '{connections}',
      type: 'sum',
      value: 'int',
      attributes: ['protocol', 'state'],
      enabled: true,
    },
    'system.network.conntrack.count': {
      doc: 'Connections the firewall keeps track of.',
      unit: '{entries}',
      type: 'sum',
      value: 'int',
      enabled: false,
      on: 'linux',
    },
    'system.network.conntrack.max': {
      doc: 'Connections the firewall can keep track of.',
      unit: '{entries}',
      type: 'sum',
      value: 'int',
      enabled: false,
      on: 'linux',
    },
  },
  overlapping: { attribute: 'device', reason: 'a bridge or a bond carries what its interfaces carry' },
  settings: {
    include: selectionSettings('interfaces', 'The only interfaces to collect, such as `eth0`; all when empty.'),
    exclude: selectionSettings('interfaces', 'Interfaces to leave out, such as `^veth` as a regular expression.'),
  },
  linux({ include, exclude }, root) {
    const selected = selector('interfaces', include, exclude)
    return (scrape) => {
      // Two lines of headings, then `name: 8 figures of receiving, 8 of transmitting`. Source: proc_pid_net(5).
      // The name of an alias holds a colon of its own.
      const lines = withoutHeading(root.textOfInit('net/dev'), 2).replaceAll(/:(?!.*:)/g, ' ')
      forEachLine(scrape, '/proc/net/dev', lines, ([device, ...figures]) => {
        const values = Array.from({ length: 16 }, (_, index) => whole(figures[index]))
        if (!selected(device)) return
        for (const [direction, first] of [
          ['receive', 0],
          ['transmit', 8],
        ] as const) {
          scrape.record('system.network.io', values[first], { device, direction })
          scrape.record('system.network.packets', values[first + 1], { device, direction })
          scrape.record('system.network.errors', values[first + 2], { device, direction })
          scrape.record('system.network.dropped', values[first + 3], { device, direction })
        }
      })
      if (scrape.wants('system.network.connections')) {
        const counts = new Uint32Array(TCP_STATES.length)
        countTcpStates(root.textOfInit('net/tcp'), counts)
        // Missing where IPv6 is switched off.
        countTcpStates(root.optionalTextOfInit('net/tcp6') ?? '', counts)
        for (const [number, state] of TCP_STATES.entries()) {
          if (state !== undefined)
            scrape.record('system.network.connections', counts[number], { protocol: 'tcp', state })
        }
      }
      if (scrape.wants('system.network.conntrack.count')) {
        scrape.record('system.network.conntrack.count', root.number('proc/sys/net/netfilter/nf_conntrack_count'))
      }
      if (scrape.wants('system.network.conntrack.max')) {
        scrape.record('system.network.conntrack.max', root.number('proc/sys/net/netfilter/nf_conntrack_max'))
      }
    }
  },
  portable({ include, exclude }, { information }) {
    const selected = selector('interfaces', include, exclude)
    return async (scrape) => {
      for (const statistics of await information.networkStats('*')) {
        const device = statistics.iface
        if (!selected(device)) continue
        for (const [direction, prefix] of [
          ['receive', 'rx'],
          ['transmit', 'tx'],
        ] as const) {
          scrape.record('system.network.io', statistics[`${prefix}_bytes`], { device, direction })
          scrape.record('system.network.errors', statistics[`${prefix}_errors`], { device, direction })
          scrape.record('system.network.dropped', statistics[`${prefix}_dropped`], { device, direction })
        }
      }
      if (!scrape.wants('system.network.connections')) return
      const counts = new Map<string, number>()
      for (const state of TCP_STATES) if (state !== undefined) counts.set(state, 0)
      for (const { protocol, state } of await information.networkConnections()) {
        if (!protocol.startsWith('tcp')) continue
        const name = OTHER_STATE_NAMES[state] ?? state.replaceAll('-', '_')
        counts.set(name, (counts.get(name) ?? 0) + 1)
      }
      for (const [state, count] of counts) {
        scrape.record('system.network.connections', count, { protocol: 'tcp', state })
      }
    }
  },
})

/**
 * Adds the connections of `/proc/net/tcp` or `tcp6` to the counts of their states. The state is the two hexadecimal
 * digits behind the two addresses. There may be a hundred thousand lines: they are not split into fields.
 */
function countTcpStates(text: string, counts: Uint32Array): void {
  for (let end = text.indexOf('\n'); end !== -1;) {
    const start = end + 1
    end = text.indexOf('\n', start)
    const local = text.indexOf(': ', start) + 2
    const remote = text.indexOf(' ', local) + 1
    const state = text.indexOf(' ', remote) + 1
    if (end === -1 || state > end || local === 1) return
    const number = parseInt(text.slice(state, state + 2), 16)
    if (number < counts.length) counts[number]++
  }
}
