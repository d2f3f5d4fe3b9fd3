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
    'traces.json': '{ "resourceSpans": [] }',
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
      /^POST http:\S+\/api\/v1\/series: \d+ points in [\d,]+ bytes \([\d,]+ before compression\)$/m,
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
      `Points of ${path('old.jsonl')} are older than max_age; what would be sent if they were not: --set exporters.datadog_native.max_age=0s --set exporters.datadog_otlp.max_age=0s\n`,
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
      'traces.json',
      'line 1: is not OTLP/JSON of metrics: that has resourceMetrics at its top, and this has resourceSpans',
    ],
    ['empty.jsonl', 'is empty'],
  ])('says what is wrong with the file %s, and ends with 64', async (file, problem) => {
    const { code, stdout, stderr, path } = await explaining('--from', file)
    const error = `error: --from ${path(file)}: ${problem}\n`
    expect({ code, stdout, stderr }).toEqual({ code: 64, stdout: '', stderr: error })
  })
})
