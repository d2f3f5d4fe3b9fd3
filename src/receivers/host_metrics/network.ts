import { whole } from '../../host/numbers.ts'
import { atLeast, forEachLine, inPart, withoutHeading } from './proc_text.ts'
import type { Root } from './root.ts'
import { counter, defineScraper, upDownCounter } from './scraper.ts'
import type { Scrape } from './scraper.ts'
import { selectionSettings, selector } from './selection.ts'

/** The index of a state is its number in `/proc/net/tcp`. Source: the kernel's `include/net/tcp_states.h`. */
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

/** The names of some states on other systems. */
const OTHER_STATE_NAMES: Partial<Record<string, string>> = {
  CLOSED: 'CLOSE',
  FIN_WAIT1: 'FIN_WAIT_1',
  FIN_WAIT2: 'FIN_WAIT_2',
  LISTENING: 'LISTEN',
  SYN_RECEIVED: 'SYN_RECV',
}

const traffic = { ...counter, attributes: ['device', 'direction'] } as const

export const network = defineScraper({
  doc: 'Traffic of the network interfaces, and TCP connections.',
  metrics: {
    'system.network.io': { ...traffic, doc: 'Bytes received and transmitted.', unit: 'By' },
    'system.network.packets': { ...traffic, doc: 'Packets received and transmitted.', unit: '{packets}', on: 'linux' },
    'system.network.errors': { ...traffic, doc: 'Errors while receiving and transmitting.', unit: '{errors}' },
    'system.network.dropped': { ...traffic, doc: 'Packets dropped.', unit: '{packets}' },
    'system.network.connections': {
      ...upDownCounter,
      doc: 'TCP connections in each state, over IPv4 and IPv6 together.',
      unit: '{connections}',
      attributes: ['protocol', 'state'],
    },
    'system.network.conntrack.count': {
      ...upDownCounter,
      doc: 'Connections that the firewall tracks.',
      unit: '{entries}',
      enabled: false,
      on: 'linux',
    },
    'system.network.conntrack.max': {
      ...upDownCounter,
      doc: 'Connections that the firewall can track at most.',
      unit: '{entries}',
      enabled: false,
      on: 'linux',
    },
  },
  overlapping: { attribute: 'device', reason: 'a bridge or a bond carries what its interfaces carry' },
  settings: {
    include: selectionSettings('interfaces', 'The only interfaces to collect, such as `eth0`; all when empty.'),
    exclude: selectionSettings('interfaces', 'Interfaces to leave out, such as `^veth` with `match_type: regexp`.'),
  },
  linux({ include, exclude }, root) {
    const selected = selector('interfaces', include, exclude)
    return (scrape) => {
      // Two lines of headings, then `name: 8 figures of receiving, 8 of transmitting`. Source: proc_pid_net(5).
      // The name of an alias contains a colon.
      inPart(scrape, () => {
        const lines = withoutHeading(root.textOfInit('net/dev'), 2).replaceAll(/:(?!.*:)/g, ' ')
        forEachLine(scrape, '/proc/net/dev', lines, ([device, ...fields], figure) => {
          atLeast(16, fields)
          const count = (index: number) => figure(() => whole(fields[index]))
          if (!selected(device)) return
          for (const [direction, first] of [
            ['receive', 0],
            ['transmit', 8],
          ] as const) {
            scrape.record('system.network.io', count(first), { device, direction })
            scrape.record('system.network.packets', count(first + 1), { device, direction })
            scrape.record('system.network.errors', count(first + 2), { device, direction })
            scrape.record('system.network.dropped', count(first + 3), { device, direction })
          }
        })
      })
      inPart(scrape, () => {
        if (!scrape.wants('system.network.connections')) return
        const counts = new Uint32Array(TCP_STATES.length)
        countTcpStates(scrape, root.textOfInit('net/tcp'), counts)
        // Missing if IPv6 is switched off.
        countTcpStates(scrape, root.optionalTextOfInit('net/tcp6') ?? '', counts)
        for (const [number, state] of TCP_STATES.entries()) {
          if (state !== undefined)
            scrape.record('system.network.connections', counts[number], { protocol: 'tcp', state })
        }
      })
      for (const name of ['count', 'max'] as const) {
        inPart(scrape, () => {
          if (!scrape.wants(`system.network.conntrack.${name}`)) return
          checkNamespace(root)
          scrape.record(`system.network.conntrack.${name}`, root.number(`proc/sys/net/netfilter/nf_conntrack_${name}`))
        })
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

/** @throws if `/proc/sys/net`, which always shows the reader's own network, is known to show another than the host's */
function checkNamespace(root: Root): void {
  const [host, own] = ['1', 'self'].map((process) => root.linkName(`proc/${process}/ns/net`))
  if (host === undefined || own === undefined || host === own) return
  throw new Error(
    "The host's conntrack figures cannot be read from another network namespace: give this process the host's network (hostNetwork: true).",
  )
}

/**
 * Adds the connections of `/proc/net/tcp` or `tcp6` to the counts of their states. The state is the two hexadecimal
 * digits after the two addresses. There may be a hundred thousand lines, so they are not split into fields.
 */
function countTcpStates(scrape: Pick<Scrape, 'fail'>, text: string, counts: Uint32Array): void {
  for (let start = text.indexOf('\n') + 1, end; (end = text.indexOf('\n', start)) !== -1; start = end + 1) {
    const local = text.indexOf(': ', start) + 2
    const remote = text.indexOf(' ', local) + 1
    const state = text.indexOf(' ', remote) + 1
    const number = local === 1 || state > end ? NaN : parseInt(text.slice(state, state + 2), 16)
    if (Number.isNaN(number)) {
      scrape.fail('A line of /proc/net/tcp or tcp6 cannot be parsed.', text.slice(start, Math.min(end, start + 200)))
    } else if (number < counts.length) counts[number]++
  }
}
