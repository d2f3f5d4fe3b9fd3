import { access } from 'node:fs/promises'
import { describe, expect, it } from '@jest/globals'
import type { ExporterReport } from '../../src/cli/explain_report.ts'
import { runCommand, temporaryFolder } from '../kit/command.ts'
import { startIntake } from '../kit/intake.ts'

async function folder(files: Readonly<Record<string, string>>) {
  const made = await temporaryFolder(files)
  return made.path
}

const KEY = '0123456789abcdef0123456789abcdef'

/** Host metrics and whatever comes in, to both exporters of Datadog, the debug exporter and one of the user's own. */
const configuration = (url: string, queue: string) => `
modules: [./sink.js]
receivers:
  host_metrics: { scrapers: { cpu: , memory: } }
processors:
  tag_merge: { tags: ["env:dev"] }
exporters:
  datadog_native:
    endpoint: ${url}
    api_key: ${KEY}
    hostname: web-1
    host_metadata: { enabled: true, endpoint: "${url}" }
    sending_queue: { directory: "${queue}" }
  datadog_otlp: { endpoint: "${url}", api_key: ${KEY}, host_metadata: { enabled: true, endpoint: "${url}" } }
  debug:
  sink: { token: ${KEY} }
service:
  pipelines:
    metrics:
      receivers: [host_metrics]
      processors: [tag_merge]
      exporters: [datadog_native, datadog_otlp, debug, sink]
`

const sink = `export default {
  kind: 'exporter',
  type: 'sink',
  summary: 'Takes everything.',
  config: { token: { doc: 'What opens the door.', format: 'string', default: null, secret: true } },
  create: ({ config }) => ({
    encode: (batch) => [{ items: batch.pointCount, bytes: 1 }],
    send() { throw new Error('It must not send.') },
    explain: ({ received, requests }) => ({
      values: [...received.metrics()].map(({ metric: { name } }) => ({
        name: \`\${name}/\${config.token}\`, type: 'thing', time: 0, value: 1, host: { rule: 'none' }, tags: [], from: [name],
      })),
      requests: requests.map(() => ({ to: 'sink', rawBytes: 2 })),
      notSent: [],
    }),
  }),
}
`

/** Half a minute ago or so. */
const START = Math.floor(Date.now() / 10_000) * 10 - 30

const request = (seconds: number, value: number): string =>
  JSON.stringify({
    resourceMetrics: [
      {
        resource: { attributes: [{ key: 'process.pid', value: { intValue: '7' } }] },
        scopeMetrics: [
          {
            metrics: [
              {
                name: 'requests',
                sum: {
                  aggregationTemporality: 2,
                  isMonotonic: true,
                  dataPoints: [{ timeUnixNano: `${START + seconds}000000000`, asInt: String(value) }],
                },
              },
            ],
          },
        ],
      },
    ],
  })

async function explaining(...args: readonly string[]) {
  const intake = await startIntake()
  const queue = '/nowhere/that/could/be/made'
  const path = await folder({
    'pipeline.yaml': configuration(intake.url, queue),
    'sink.js': sink,
    'requests.jsonl': `${request(0, 5)}\n\n${request(10, 12)}\n`,
    'document.json': JSON.stringify(JSON.parse(request(0, 5)), null, 2),
    'other.json': '{ "resourceProfiles": [] }',
    'broken_logs.jsonl': '{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"traceId":"x"}]}]}]}',
    'empty.jsonl': '\n',
    'old.jsonl': `${request(-7200, 5)}\n${request(-7190, 12)}\n${request(0, 20)}\n`,
    'broken.jsonl': `${request(0, 5)}\n{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":5}]}]}]}\n`,
  })
  const own = args.map((arg) => (/\.jsonl?$/.test(arg) ? path(arg) : arg))
  const result = await runCommand(['explain', '--config', path('pipeline.yaml'), ...own])
  expect(intake.connections()).toBe(0)
  expect(result.stdout + result.stderr).not.toContain(KEY)
  await expect(access(queue)).rejects.toThrow()
  return { ...result, path }
}

