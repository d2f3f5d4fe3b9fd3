import { readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { describe, expect, it } from '@jest/globals'
import { Client, credentials } from '@grpc/grpc-js'
import { request } from 'undici'
import { toOtlpJsonBytes } from '../../../src/otlp/json/write.ts'
import { services } from '../../../src/otlp/services.ts'
import type { Signal } from '../../../src/otlp/signal.ts'
import { signals } from '../../../src/otlp/signals.ts'
import { startCommand, temporaryFolder } from '../../kit/command.ts'
import { listen } from '../../kit/listen.ts'
import {
  ExportLogsServiceRequest,
  ExportMetricsServiceRequest,
  ExportTraceServiceRequest,
} from '../../kit/otlp_proto.ts'

/*
 * How long requests of 100,000 data points, log records or spans hold the event loop of the real command, in each of its stages (docs/decisions/0203-turns.md).
 * The processor `turns` in turns.js measures there: a timer that is due every 5 ms says how long nobody else had a turn, and the system
 * how long the thread was running meanwhile. The lesser of both counts, so that other work on the machine does not; nothing else is taken off.
 * The garbage collector counts as far as it runs on this thread: it also has threads of its own.
 */

/** Milliseconds that nothing may hold it. */
const LIMIT = 100
const ITEMS = 100_000
/** Requests of a kind at most, of which all but the first have to exceed the limit for the test to fail. */
const TURNS = 5
/** Seconds since 1970. One for all requests, since another start would say that every counter began again. */
const BEGUN = Math.floor(Date.now() / 1000)

const attribute = (key: string, value: string) => ({ key, value: { stringValue: value } })
const attributes = (index: number) => [
  attribute('host', `h${index % 100}`),
  attribute('path', `/p/${index}`),
  attribute('code', String(index % 7)),
]

/** The data of a metric by type; of each series a request has one point. */
const types: Readonly<Record<string, (turn: number, count: number, times: object) => object>> = {
  sum: (turn, count, times) => ({
    aggregationTemporality: 2,
    isMonotonic: true,
    dataPoints: Array.from({ length: count }, (_, index) => ({
      ...times,
      asDouble: index + turn,
      attributes: attributes(index),
    })),
  }),
  gauge: (turn, count, times) => ({
    dataPoints: Array.from({ length: count }, (_, index) => ({ ...times, asDouble: index + turn })),
  }),
  histogram: (turn, count, times) => ({
    aggregationTemporality: 2,
    dataPoints: Array.from({ length: count }, (_, index) => ({
      ...times,
      count: 10 + turn,
      sum: 5 + turn,
      bucketCounts: [1, 2 + turn, 3, 4],
      explicitBounds: [1, 2, 3],
      attributes: attributes(index),
    })),
  }),
  exponentialHistogram: (turn, count, times) => ({
    aggregationTemporality: 2,
    dataPoints: Array.from({ length: count }, (_, index) => ({
      ...times,
      count: 10 + turn,
      sum: 5 + turn,
      scale: 3,
      zeroCount: 1,
      positive: { offset: 2, bucketCounts: [2, 3 + turn, 4] },
      attributes: attributes(index),
    })),
  }),
  summary: (turn, count, times) => ({
    dataPoints: Array.from({ length: count }, (_, index) => ({
      ...times,
      count: 10 + turn,
      sum: 5 + turn,
      quantileValues: [
        { quantile: 0.5, value: 1 },
        { quantile: 0.9, value: 2 },
      ],
      attributes: attributes(index),
    })),
  }),
}

const scope = { name: 'x' }
const resourceOf = (host: string) => ({ attributes: [attribute('host.name', host), attribute('service.name', 's')] })
const list = (make: (index: number) => object): object[] => Array.from({ length: ITEMS }, (_, index) => make(index))
const recordOf = (index: number, time: object): object => ({
  ...time,
  severityNumber: 9,
  body: { stringValue: `line ${index}` },
  attributes: attributes(index),
})
const spanOf = (index: number, times: object): object => ({
  ...times,
  traceId: Buffer.alloc(16, 1 + (index % 200)),
  spanId: Buffer.alloc(8, 1 + (index % 200)),
  name: `GET /p/${index}`,
  attributes: attributes(index),
})
const metricOf = (type: string, turn: number, count: number, times: object, name = `a.${type}`): object => ({
  name,
  unit: 'By',
  [type]: types[type](turn, count, times),
})

/** A request of one shape. All have as many items. */
interface Shape {
  readonly signal: Signal
  /** The components that are measured with it, if not those of `typesOf`. */
  readonly components?: readonly string[]
  readonly request: (turn: number, times: object) => object
}
const shapes: Readonly<Record<string, Shape>> = {
  ...Object.fromEntries(
    Object.keys(types).map((type) => [
      type,
      {
        signal: 'metrics',
        request: (turn: number, times: object) => ({
          resourceMetrics: [
            { resource: resourceOf('h'), scopeMetrics: [{ scope, metrics: [metricOf(type, turn, ITEMS, times)] }] },
          ],
        }),
      },
    ]),
  ),
  'sums of as many metrics': {
    signal: 'metrics',
    components: ['rename/scale', 'datadog_native', 'otlp_http'],
    request: (turn, times) => ({
      resourceMetrics: [
        {
          resource: resourceOf('h'),
          scopeMetrics: [{ scope, metrics: list((index) => metricOf('sum', turn, 1, times, `a.${index}`)) }],
        },
      ],
    }),
  },
  'sums of as many scopes': {
    signal: 'metrics',
    components: ['rename/scale', 'otlp_http'],
    request: (turn, times) => ({
      resourceMetrics: [
        {
          resource: resourceOf('h'),
          scopeMetrics: list((index) => ({
            scope: { name: `scope ${index}` },
            metrics: [metricOf('sum', turn, 1, times)],
          })),
        },
      ],
    }),
  },
  'sums of as many resources': {
    signal: 'metrics',
    components: ['cumulative_to_delta', 'rename/scale', 'datadog_native', 'datadog_otlp', 'otlp_http', 'debug/table'],
    request: (turn, times) => ({
      resourceMetrics: list((index) => ({
        resource: resourceOf(`host ${index}`),
        scopeMetrics: [{ scope, metrics: [metricOf('sum', turn, 1, times)] }],
      })),
    }),
  },
  'log records': {
    signal: 'logs',
    components: ['otlp_http/json', 'debug/table'],
    request: (_turn, times) => ({
      resourceLogs: [
        { resource: resourceOf('h'), scopeLogs: [{ scope, logRecords: list((index) => recordOf(index, times)) }] },
      ],
    }),
  },
  'log records of as many resources': {
    signal: 'logs',
    components: ['tag_merge', 'otlp_http'],
    request: (_turn, times) => ({
      resourceLogs: list((index) => ({
        resource: resourceOf(`host ${index}`),
        scopeLogs: [{ scope, logRecords: [recordOf(index, times)] }],
      })),
    }),
  },
  'spans of as many resources': {
    signal: 'traces',
    components: ['datadog_otlp'],
    request: (_turn, times) => ({
      resourceSpans: list((index) => ({
        resource: resourceOf(`host ${index}`),
        scopeSpans: [{ scope, spans: [spanOf(index, times)] }],
      })),
    }),
  },
}
const references = {
  metrics: ExportMetricsServiceRequest,
  logs: ExportLogsServiceRequest,
  traces: ExportTraceServiceRequest,
}

function bodyOf(shape: string, turn: number): Buffer {
  const { signal, request } = shapes[shape]
  const nanoseconds = (second: number): number => second * 1e9
  const time = nanoseconds(BEGUN - 60 + turn * 10)
  const times = {
    metrics: { startTimeUnixNano: nanoseconds(BEGUN - 660), timeUnixNano: time },
    logs: { timeUnixNano: time },
    traces: { startTimeUnixNano: nanoseconds(BEGUN - 660), endTimeUnixNano: time },
  }[signal]
  const reference = references[signal]
  return Buffer.from(reference.encode(reference.fromObject(request(turn, times))).finish())
}

const every = 'include: "^a", match_type: regexp'
/** Each behind a receiver of its own. */
const processors: Readonly<Record<string, string>> = {
  cumulative_to_delta: '',
  metric_prefix: '{ prefix: b }',
  filter: '{ exclude: { match_type: regexp, attributes: [{ key: path, value: "^/p/1" }] } }',
  'rename/aggregate': `{ transforms: [{ ${every}, operations: [{ action: aggregate_labels, label_set: [host], aggregation_type: sum }] }] }`,
  'rename/scale': `{ transforms: [{ ${every}, operations: [{ action: experimental_scale_value, experimental_scale: 2 }] }] }`,
  'rename/label': `{ transforms: [{ ${every}, operations: [{ action: update_label, label: host, new_label: node }] }] }`,
  tag_merge: '{ tags: ["host:z"], on_conflict: keep }',
  hostname_override: '{ hostname: z }',
  memory_limiter: '{ check_interval: 1s, limit_mib: 4000 }',
}
const exporters: Readonly<Record<string, string>> = {
  datadog_native: '',
  'datadog_native/distributions': 'histograms: { mode: distributions },',
  datadog_otlp: '',
  otlp_http: '',
  'otlp_http/json': 'encoding: json,',
  'otlp_http/disk': '',
  'debug/table': 'format: table',
  'debug/json': 'format: otlp_json',
  'debug/openmetrics': 'format: openmetrics',
}
/** How a request comes where it is not protobuf in gzip over HTTP. */
const inputs: readonly string[] = ['json', 'json in gzip', 'grpc']
/** All that work on points, behind each other and beside each other. */
const TOGETHER = 'together'

/** The pipeline that a component is measured in. */
function pipelineOf(component: string, receiver: string): string {
  const steps =
    component === TOGETHER
      ? 'tag_merge/all, cumulative_to_delta/all'
      : component in processors
        ? component
        : 'tag_merge/all'
  const all = 'datadog_native/all, datadog_otlp/all, otlp_http'
  const ends = component === TOGETHER ? all : component in exporters ? component : 'otlp_http'
  return `{ receivers: [${receiver}], processors: [turns, ${steps}], exporters: [${ends}] }`
}

/** Types of data that a component has each its own work with. */
function typesOf(component: string): readonly string[] {
  if (component === TOGETHER || inputs.includes(component)) return Object.keys(types)
  if (/^(datadog|otlp)/.test(component)) return Object.keys(types)
  if (/^(cumulative|rename)/.test(component)) return ['sum', 'histogram', 'exponentialHistogram']
  return component.startsWith('debug') ? ['histogram', 'summary'] : ['histogram']
}

/** Sends a request, given in protobuf, as the way says. Returns what is answered: the status and the text, or the error. */
async function send(way: string, address: string, signal: Signal, body: Buffer): Promise<string> {
  if (way === 'grpc') {
    const same = (bytes: Buffer): Buffer => bytes
    const client = new Client(address, credentials.createInsecure())
    const path = services[signal].method
    return new Promise<string>((resolve) => {
      client.makeUnaryRequest(path, same, same, body, (error) => resolve(error === null ? TAKEN : error.message))
    }).finally(() => client.close())
  }
  const isJson = way.startsWith('json')
  const plain = isJson ? toOtlpJsonBytes(signals[signal].fromOtlp(body)) : body
  const type = { 'content-type': isJson ? 'application/json' : 'application/x-protobuf' }
  const answer = await request(`http://${address}${services[signal].path}`, {
    method: 'POST',
    // A connection that the receiver is about to close would be used again.
    reset: true,
    ...(way === 'json'
      ? { headers: type, body: plain }
      : { headers: { ...type, 'content-encoding': 'gzip' }, body: gzipSync(plain, { level: 1 }) }),
  })
  const text = await answer.body.text()
  return answer.statusCode === 200 && (text === '' || text === '{}') ? TAKEN : `${answer.statusCode} ${text}`
}

const TAKEN = 'taken'

/** Resolves when a process has next to nothing to do any more. */
async function idle(pid: number): Promise<void> {
  // proc_pid_stat(5): utime and stime, in hundredths of a second, are the fields 14 and 15; the name before may hold blanks.
  const used = async (): Promise<number> => {
    const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ')[1].split(' ')
    return Number(fields[11]) + Number(fields[12])
  }
  for (let before = -Infinity, now = await used(); now - before > 2; now = await used()) {
    before = now
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
}

describe('requests of 100,000 items', () => {
  const promise = `hold the event loop for less than ${LIMIT} ms in every stage, %s`
  it.each(Object.keys(shapes))(
    promise,
    async (shape) => {
      const { signal } = shapes[shape]
      const destination = createServer((incoming, response) => {
        incoming.resume().on('end', () => {
          response.setHeader('content-type', 'application/json')
          response.end('{}')
        })
      })
      const { url } = await listen(destination)
      const components = [...Object.keys(processors), ...Object.keys(exporters), ...inputs, TOGETHER]
      const measured = components.filter(
        (component) => shapes[shape].components?.includes(component) ?? typesOf(component).includes(shape),
      )
      const ways = measured.map((component, index) => ({ component, receiver: `otlp/n${index}` }))
      const measuredOf = <T>(all: Readonly<Record<string, T>>) =>
        Object.fromEntries(Object.entries(all).filter(([component]) => measured.includes(component)))
      const folder = await temporaryFolder({})
      const settingsOf = (exporter: string): string => {
        if (exporter.startsWith('debug')) return `{ ${exporters[exporter]} }`
        const key = exporter.startsWith('datadog') ? 'api_key: "12345678901234567890123456789012",' : ''
        const queue = exporter.endsWith('disk') ? `sending_queue: { directory: "${folder.path('queue')}" },` : ''
        return `{ endpoint: "${url}", ${key} ${queue} ${exporters[exporter] ?? ''} }`
      }
      const turns = folder.path('turns')
      const lines = (record: object): string =>
        Object.entries(record)
          .map(([key, value]) => `  ${key}: ${String(value)}\n`)
          .join('')
      await writeFile(turns, '')
      const listensOn = (way: string): string => {
        const most = way === 'grpc' ? 'max_recv_msg_size_mib: 100' : 'max_request_body_size: 100MiB'
        return `{ protocols: { ${way === 'grpc' ? 'grpc' : 'http'}: { endpoint: "127.0.0.1:0", ${most} } } }`
      }
      await writeFile(
        folder.path('pipeline.yaml'),
        `
modules: ["${fileURLToPath(new URL('turns.js', import.meta.url))}"]
receivers:
${lines(Object.fromEntries(ways.map(({ component, receiver }) => [receiver, listensOn(component)])))}
processors:
  turns: { file: "${turns}" }
  tag_merge/all: { tags: ["host:z"] }
  cumulative_to_delta/all: {}
${lines(measuredOf(processors))}
exporters:
${lines(Object.fromEntries(Object.keys(measuredOf(exporters)).map((exporter) => [exporter, settingsOf(exporter)])))}
  # They would have seen the same series before.
  datadog_native/all: ${settingsOf('datadog_native/all')}
  datadog_otlp/all: ${settingsOf('datadog_otlp/all')}
service:
  health: { address: "127.0.0.1:0" }
  # The series of all exporters.
  max_remembered_size: 2GiB
  telemetry: { logs: { encoding: json } }
  pipelines:
${lines(
  Object.fromEntries(
    ways.map(({ component, receiver }, index) => [`  ${signal}/n${index}`, pipelineOf(component, receiver)]),
  ),
)}`,
      )
      const command = startCommand(['--config', folder.path('pipeline.yaml')], { stdoutTo: '/dev/null' })
      const health = await command.address('health')
      const long = new Set<string>()
      const bodies: Buffer[] = []
      for (const { component, receiver } of ways) {
        const address = await command.address(component === 'grpc' ? 'otlp_grpc' : 'otlp_http', { component: receiver })
        let exceeds: string | undefined
        // What other work does to the caches of the processor is in the time of the thread: what exceeds the limit does so again.
        for (let turn = 0; turn < 2 || (exceeds !== undefined && turn < TURNS); turn++) {
          const body = (bodies[turn] ??= bodyOf(shape, turn))
          exceeds = undefined
          const begun = Date.now()
          const [answer, alive] = await Promise.all([
            send(component, address, signal, body),
            request(`http://${health}/healthz`, { reset: true }),
          ])
          await alive.body.dump()
          expect([component, shape, answer, alive.statusCode]).toEqual([component, shape, TAKEN, 200])
          await idle(command.pid)
          for (const line of (await readFile(turns, 'utf8')).split('\n')) {
            const [at, milliseconds] = line.split(' ').map(Number)
            // The first requests also compile what they run through.
            if (at > begun && milliseconds > LIMIT && turn > 0) exceeds = `${component}, ${shape}: ${milliseconds} ms`
          }
        }
        if (exceeds !== undefined) long.add(exceeds)
      }
      expect(command.stderr()).not.toMatch(/"level":"(error|warn)"(?!.*is not used by any pipeline)/)
      expect([...long]).toEqual([])
    },
    600_000,
  )
})
