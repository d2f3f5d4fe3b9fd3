import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { describe, expect, it } from '@jest/globals'
import { request } from 'undici'
import { toOtlpJsonBytes } from '../../../src/otlp/json.ts'
import { MetricBatch } from '../../../src/otlp/batch.ts'
import { cleanups } from '../../kit/cleanups.ts'
import { startCommand, temporaryFolder } from '../../kit/command.ts'
import { ExportMetricsServiceRequest } from '../../kit/otlp_proto.ts'
import { until } from '../../kit/until.ts'

/*
 * How long requests of 100,000 messages hold the event loop of the real command, in each of its stages.
 */

/** Milliseconds that nothing may hold it (docs/decisions/0203-turns.md). */
const LIMIT = 600
const MESSAGES = 100_000

const attribute = (key: string, value: string) => ({ key, value: { stringValue: value } })
const attributes = (index: number) => [
  attribute('host', `h${index % 100}`),
  attribute('path', `/p/${index}`),
  attribute('code', String(index % 7)),
]

/** Data points by type, each with how many messages it is. */
const types: Readonly<
  Record<string, { messages: number; data: (turn: number, count: number, times: object) => object }>
> = {
  sum: {
    messages: 7,
    data: (turn, count, times) => ({
      aggregationTemporality: 2,
      isMonotonic: true,
      dataPoints: Array.from({ length: count }, (_, index) => ({
        ...times,
        asDouble: index + turn,
        attributes: attributes(index),
      })),
    }),
  },
  gauge: {
    messages: 1,
    data: (turn, count, times) => ({
      dataPoints: Array.from({ length: count }, (_, index) => ({ ...times, asDouble: index + turn })),
    }),
  },
  histogram: {
    messages: 7,
    data: (turn, count, times) => ({
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
  },
  exponentialHistogram: {
    messages: 8,
    data: (turn, count, times) => ({
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
  },
  summary: {
    messages: 9,
    data: (turn, count, times) => ({
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
  },
}

function bodyOf(type: string, turn: number): Buffer {
  const { messages, data } = types[type]
  const second = Math.floor(Date.now() / 1000) - 60 + turn * 10
  const times = { startTimeUnixNano: (second - 600 - turn * 10) * 1e9, timeUnixNano: second * 1e9 }
  const metrics = [{ name: `a.${type}`, unit: 'By', [type]: data(turn, Math.floor(MESSAGES / messages), times) }]
  const resource = { attributes: [attribute('host.name', 'h'), attribute('service.name', 's')] }
  return Buffer.from(
    ExportMetricsServiceRequest.encode(
      ExportMetricsServiceRequest.fromObject({
        resourceMetrics: [{ resource, scopeMetrics: [{ scope: { name: 'x' }, metrics }] }],
      }),
    ).finish(),
  )
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
  otlp_http: 'encoding: json,',
  'debug/table': '',
}

describe('requests of 100,000 messages', () => {
  it(`hold the event loop for less than ${LIMIT} ms in every stage`, async () => {
    let received = 0
    const destination = createServer((incoming, response) => {
      incoming.resume().on('end', () => {
        received += 1
        response.setHeader('content-type', 'application/json')
        response.end('{}')
      })
    }).listen(0, '127.0.0.1')
    cleanups.push(() => destination.close())
    await once(destination, 'listening')
    const url = `http://127.0.0.1:${(destination.address() as AddressInfo).port}`
    const ways = [...Object.keys(processors), ...Object.keys(exporters)].map((component, index) => ({
      component,
      receiver: `otlp/n${index}`,
    }))
    const settingsOf = (exporter: string): string =>
      exporter.startsWith('debug')
        ? '{ format: table }'
        : `{ endpoint: "${url}", ${exporter.startsWith('datadog') ? 'api_key: "12345678901234567890123456789012",' : ''} ${exporters[exporter]} }`
    const folder = await temporaryFolder({})
    cleanups.push(folder.remove)
    const turns = folder.path('turns')
    const lines = (record: object): string =>
      Object.entries(record)
        .map(([key, value]) => `  ${key}: ${String(value)}\n`)
        .join('')
    await writeFile(turns, '')
    await writeFile(
      folder.path('pipeline.yaml'),
      `
modules: ["${fileURLToPath(new URL('turns.js', import.meta.url))}"]
receivers:
${lines(Object.fromEntries(ways.map(({ receiver }) => [receiver, '{ protocols: { http: { endpoint: "127.0.0.1:0" } } }'])))}
processors:
  turns: { file: "${turns}" }
${lines(processors)}
exporters:
${lines(Object.fromEntries(Object.keys(exporters).map((exporter) => [exporter, settingsOf(exporter)])))}
service:
  health: { address: "127.0.0.1:0" }
  pipelines:
${lines(
  Object.fromEntries(
    ways.map(({ component, receiver }, index) => [
      `  metrics/n${index}`,
      component in processors
        ? `{ receivers: [${receiver}], processors: [turns, ${component}], exporters: [otlp_http] }`
        : `{ receivers: [${receiver}], processors: [turns], exporters: [${component}] }`,
    ]),
  ),
)}`,
    )
    const command = startCommand(['--config', folder.path('pipeline.yaml')], { stdoutTo: '/dev/null' })
    cleanups.push(() => {
      command.kill('SIGKILL')
      return command.ended
    })
    await command.waitFor('Answering for the health')
    const health = /health .*?(127\.0\.0\.1:\d+)/.exec(command.stderr())?.[1]
    const long: string[] = []
    const bodies = Object.keys(types).map((type) => ({ type, turns: [0, 1, 2].map((turn) => bodyOf(type, turn)) }))
    for (const { component, receiver } of ways) {
      const address = new RegExp(`${receiver}: Listening.*?(127\\.0\\.0\\.1:\\d+)`).exec(command.stderr())?.[1]
      for (const { type, turns: requests } of bodies) {
        if (component in processors && type !== 'sum' && type !== 'histogram') continue
        for (const [turn, body] of requests.entries()) {
          const json = turn === 2
          const headers = {
            'content-type': json ? 'application/json' : 'application/x-protobuf',
            'content-encoding': 'gzip',
          }
          const sent = gzipSync(json ? toOtlpJsonBytes(MetricBatch.fromOtlp(body)) : body, { level: 1 })
          const begun = Date.now()
          const [answer, alive] = await Promise.all([
            request(`http://${address}/v1/metrics`, { method: 'POST', headers, body: sent }),
            request(`http://${health}/healthz`, { reset: true }),
          ])
          await Promise.all([answer.body.dump(), alive.body.dump()])
          expect([component, answer.statusCode, alive.statusCode]).toEqual([component, 200, 200])
          await new Promise((resolve) => setTimeout(resolve, 150))
          for (const line of (await readFile(turns, 'utf8')).split('\n')) {
            const [at, milliseconds] = line.split(' ').map(Number)
            // The first requests also compile what they run through.
            if (at > begun && milliseconds > LIMIT && turn > 0)
              long.push(`${component} ${type} ${turn}: ${milliseconds} ms`)
          }
        }
      }
    }
    await until(() => received > 0)
    expect([...new Set(long)]).toEqual([])
  }, 300_000)
})