interface Result {
  readonly pipelines: readonly string[]
  readonly exporters: readonly ExporterReport[]
}

describe('heka-pipeline explain', () => {
  it('shows what would be sent of this host in a table of 120 columns, and connects to nobody', async () => {
    const { code, stdout, stderr } = await explaining()
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const lines = stdout.split('\n')
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(120)
    expect(stdout).toMatch(
      /^exporter datadog_native: handed in \d+ \+ created \d+ = sent \d+ \+ dropped\(first_value\) \d+$/m,
    )
    expect(stdout).toMatch(
      /^POST http:\S+\/api\/v1\/series: \d+ data points in [\d,]+ bytes \([\d,]+ before compression\)$/m,
    )
    expect(stdout).toMatch(/^POST http:\S+\/v1\/metrics: /m)
    expect(stdout).toMatch(/^dropped first_value \d+: system\.cpu\.time \d+$/m)
    expect(stdout).toMatch(/^HOST web-1 \(the exporter's hostname\)$/m)
    expect(stdout).toMatch(/^TAGS env:dev \(resource attribute env\), /m)
    expect(stdout).toMatch(/^system\.cpu\.idle +gauge +[\d.]+ +<- system\.cpu\.time$/m)
    expect(stdout).toMatch(/^system\.cpu\.time +count +[\d.]+ +1s +cpu:cpu0 state:user$/m)
    expect(stdout).toMatch(/^it does not explain its requests$/m)
  })

  it('takes requests from a file in order, so that counters show their differences', async () => {
    const { code, stdout } = await explaining('--from', 'requests.jsonl', '--format', 'json')
    expect(code).toBe(0)
    const { pipelines, exporters } = JSON.parse(stdout) as Result
    expect(pipelines).toEqual(['pipeline metrics: accepted 2 = handed on 2'])
    const [native, otlp, debug, own] = exporters
    expect(native).toMatchObject({
      id: 'datadog_native',
      equation: 'handed in 2 = sent 1 + dropped(first_value) 1',
      requests: [{ points: 1, bytes: expect.any(Number), raw_bytes: expect.any(Number) }],
      dropped: [{ reason: 'first_value', points: 1, metrics: { requests: 1 } }],
      not_sent: [{ attribute: 'process.pid', value: '7', reason: 'left out by resource_attributes' }],
      billed_metrics: 1,
      series: [
        {
          name: 'requests',
          type: 'count',
          host: { name: 'web-1', rule: "the exporter's hostname" },
          tags: [{ tag: 'env:dev', from: 'resource attribute env' }],
          from: ['requests'],
          values: [{ time: START + 10, value: 7, interval: 10 }],
        },
      ],
    })
    expect(otlp.series?.map(({ type, values }) => [type, values.map(({ value }) => value)])).toEqual([['count', [7]]])
    expect(debug).toMatchObject({ requests: [{ points: 1 }, { points: 1 }], dropped: [] })
    expect(debug.series).toBeUndefined()
    expect(own.series?.map(({ name, from }) => [name, from])).toEqual([['requests/[REDACTED]', ['requests']]])
  })

  it('says which points of a file Datadog would not keep for their age, and how to see what would be sent', async () => {
    const { code, stdout, stderr, path } = await explaining('--from', 'old.jsonl', '--format', 'json')
    expect(code).toBe(0)
    expect(stderr).toContain(
      `Data of ${path('old.jsonl')} is older than max_age; what would be sent if it were not: --set exporters.datadog_native.max_age=0s --set exporters.datadog_otlp.max_age=0s\n`,
    )
    const [native, , debug] = (JSON.parse(stdout) as Result).exporters
    expect(native.equation).toBe('handed in 3 = sent 1 + dropped(first_value) 1 + dropped(too_old) 1')
    expect(native.dropped).toContainEqual({ reason: 'too_old', points: 1, metrics: { requests: 1 } })
    expect(debug.equation).toBe('handed in 3 = sent 3')
  })

  it('takes a file that is one document', async () => {
    const { stdout } = await explaining('--from', 'document.json')
    expect(stdout).toContain(
      'exporter datadog_otlp: handed in 1 = sent 0 + dropped(first_value) 1\nnothing would be sent',
    )
  })

  it('shows only the metric that is asked for, by the name it has when it comes or when it is sent', async () => {
    const idle = await explaining('--only', 'system.cpu.idle', '--format', 'json')
    const namesOf = ({ stdout }: { stdout: string }) =>
      (JSON.parse(stdout) as Result).exporters[0].series?.map(({ name }) => name)
    expect(namesOf(idle)).toEqual(['system.cpu.idle'])
    const memory = await explaining('--only', 'system.mem*.usage', '--format', 'json')
    expect(new Set(namesOf(memory))).toContain('system.mem.used')
    expect(new Set(namesOf(memory))).not.toContain('system.cpu.idle')
  })

  it('says what may have been meant by a metric that there is not', async () => {
    const { code, stdout, stderr } = await explaining('--from', 'requests.jsonl', '--only', 'request')
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toBe(
      'No metric is called "request", neither when it comes nor when it is sent (did you mean "requests"?).\n',
    )
  })

  it.each([
    ['broken.jsonl', 'line 2: resourceMetrics[0].scopeMetrics[0].metrics[0].name: must be a text'],
    [
      'other.json',
      'line 1: is not OTLP/JSON: that has one of resourceMetrics, resourceLogs, resourceSpans at its top, and this has resourceProfiles',
    ],
    ['broken_logs.jsonl', 'line 1: resourceLogs[0].scopeLogs[0].logRecords[0].traceId: must be hex'],
    ['empty.jsonl', 'is empty'],
  ])('says what is wrong with the file %s, and ends with 64', async (file, problem) => {
    const { code, stdout, stderr, path } = await explaining('--from', file)
    const error = `error: --from ${path(file)}: ${problem}\n`
    expect({ code, stdout, stderr }).toEqual({ code: 64, stdout: '', stderr: error })
  })
})

const NANOSECONDS = `${START}000000000`
const shop = { attributes: [{ key: 'service.name', value: { stringValue: 'shop' } }] }

const records = (...logRecords: readonly object[]): string =>
  JSON.stringify({ resourceLogs: [{ resource: shop, scopeLogs: [{ logRecords }] }] })

const spans = (...some: readonly object[]): string =>
  JSON.stringify({ resource_spans: [{ resource: shop, scope_spans: [{ spans: some }] }] })

describe('heka-pipeline explain of a file of several signals', () => {
  const mixed = `
exporters:
  datadog_otlp: { api_key: ${KEY}, hostname: web-1, tags: ["env:dev"] }
  otlp_http/gateway: { endpoint: "http://localhost:1", compression: none, max_age: 1h }
receivers: { otlp: { protocols: { http: } } }
processors: { tag_merge: { tags: ["team:web"] } }
service:
  pipelines:
    metrics: { receivers: [otlp], exporters: [datadog_otlp] }
    logs: { receivers: [otlp], processors: [tag_merge], exporters: [datadog_otlp, otlp_http/gateway] }
    traces: { receivers: [otlp], exporters: [otlp_http/gateway] }
`
  const file = [
    records(
      { timeUnixNano: NANOSECONDS, severityText: 'WARN', body: { stringValue: 'the till is slow' } },
      { timeUnixNano: NANOSECONDS, severityNumber: 17, body: { stringValue: 'the till is out\u001b[2J' } },
    ),
    request(0, 5),
    spans(
      { name: 'GET /till', kind: 2, startTimeUnixNano: NANOSECONDS, endTimeUnixNano: `${START}004000000` },
      { name: 'GET /old', startTimeUnixNano: '1000000000', endTimeUnixNano: '2000000000' },
    ),
  ].join('\n')

  const explainingMixed = async (configuration: string, ...args: readonly string[]) => {
    const path = await folder({ 'pipeline.yaml': configuration, 'mixed.jsonl': file })
    const given = ['--config', path('pipeline.yaml'), '--from', path('mixed.jsonl'), ...args]
    const result = await runCommand(['explain', ...given])
    expect(result.stdout + result.stderr).not.toContain(KEY)
    return { ...result, from: path('mixed.jsonl') }
  }

  it('shows each record and span as it would be sent, and what is dropped', async () => {
    const { code, stdout, stderr, from } = await explainingMixed(mixed)
    expect(code).toBe(0)
    expect(stderr).toContain(
      `Data of ${from} is older than max_age; what would be sent if it were not: --set exporters.otlp_http/gateway.max_age=0s\n`,
    )
    const time = new Date(START * 1000).toISOString().slice('2026-01-01T'.length, -1)
    expect(stdout.replace(/[\d,]+ bytes( \([\d,]+ before compression\))?/g, 'N bytes')).toBe(`\
pipeline metrics: accepted 1 = handed on 1
pipeline logs: accepted 2 = handed on 2
pipeline traces: accepted 2 = handed on 2

exporter datadog_otlp: handed in 1 = sent 0 + dropped(first_value) 1
nothing would be sent
billed as about 0 custom metrics
dropped first_value 1: requests 1
no tag: process.pid=7 (left out by resource_attributes)

exporter datadog_otlp:logs: handed in 2 = sent 2
POST https://otlp.datadoghq.com/v1/logs: 2 log records in N bytes

service.name=shop team=web env=dev datadog.host.name=web-1 host.name=web-1
TIME          SEVERITY  BODY
${time}  WARN      the till is slow
${time}  ERROR     the till is out\\u{1b}[2J

exporter otlp_http/gateway:logs: handed in 2 = sent 2
request of 2 log records in N bytes
it does not explain its requests, which are made of this:

service.name=shop team=web
TIME          SEVERITY  BODY
${time}  WARN      the till is slow
${time}  ERROR     the till is out\\u{1b}[2J

exporter otlp_http/gateway:traces: handed in 2 = sent 1 + dropped(too_old) 1
request of 1 span in N bytes
dropped too_old 1: GET /old 1
it does not explain its requests, which are made of this:

service.name=shop
TIME          DURATION  KIND    STATUS  NAME
${time}  4 ms      server  unset   GET /till
`)
  })

  it('writes for programs the signal of each exporter and what it would send as OTLP/JSON', async () => {
    const { stdout } = await explainingMixed(mixed, '--format', 'json')
    const { exporters } = JSON.parse(stdout) as Result
    expect(exporters.map(({ id, signal }) => [id, signal])).toEqual([
      ['datadog_otlp', 'metrics'],
      ['datadog_otlp:logs', 'logs'],
      ['otlp_http/gateway:logs', 'logs'],
      ['otlp_http/gateway:traces', 'traces'],
    ])
    expect(exporters.map(({ requests }) => requests.map(({ points }) => points))).toEqual([[], [2], [2], [1]])
    expect(exporters[3].dropped).toEqual([{ reason: 'too_old', points: 1, metrics: { 'GET /old': 1 } }])
    expect(exporters[3].sent).toMatchObject({ resourceSpans: [{ scopeSpans: [{ spans: [{ name: 'GET /till' }] }] }] })
    expect(exporters[0].sent).toBeUndefined()
  })

  it('says which signals of the file no pipeline takes', async () => {
    const only = mixed.replace(/^ {4}(metrics|traces): .*\n/gm, '')
    const { code, stderr, from } = await explainingMixed(only)
    expect(code).toBe(0)
    expect(stderr).toBe(
      `${from} has data points, and no pipeline takes metrics.\n${from} has spans, and no pipeline takes traces.\n`,
    )
  })
})
