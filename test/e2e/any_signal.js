import { createServer } from 'node:http'
import { URL } from 'node:url'
import { LogBatch, MetricBatch, retryable, TraceBatch } from 'heka-pipeline'

const all = ['metrics', 'logs', 'traces']

/** Batches of items that are numbered from 1 on. */
const batchOf = {
  metrics: (numbers, time) =>
    MetricBatch.of({
      metrics: [{ name: 'm', type: 'gauge', points: numbers.map((value) => ({ value, timeUnixNano: time })) }],
    }),
  logs: (numbers, time) =>
    LogBatch.of({ records: numbers.map((n) => ({ body: `line ${n}`, severityNumber: n, timeUnixNano: time })) }),
  traces: (numbers, time) =>
    TraceBatch.of({ spans: numbers.map((n) => ({ name: `span ${n}`, endTimeUnixNano: time })) }),
}

/** Takes `POST /<signal>?items=<count>&ago=<seconds>` and answers what became of them. */
const door = {
  kind: 'receiver',
  type: 'door',
  summary: 'Makes items of any signal when asked to.',
  signals: all,
  config: { port: { doc: 'The port.', format: 'nat', default: 0 } },
  create: ({ config, deliver, listen, starting, log, onStop, rxjs, takes }) => {
    const server = createServer(({ url }, response) => {
      const { pathname, searchParams } = new URL(url, 'http://door')
      const signal = pathname.slice(1)
      if (searchParams.has('takes')) return response.end(String(takes(signal)))
      const numbers = Array.from({ length: Number(searchParams.get('items')) }, (_, index) => index + 1)
      const time = BigInt(Date.now() - 1000 * Number(searchParams.get('ago'))) * 1_000_000n
      deliver(batchOf[signal](numbers, time)).then(
        () => response.end('taken'),
        (error) => response.writeHead(error.kind === 'retryable' ? 503 : 400).end(error.message),
      )
    })
    const take = (socket) => server.emit('connection', socket)
    const listening = listen({ host: '127.0.0.1', port: config.port, take, fail: () => {} })
    starting(listening.then(({ address }) => log.info('The door is open.', { address })))
    onStop(() => server.closeAllConnections())
    return rxjs.NEVER
  },
}

/** One that knows of resources only. */
const stamp = {
  kind: 'processor',
  type: 'stamp',
  summary: 'Sets a resource attribute.',
  signals: all,
  config: {},
  create: () => (batch) =>
    batch.mapResources((resource) => resource.withAttributes(resource.attributes.with({ stamped: batch.signal }))),
}

const loud = {
  kind: 'processor',
  type: 'loud',
  summary: 'Leaves out quiet records.',
  signals: ['logs'],
  changes: 'filters',
  config: {},
  create: () => (batch) => batch.filterRecords(({ severityNumber }) => severityNumber > 1),
}

/** Posts `{ signal, items, stamped }` to a server, which may refuse it for now. */
const post = {
  kind: 'exporter',
  type: 'post',
  summary: 'Says what it was given.',
  signals: all,
  maxAge: { logs: '1h' },
  config: { endpoint: { doc: 'The server.', format: 'url', default: null } },
  create: ({ config }) => ({
    encode(batch) {
      const stamped = batch.resources[0].resource.attributes.get('stamped')
      const body = JSON.stringify({ signal: batch.signal, items: batch.itemCount, stamped })
      return [{ items: batch.itemCount, bytes: body.length, body }]
    },
    async send({ body }, signal) {
      const { ok, status } = await globalThis.fetch(config.endpoint, { method: 'POST', body, signal })
      if (!ok) throw retryable(`status ${status}`)
    },
  }),
}

export default [door, stamp, loud, post]
