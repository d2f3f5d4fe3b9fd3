import os from 'node:os'
import { beforeEach, describe, expect, it, jest } from '@jest/globals'
import { systemClock } from '../../src/time/clock.ts'
import { systemNetwork } from '../../src/net/http_client.ts'
import type { ExporterComponent } from '../../src/component/exporter.ts'
import type { Settings } from '../../src/component/settings.ts'
import type { Batch } from '../../src/otlp/signal.ts'
import type { ConfigOf } from '../../src/component/settings.ts'
import { hostMetadata } from '../../src/datadog/host_metadata.ts'
import type { datadogSettings } from '../../src/datadog/settings.ts'
import datadogNative from '../../src/exporters/datadog_native.ts'
import datadogOtlp from '../../src/exporters/datadog_otlp.ts'
import { MetricBatch } from '../../src/otlp/metrics/batch.ts'
import { checkComponent } from '../../src/pipeline/config/config.ts'
import { gauge } from '../../src/testing.ts'
import { cleanups } from '../kit/cleanups.ts'
import { testExporter } from '../kit/exporting.ts'
import { startIntake } from '../kit/intake.ts'
import type { Intake } from '../kit/intake.ts'
import { until } from '../kit/until.ts'

let intake: Intake
beforeEach(async () => {
  intake = await startIntake({ apiKey: 'good-key' })
})

const reports = () => intake.requests.filter(({ path }) => path === '/intake')
const batch = () => MetricBatch.of({ metrics: [gauge('load', 1)] })

interface Report {
  readonly gohai: string
  readonly [key: string]: unknown
}

/** The function under test with these settings, reporting every few milliseconds instead of minutes. */
async function reporting(settings: string, period = 5) {
  const yaml = `datadog_native: { endpoint: "${intake.url}", api_key: good-key, ${settings} }`
  const { config } = await checkComponent(datadogNative, yaml)
  const checked = config as ConfigOf<typeof datadogSettings>
  const stopping = new AbortController()
  const logs: string[] = []
  const log = (message: string, fields?: object) => void logs.push(`${message} ${JSON.stringify(fields)}`)
  const ends: (() => void | Promise<void>)[] = []
  const { read, start } = hostMetadata(
    {
      clock: systemClock,
      network: systemNetwork,
      config: { ...checked, host_metadata: { ...checked.host_metadata, reporter_period: period } },
      log: { debug: log, info: log, warn: log, error: log },
      signal: stopping.signal,
      onStop: (cleanup) => void ends.unshift(cleanup),
    },
    intake.url,
  )
  const stop = async () => {
    stopping.abort()
    for (const end of ends) await end()
  }
  cleanups.push(stop)
  return { read, start, logs, stop }
}

const exporters: readonly (readonly [string, ExporterComponent<Settings, Batch>, string])[] = [
  ['datadog_native', datadogNative, ''],
  ['datadog_otlp', datadogOtlp, 'endpoint: '],
]

describe.each(exporters)('%s', (type, component) => {
  const exporting = async (settings: string) => {
    const { url } = intake
    return testExporter(component, `${type}: { endpoint: "${url}", api_key: good-key${settings} }`)
  }

  it('reports nothing unless it is asked to', async () => {
    await (await exporting('')).deliver(batch())
    expect(intake.requests.map(({ path }) => path)).not.toContain('/intake')
  })

  it('reports this host with its tags and what it is made of, once there is something to send', async () => {
    const exporter = await exporting(
      `, hostname: web-1, tags: ["env:prod"], host_metadata: { enabled: true, endpoint: "${intake.url}", tags: ["rack:r1", "env:prod"] }`,
    )
    await exporter.deliver(batch(), batch())
    await intake.received(3)
    expect(reports()).toHaveLength(1)
    const [{ headers, body, status }] = reports()
    expect(status).toBe(202)
    expect(headers).toMatchObject({ 'dd-api-key': 'good-key', 'content-type': 'application/json' })
    const { gohai, ...rest } = body as Report
    expect(rest).toEqual({
      internalHostname: 'web-1',
      'agent-flavor': 'heka-pipeline',
      meta: {
        hostname: 'web-1',
        'socket-hostname': os.hostname(),
        'socket-fqdn': '',
        'instance-id': '',
        'ec2-hostname': '',
        host_aliases: [],
      },
      'host-tags': { otel: ['env:prod', 'rack:r1'] },
    })
    expect(JSON.parse(gohai)).toMatchObject({
      platform: { hostname: 'web-1', kernel_release: os.release(), machine: os.machine() },
      cpu: {
        cpu_logical_processors: String(os.cpus().length),
        // Of an ARM processor Node.js knows no name.
        model_name: os.arch() === 'x64' ? os.cpus()[0].model : expect.any(String),
      },
      memory: { total: expect.stringMatching(/^\d+kB$/) },
      network: { ipaddress: expect.any(String) },
    })
  })
})

