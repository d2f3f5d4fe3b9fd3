import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { setTimeout as wait } from 'node:timers/promises'
import { request } from 'undici'
import { listen } from '../kit/listen.ts'
import { services } from '../../src/otlp/services.ts'
import type { Signal } from '../../src/otlp/signal.ts'
import { SIGNALS } from '../../src/otlp/signals.ts'
import { requestOf } from './items.ts'
import { sumOf } from './stand.ts'
import type { Stand } from './stand.ts'

/** Requests a second that the destination takes, and that come. */
const TAKEN = 20
const SENT = 10 * TAKEN

/** Requests to the destination at once. */
const CONSUMERS = 4

/** Data points, log records or spans of a request, of some 100 bytes each. */
const ITEMS = 1000

/** Requests on their way at once; clients that wait send no more. */
const CLIENTS = 500

const LIMIT = 192

export const overloads: Readonly<Record<string, string>> = {
  'overload, queue in memory, refuse': 'queue_size: 1000000',
  'overload, queue in memory, drop_oldest': 'queue_size: 200, on_full: drop_oldest',
  'overload, queue on disk': 'directory: queue, max_disk_size: 256MiB',
}

export const heading = `| Overload | Limit | Memory at most | Slowest /healthz | Slowest OTLP answer | Accepted | Delivered | Refused | Dropped by reason | Lost | Balance |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |`

/** A request of `count` items. */
function encode(signal: Signal, count: number, name: string): Uint8Array {
  const timeUnixNano = String(BigInt(Date.now()) * 1_000_000n)
  const all = Array.from({ length: count }, (_, index) => ({
    timeUnixNano,
    attributes: ['service', 'instance', 'route'].map((key) => ({ key, value: { stringValue: `${key}-${index}` } })),
  }))
  switch (signal) {
    case 'metrics': {
      const dataPoints = all.map((item, asDouble) => ({ ...item, asDouble }))
      return requestOf(signal, [{ name, gauge: { dataPoints } }])
    }
    case 'logs':
      return requestOf(
        signal,
        all.map((item) => ({ ...item, body: { stringValue: name } })),
      )
    case 'traces':
      return requestOf(
        signal,
        all.map((item) => ({ ...item, name, endTimeUnixNano: timeUnixNano })),
      )
  }
}

const most = Object.fromEntries(SIGNALS.map((signal) => [signal, encode(signal, ITEMS - 1, 'load')])) as Readonly<
  Record<Signal, Uint8Array>
>

/** A message of protobuf goes on behind its end. */
function numbered(signal: Signal, number: number): Uint8Array {
  return Buffer.concat([most[signal], encode(signal, 1, `number ${number}.`)])
}

/** The number that a request carries. @throws where it came to the place of another signal */
function numberOf(path: string, body: Buffer, stand: Stand): number {
  const signal = SIGNALS.find((known) => services[known].path === path)!
  const number = Number(/number (\d+)\./.exec(body.subarray(most[signal].length).toString('latin1'))?.[1])
  if (stand.signalOf(number) !== signal) throw new Error(`the request ${number} came to ${path}`)
  return number
}

/** Sends for `seconds` and prints what became of it. Returns whether all is as promised. */
export async function overload(name: string, queue: string, stand: Stand, seconds: number): Promise<boolean> {
  let delay = (1000 * CONSUMERS) / TAKEN
  const intake = createServer((incoming, response) => {
    const chunks: Buffer[] = []
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
    incoming.on('end', () => {
      const number = numberOf(incoming.url ?? '', Buffer.concat(chunks), stand)
      stand.delivered.set(number, (stand.delivered.get(number) ?? 0) + 1)
      setTimeout(() => response.end(), delay)
    })
  })
  const { url } = await listen(intake)
  await stand.start({
    endpoint: url,
    timeout: '5s',
    more: 'compression: none',
    queue: `${queue}, num_consumers: ${CONSUMERS}`,
    service: `memory_limiter: { limit_mib: ${LIMIT} }\n  health: { address: "127.0.0.1:0" }`,
  })
  const health = await stand.address('health')
  const slowest = { health: 0, otlp: 0 }
  const timed = async (what: keyof typeof slowest, act: () => Promise<unknown>): Promise<void> => {
    const begin = performance.now()
    await act()
    slowest[what] = Math.max(slowest[what], performance.now() - begin)
  }
  let [number, refused, onTheWay, anonymous, resident] = [0, 0, 0, 0, 0]
  let sending = true
  const watch = async (): Promise<void> => {
    for (; sending; await wait(50)) {
      const status = readFileSync(`/proc/${stand.pid}/status`, 'utf8')
      anonymous = Math.max(anonymous, kib(status, 'RssAnon'))
      resident = Math.max(resident, kib(status, 'VmRSS'))
    }
  }
  const ask = async (): Promise<void> => {
    for (; sending; await wait(200)) {
      await timed('health', async () => (await request(`http://${health}/healthz`, { reset: true })).body.dump())
    }
  }
  const send = async (): Promise<void> => {
    onTheWay += 1
    await timed('otlp', async () => {
      if (!(await stand.send(number, numbered(stand.signalOf(number), number++)))) refused += 1
    })
    onTheWay -= 1
  }
  const watching = [watch(), ask()]
  for (const start = performance.now(); performance.now() - start < seconds * 1000; await wait(5)) {
    const due = ((performance.now() - start) / 1000) * SENT
    while (number < due && onTheWay < CLIENTS) void send()
  }
  while (onTheWay > 0) await wait(5)
  sending = false
  await Promise.all(watching)
  delay = 0
  await stand.drain()
  intake.close()
  intake.closeAllConnections()
  const lost = SIGNALS.map((signal) =>
    Math.max(0, stand.missing(signal) * ITEMS - sumOf(stand.dropped(signal))),
  ).reduce((sum, items) => sum + items, 0)
  const reasons = [...stand.dropped()].map(([reason, items]) => `${reason} ${items}`).join(', ')
  const cells = [
    name,
    `${LIMIT} MiB`,
    `${Math.round(anonymous / 1024)} MiB (${Math.round(resident / 1024)} with files)`,
    ...[slowest.health, slowest.otlp].map((milliseconds) => `${Math.round(milliseconds)} ms`),
    stand.acknowledged.size * ITEMS,
    stand.delivered.size * ITEMS,
    refused * ITEMS,
    reasons,
    lost,
    stand.balanced ? 'holds' : 'BROKEN',
  ]
  console.log(`| ${cells.join(' | ')} |`)
  return anonymous / 1024 < LIMIT && lost === 0 && stand.balanced
}

function kib(status: string, key: string): number {
  return Number(new RegExp(`${key}:\\s+(\\d+)`).exec(status)?.[1])
}