describe('the tags of the host in the data', () => {
  const ofHosts = (...resources: Record<string, string>[]) =>
    MetricBatch.merge(resources.map((resource) => MetricBatch.of({ resource, metrics: [gauge('load', 1)] })))
  const tagsOf = (report: number) => (reports()[report].body as { 'host-tags': { otel: string[] } })['host-tags'].otel

  it.each(exporters)('are reported by %s, those of another host and of none are not', async (type, component) => {
    const { url } = intake
    const exporter = await testExporter(
      component,
      `${type}: { endpoint: "${url}", api_key: good-key, host_metadata: { enabled: true, endpoint: "${url}", tags: ["team:core"] } }`,
    )
    const own = { 'host.name': os.hostname(), 'datadog.host.tag.rack': 'r1', 'datadog.host.tag.team': 'web' }
    const others: Record<string, string>[] = [
      { 'host.name': 'other', 'datadog.host.tag.rack': 'r2' },
      { 'datadog.host.tag.zone': 'z' },
    ]
    await exporter.deliver(ofHosts(own, ...others, { ...own, 'datadog.host.tag.row': '7' }))
    await intake.received(2)
    expect(tagsOf(0)).toEqual(['team:core', 'rack:r1', 'row:7'])
  })

  it('are those of every host where one name is given to all of them', async () => {
    const { read, start } = await reporting('hostname: web-1, host_metadata: { enabled: true }')
    read(ofHosts({ 'host.name': 'other', 'datadog.host.tag.rack': 'r2' }))
    start()
    await intake.received(1)
    expect(tagsOf(0)).toEqual(['rack:r2'])
  })

  it('are reported within a minute when they are new, and with the last value', async () => {
    jest.useFakeTimers({ doNotFake: ['nextTick', 'setImmediate', 'queueMicrotask', 'Date', 'setInterval'] })
    cleanups.push(() => void jest.useRealTimers())
    const { read, start, logs } = await reporting('hostname: web-1, host_metadata: { enabled: true }', 30 * 60_000)
    const reported = async (count: number) => {
      while (logs.length < count) await new Promise((resolve) => setImmediate(resolve))
    }
    const rack = (name: string) => read(ofHosts({ 'datadog.host.tag.rack': name }))
    rack('r1')
    start()
    await reported(1)
    for (const name of ['r1', 'r2', 'r3']) rack(name)
    jest.advanceTimersByTime(59_999)
    expect(reports()).toHaveLength(1)
    jest.advanceTimersByTime(1)
    await reported(2)
    expect([tagsOf(0), tagsOf(1)]).toEqual([['rack:r1'], ['rack:r3']])
    rack('r3')
    jest.advanceTimersByTime(29 * 60_000)
    expect(reports()).toHaveLength(2)
  })
})

describe('host metadata', () => {
  it('is reported again after each period, under the name of the machine where no other is given', async () => {
    const { start } = await reporting('host_metadata: { enabled: true }')
    start()
    start()
    await intake.received(3)
    const names = new Set(reports().map(({ body }) => (body as Report).internalHostname))
    expect(names).toEqual(new Set([os.hostname()]))
  })

  it('that is refused, or not answered, is logged without the key and reported again', async () => {
    intake.respondWith(
      { status: 403, body: '{"errors":["no good-key"]}' },
      { drop: true },
      { status: 202, body: '{"errors":["no such host"]}' },
      { status: 302, headers: { location: '/login' } },
      { status: 200, headers: { 'content-type': 'text/html' }, body: '<title>Sign in</title>' },
    )
    const { start, logs } = await reporting('host_metadata: { enabled: true }')
    start()
    await intake.received(6)
    expect(reports().map(({ status }) => status)).toEqual([403, 0, 202, 302, 200, 202])
    expect(logs[0]).toContain('403 {\\"errors\\":[\\"no [REDACTED]\\"]}')
    expect(logs[1]).toContain('could not be reported')
    expect(logs[2]).toContain('202 {\\"errors\\":[\\"no such host\\"]}')
    expect(logs[3]).toContain('302 redirects to')
    expect(logs[4]).toContain('200 with a web page')
    expect(logs.join()).not.toContain('good-key')
  })

  it('is reported with a warning where the answer cannot be read', async () => {
    intake.respondWith({ status: 200, body: 'fine' })
    const { start, logs } = await reporting('host_metadata: { enabled: true }', 60_000)
    start()
    await until(() => logs.length === 2)
    expect(logs[0]).toContain('"event":"response_unreadable"')
    expect(logs[1]).toContain('The host was reported')
  })

  it('is not reported once the component has stopped', async () => {
    const { start, stop, logs } = await reporting('host_metadata: { enabled: true }')
    await stop()
    start()
    expect(reports()).toEqual([])
    expect(logs).toEqual([])
  })

  it('that is on its way when the component stops is given up without a word', async () => {
    intake.respondBy(() => ({ delay: 60_000 }))
    const { start, stop, logs } = await reporting('host_metadata: { enabled: true }')
    start()
    await intake.received(1)
    await stop()
    expect(logs).toEqual([])
  })
})
