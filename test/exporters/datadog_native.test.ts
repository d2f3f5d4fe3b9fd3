import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import zlib from 'node:zlib'
import { beforeEach, describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import datadogNative from '../../src/exporters/datadog_native.ts'
import { Attributes } from '../../src/otlp/common/attributes.ts'
import { MetricBatch } from '../../src/otlp/metrics/batch.ts'
import type { MetricFields } from '../../src/otlp/metrics/metric.ts'
import {
  ExponentialHistogramPoint,
  HistogramPoint,
  NO_RECORDED_VALUE,
  NumberPoint,
  SummaryPoint,
} from '../../src/otlp/metrics/points.ts'
import type { DataPoint } from '../../src/otlp/metrics/points.ts'
import { gauge, sum } from '../../src/testing.ts'
import { readV1, readV2 } from '../kit/datadog_models.ts'
import { testExporter } from '../kit/exporting.ts'
import type { ExporterTest } from '../kit/exporting.ts'
import { seriesOf, startIntake } from '../kit/intake.ts'
import type { Intake, ReceivedSeries } from '../kit/intake.ts'
import { startProxy } from '../kit/proxy.ts'

function tlsFile(name: string): string {
  return fileURLToPath(new URL(`../kit/tls/${name}`, import.meta.url))
}

const SECOND = 1_000_000_000n
/** 2026-01-01 12:00:00 in seconds. */
const NOON = 1_767_268_800
const BOOT = 1_700_000_000n * SECOND

let intake: Intake
beforeEach(async () => {
  intake = await startIntake({ apiKey: 'good-key' })
})

/** The exporter with these settings beside the address and key, as lines of YAML. */
async function exporting(settings = '', url = intake.url): Promise<ExporterTest> {
  const lines = [`endpoint: ${url}`, 'api_key: good-key', ...settings.split('\n')].map((line) => `  ${line}\n`)
  return testExporter(datadogNative, `datadog_native:\n${lines.join('')}`)
}

/** Nanoseconds of `seconds` after noon. */
function at(seconds: number): bigint {
  return BigInt(Math.round((NOON + seconds) * 1000)) * 1_000_000n
}

/** One resource of the given attributes. */
function of(resource: Record<string, string | number>, ...metrics: MetricFields[]): MetricBatch {
  return MetricBatch.of({ resource, metrics })
}

/** A cumulative counter since the boot. */
function counter(name: string, value: number, seconds: number, attributes = {}): MetricFields {
  return sum(name, value, attributes, { timeUnixNano: at(seconds), startTimeUnixNano: BOOT })
}

function level(name: string, value: number, seconds: number, attributes = {}): MetricFields {
  return gauge(name, value, attributes, { timeUnixNano: at(seconds) })
}

function series(fields: Partial<ReceivedSeries>): ReceivedSeries {
  return { metric: 'm', type: 'gauge', host: undefined, tags: [], interval: undefined, points: [], ...fields }
}

describe.each(['v1', 'v2'])('datadog_native to series %s', (version) => {
  const settings = `series_version: ${version}`

  it('sends gauges as gauges and cumulative sums as counts of the difference, with the seconds between', async () => {
    const exporter = await exporting(settings)
    const scrape = (seconds: number, bytes: number): MetricBatch =>
      of(
        { 'host.name': 'web-1', 'service.name': 'shop' },
        level('load', 0.5, seconds),
        counter('io', bytes, seconds, { device: 'sda' }),
      )
    const balance = await exporter.deliver(scrape(0.2, 1000), scrape(10.1, 1700))
    const shop = { host: 'web-1', tags: ['service:shop'] }
    expect(intake.series()).toEqual([
      series({ ...shop, metric: 'load', points: [[NOON, 0.5]] }),
      series({ ...shop, metric: 'load', points: [[NOON + 10, 0.5]] }),
      series({
        metric: 'io',
        type: 'count',
        host: 'web-1',
        tags: ['device:sda', 'service:shop'],
        interval: 10,
        points: [[NOON + 10, 700]],
      }),
    ])
    expect(balance).toEqual({
      handed_in: 4,
      restored: 0,
      created: 0,
      sent: 3,
      rejected: 0,
      merged: 0,
      dropped: { first_value: 1 },
      queued: 0,
      in_flight: 0,
      kept: 0,
    })
  })

  it("is what Datadog's own client understands", async () => {
    const exporter = await exporting(settings)
    await exporter.deliver(
      of({ 'host.name': 'web-1' }, level('load', 0.5, 0), counter('io', 1, 0)),
      of({ 'host.name': 'web-1' }, level('load', -1.5e300, 10, { cpu: 'ü"b' }), counter('io', 3, 10)),
    )
    const payloads = intake.requests.map(({ body }) => (version === 'v1' ? readV1(body) : readV2(body)))
    expect(payloads.flatMap((payload) => payload.series.map(({ metric }) => metric))).toEqual(['load', 'load', 'io'])
    expect(intake.requests.every(({ path }) => path === `/api/${version}/series`)).toBe(true)
  })

  const zstd = version === 'v2' && 'zstdCompressSync' in zlib ? ['zstd'] : []
  it.each(['gzip', 'deflate', 'none', ...zstd])('compresses with %s', async (compression) => {
    const exporter = await exporting(`${settings}\ncompression: ${compression}`)
    const balance = await exporter.deliver(of({}, level('load', 1, 0)))
    expect(intake.requests[0].headers['content-encoding']).toBe(compression === 'none' ? undefined : compression)
    expect([balance.sent, intake.series().length]).toEqual([1, 1])
  })

  it.each(['gzip', 'none'])('keeps every request within the limits of Datadog, with %s', async (compression) => {
    // Digests are what compression cannot shrink much.
    const noise = (text: string): string => createHash('sha512').update(text).digest('hex')
    const points = Array.from({ length: 6000 }, (_, index) => {
      const values = Object.fromEntries(['a', 'b', 'c', 'd', 'e', 'f'].map((key) => [key, noise(key + index)]))
      return new NumberPoint({ value: index, timeUnixNano: at(0), attributes: Attributes.of(values) })
    })
    const exporter = await exporting(`${settings}\ncompression: ${compression}`)
    const balance = await exporter.deliver(of({ 'host.name': 'h' }, { name: 'load', type: 'gauge', points }))
    expect(new Set(intake.requests.map(({ status }) => status))).toEqual(new Set([202]))
    expect(intake.requests.length).toBeGreaterThan(1)
    expect([balance.sent, intake.series().length]).toEqual([6000, 6000])
  })
})

describe('what becomes of the kinds of metrics', () => {
  it('sends delta sums as counts and sums that go up and down as gauges', async () => {
    const exporter = await exporting()
    const delta = { timeUnixNano: at(30), startTimeUnixNano: at(0), temporality: 'delta' } as const
    await exporter.deliver(
      of(
        {},
        sum('requests', 6, {}, delta),
        sum('balance', -3, {}, { ...delta, monotonic: false }),
        sum('sessions', 12, {}, { timeUnixNano: at(30), monotonic: false }),
      ),
    )
    expect(intake.series()).toEqual([
      series({ metric: 'requests', type: 'count', interval: 30, points: [[NOON + 30, 6]] }),
      series({ metric: 'balance', type: 'count', interval: 30, points: [[NOON + 30, -3]] }),
      series({ metric: 'sessions', points: [[NOON + 30, 12]] }),
    ])
  })

  it('tells no interval for a delta that does not say when it began, at least one second, and always count_interval', async () => {
    const deltas = [
      sum('unknown', 1, {}, { timeUnixNano: at(30), temporality: 'delta' }),
      sum('short', 1, {}, { timeUnixNano: at(30), startTimeUnixNano: at(29.9), temporality: 'delta' }),
    ]
    await (await exporting()).deliver(of({}, ...deltas))
    await (await exporting('count_interval: 15s')).deliver(of({}, ...deltas))
    expect(intake.series().map(({ metric, interval }) => [metric, interval])).toEqual([
      ['unknown', undefined],
      ['short', 1],
      ['unknown', 15],
      ['short', 15],
    ])
  })

  it('counts what it cannot send, each under its reason', async () => {
    const exporter = await exporting()
    const time = { timeUnixNano: at(0) }
    const balance = await exporter.deliver(
      of(
        {},
        { name: 'h', type: 'histogram', temporality: 'delta', points: [new HistogramPoint(time)] },
        { name: 'h', type: 'histogram', points: [new HistogramPoint(time)] },
        { name: 's', type: 'summary', points: [new SummaryPoint(time), new SummaryPoint(time)] },
        { name: 'empty', type: 'none' },
        sum('odd', 1, {}, { ...time, temporality: 'unspecified' }),
        {
          name: 'nan',
          type: 'gauge',
          points: [new NumberPoint({ ...time, value: NaN }), new NumberPoint({ ...time, value: -Infinity })],
        },
        { name: 'stale', type: 'gauge', points: [new NumberPoint({ ...time, flags: NO_RECORDED_VALUE })] },
        { name: 'timeless', type: 'gauge', points: [new NumberPoint({ value: 1 })] },
        { name: '123', type: 'gauge', points: [new NumberPoint({ ...time, value: 1 })] },
        level('good', 1, 0),
      ),
    )
    expect(balance).toMatchObject({
      handed_in: 11,
      created: 0,
      merged: 1,
      sent: 1,
      dropped: {
        no_observations: 1,
        first_value: 1,
        unspecified_temporality: 2,
        not_finite: 2,
        no_recorded_value: 1,
        no_timestamp: 1,
        invalid_name: 1,
      },
    })
    expect(intake.series()).toEqual([series({ metric: 'good', points: [[NOON, 1]] })])
  })
})

describe('names, hosts and tags', () => {
  it('puts the prefix in front once and writes names as Datadog stores them', async () => {
    const exporter = await exporting('metric_prefix: heka')
    await exporter.deliver(
      of({}, level('system.load', 1, 0), level('heka.system.load', 1, 1), level('http/req-time (µs)', 1, 0)),
    )
    expect(intake.series().map(({ metric, points }) => [metric, points.length])).toEqual([
      ['heka.system.load', 1],
      ['heka.system.load', 1],
      ['heka.http_req_time___s_', 1],
    ])
  })

  it('makes tags of resource attributes by the names Datadog has for them, sorted, lower-case and unique', async () => {
    const exporter = await exporting()
    await exporter.deliver(
      of(
        {
          'host.name': 'web-1',
          'service.name': 'Shop',
          'deployment.environment.name': 'prod',
          'k8s.pod.name': 'shop-7',
          'service.instance.id': 'i-1',
          'datadog.container.tag.rack': 'r1',
          'telemetry.sdk.name': 'opentelemetry',
          'os.type': 'linux',
          empty: '',
        },
        level('m', 1, 0, { State: 'Idle', 'os.type': 'bsd', 9: 'x' }),
      ),
    )
    expect(intake.series()[0].host).toBe('web-1')
    expect(intake.series()[0].tags).toEqual([
      'empty:n/a',
      'env:prod',
      'os.type:bsd',
      'pod_name:shop-7',
      'rack:r1',
      'service:shop',
      'state:idle',
      'x',
    ])
  })

  it('chooses resource attributes by name and by *', async () => {
    const exporter = await exporting('resource_attributes: { include: [k8s.*, team], exclude: [k8s.*.uid] }')
    await exporter.deliver(of({ 'k8s.pod.name': 'p', 'k8s.pod.uid': 'u', team: 'core', other: 'x' }, level('m', 1, 0)))
    expect(intake.series()[0].tags).toEqual(['pod_name:p', 'team:core'])
  })

  it("lets its own hostname and tags win over the resource, over Datadog's translations and over the point", async () => {
    const exporter = await exporting(
      'hostname: edge-7\ntags: ["env:staging", "team:core"]\nresource_attributes: { exclude: ["*"] }',
    )
    await exporter.deliver(
      of(
        { host: 'a', 'host.name': 'b', 'deployment.environment.name': 'prod', env: 'dev' },
        level('m', 1, 0, { team: 'blue', host: 'c', cpu: 0 }),
      ),
    )
    expect(intake.series()).toEqual([
      series({ host: 'edge-7', tags: ['cpu:0', 'env:staging', 'team:core'], points: [[NOON, 1]] }),
    ])
  })

  it("takes a point's attribute host for the host, as Datadog would", async () => {
    const exporter = await exporting()
    await exporter.deliver(of({ 'host.name': 'gateway' }, level('m', 1, 0, { host: 'db-1' })))
    expect(intake.series()).toEqual([series({ host: 'db-1', tags: [], points: [[NOON, 1]] })])
  })
})

describe('a point that lies further ahead than Datadog takes', () => {
  it('does not keep those that come after it from being sent', async () => {
    const exporter = await exporting()
    const ahead = Math.round(Date.now() / 1000) - NOON + 86_400
    const balance = await exporter.deliver(
      ...[of({}, counter('m', 1, 0)), of({}, counter('m', 2, ahead)), of({}, counter('m', 3, 20))],
    )
    expect(intake.series().map(({ points }) => points)).toEqual([[[NOON + 20, 2]]])
    expect(balance).toMatchObject({ handed_in: 3, sent: 1, dropped: { first_value: 1, too_new: 1 } })
  })
})

describe('points that become one series in one second', () => {
  it('adds counts, each the difference of its own series, when a tag replaces what told them apart', async () => {
    const exporter = await exporting('tags: ["state:all"]')
    const scrape = (seconds: number, user: number, idle: number): MetricBatch =>
      of({}, counter('cpu', user, seconds, { state: 'user' }), counter('cpu', idle, seconds, { state: 'idle' }))
    // The second one falls in between: until the next point says why, only the first has a difference.
    const balance = await exporter.deliver(scrape(0, 100, 500), scrape(10, 130, 560), scrape(20, 140, 5))
    expect(intake.series()).toEqual([
      series({ metric: 'cpu', type: 'count', tags: ['state:all'], interval: 10, points: [[NOON + 10, 90]] }),
      series({ metric: 'cpu', type: 'count', tags: ['state:all'], interval: 10, points: [[NOON + 20, 10]] }),
    ])
    expect(balance).toMatchObject({ handed_in: 6, sent: 2, merged: 2, dropped: { first_value: 2 } })
  })

  it('adds counters before the difference when their attribute was already gone when they came', async () => {
    const exporter = await exporting()
    const scrape = (seconds: number, user: number, idle: number): MetricBatch =>
      of({}, counter('cpu', user, seconds), counter('cpu', idle, seconds))
    const balance = await exporter.deliver(scrape(0, 100, 500), scrape(10, 130, 560))
    expect(intake.series()).toEqual([series({ metric: 'cpu', type: 'count', interval: 10, points: [[NOON + 10, 90]] })])
    expect(balance).toMatchObject({ handed_in: 4, sent: 1, merged: 2, dropped: { first_value: 1 } })
  })

  it('keeps the latest of gauges and adds sums that go up and down', async () => {
    const exporter = await exporting('resource_attributes: { exclude: [pid] }')
    const sessions = (value: number, seconds: number) =>
      sum('sessions', value, {}, { timeUnixNano: at(seconds), monotonic: false })
    const balance = await exporter.deliver(
      MetricBatch.of(
        { resource: { pid: 1 }, metrics: [level('temperature', 20, 0.9), sessions(3, 0.1), sessions(4, 0.2)] },
        { resource: { pid: 2 }, metrics: [level('temperature', 21, 0.1), sessions(10, 0.3)] },
      ),
    )
    expect(intake.series()).toEqual([
      series({ metric: 'temperature', points: [[NOON, 20]] }),
      series({ metric: 'sessions', points: [[NOON, 14]] }),
    ])
    expect(balance).toMatchObject({ sent: 2, merged: 2, dropped: { overwritten: 1 } })
    expect(exporter.logs.map(({ fields }) => fields)).toEqual([{ metric: 'temperature' }])
  })

  it('adds the counts of one series within a second, over the time they cover together', async () => {
    const exporter = await exporting()
    const delta = (value: number, from: number, to: number) =>
      sum('hits', value, {}, { timeUnixNano: at(to), startTimeUnixNano: at(from), temporality: 'delta' })
    await exporter.deliver(of({}, delta(1, -2, 0.1), delta(2, 0.1, 0.5), delta(4, 0.5, 0.9), delta(8, 0.9, 1.9)))
    expect(intake.series()).toEqual([
      series({ metric: 'hits', type: 'count', interval: 3, points: [[NOON, 7]] }),
      series({ metric: 'hits', type: 'count', interval: 1, points: [[NOON + 1, 8]] }),
    ])
  })

  it('sends many points of one series, each in its second', async () => {
    const points = Array.from(
      { length: 2500 },
      (_, index) => new NumberPoint({ value: index, timeUnixNano: at(2499 - index) }),
    )
    const balance = await (await exporting()).deliver(of({}, { name: 'm', type: 'gauge', points }))
    const sent = intake.series()
    expect(sent.flatMap((one) => one.points)).toEqual(points.map((_, index) => [NOON + 2499 - index, index]))
    expect(balance).toMatchObject({ sent: 2500, merged: 0 })
  })

  it('sees names and tags as Datadog does when it looks for them', async () => {
    const exporter = await exporting()
    const delta = (name: string, value: number, tag: string) =>
      sum(name, value, { path: tag }, { timeUnixNano: at(10), startTimeUnixNano: at(0), temporality: 'delta' })
    const balance = await exporter.deliver(of({}, delta('a-b', 1, 'X'), delta('a_b', 2, 'x'), delta('a_b', 4, 'x ')))
    expect(intake.series()).toEqual([
      series({ metric: 'a_b', type: 'count', interval: 10, tags: ['path:x'], points: [[NOON + 10, 7]] }),
    ])
    expect(balance).toMatchObject({ sent: 1, merged: 2 })
  })
})

describe('the way to Datadog', () => {
  const tls = { key: readFileSync(tlsFile('server.key')), cert: readFileSync(tlsFile('server.pem')) }

  it('leads through the proxy and past the private authority that the YAML names', async () => {
    const secure = await startIntake({ apiKey: 'good-key', tls })
    const proxy = await startProxy()
    const settings = `proxy_url: ${proxy.url}\ntls: { ca_file: "${tlsFile('ca.pem')}" }\nheaders: { X-Team: core }`
    const balance = await (await exporting(settings, secure.url)).deliver(of({}, level('m', 1, 0)))
    expect(balance).toMatchObject({ sent: 1, dropped: {} })
    expect(proxy.tunnels.map(({ target }) => target)).toEqual([new URL(secure.url).host])
    expect(secure.requests[0].headers).toMatchObject({ 'x-team': 'core', 'dd-api-key': 'good-key' })
  })

  it('keeps the path of an endpoint that has one', async () => {
    intake.respondBy(() => ({ status: 202 }))
    await (await exporting('', `${intake.url}/datadog/`)).deliver(of({}, level('m', 1, 0)))
    expect(intake.requests[0].path).toBe('/datadog/api/v1/series')
  })

  it('uses its connections again', async () => {
    const exporter = await exporting()
    await exporter.deliver(...Array.from({ length: 10 }, (_, second) => of({}, level('m', 1, second))))
    expect(intake.requests).toHaveLength(10)
    // A second one may open before the first is free again.
    expect(intake.connections()).toBeLessThanOrEqual(2)
  })
})

describe('what Datadog answers', () => {
  const many = (count: number): MetricBatch =>
    of({}, ...Array.from({ length: count }, (_, index) => level(`m${index}`, index, 0)))

  it('is not a page to sign in, after which it is sent again', async () => {
    const body = '<!doctype html><title>Sign in</title>'
    intake.respondWith({ status: 200, headers: { 'content-type': 'text/html' }, body }, { status: 200, body })
    const exporter = await exporting()
    expect(await exporter.deliver(of({}, level('m', 1, 0)))).toMatchObject({ sent: 1, dropped: {} })
    expect(intake.requests.map(({ status }) => status)).toEqual([200, 200, 202])
    expect(JSON.stringify(exporter.logs)).toContain('<title>Sign in</title>')
  })

  it.each([
    [200, 'fine', 1],
    [200, '{"status":"ok', 1],
    [200, '{"status":"ok"}', 0],
    [200, '', 0],
    [202, 'Accepted', 0],
    [204, '', 0],
  ])('counts as sent after %i "%s", with a warning where it is unreadable', async (status, body, warnings) => {
    intake.respondBy(() => ({ status, body }))
    const exporter = await exporting()
    expect(await exporter.deliver(of({}, level('m', 1, 0)), of({}, level('m', 1, 9)))).toMatchObject({ sent: 2 })
    const logged = exporter.logs.filter(({ fields }) => (fields as { event?: string })?.event === 'response_unreadable')
    expect(logged).toHaveLength(warnings)
  })

  it.each([401, 403, 404, 408, 429, 500, 502, 503, 302])('sends again after %i', async (status) => {
    intake.respondWith({ status }, { status, headers: { 'retry-after': '0' } })
    const exporter = await exporting()
    expect(await exporter.deliver(many(2))).toMatchObject({ sent: 2, dropped: {} })
    expect(intake.requests.map((request) => request.status)).toEqual([status, status, 202])
  })

  it('sends again after a dropped connection', async () => {
    intake.respondWith({ drop: true })
    expect(await (await exporting()).deliver(many(2))).toMatchObject({ sent: 2, dropped: {} })
  })

  it('sends again after an answer that takes too long', async () => {
    intake.respondWith({ delay: 60_000 })
    expect(await (await exporting('timeout: 100ms')).deliver(many(2))).toMatchObject({ sent: 2, dropped: {} })
  })

  it('gives up at once on what will never be taken', async () => {
    intake.respondWith({ status: 415, body: 'no' })
    const balance = await (await exporting()).deliver(many(3))
    expect(balance).toMatchObject({ sent: 0, dropped: { refused: 3 } })
    expect(intake.requests).toHaveLength(1)
  })

  it.each([
    ['v1', '{"status":"ok","errors":["metric m0: bad value","good-key has no metric m1"]}', 2],
    ['v2', '{"errors":["one"]}', 1],
    ['v2', '{"errors":["1","2","3","4","5"]}', 3],
    ['v2', '{"errors":"all of them"}', 1],
    ['v2', `{"errors":["${'x'.repeat(70_000)}`, 1],
    ['v1', '{"status":"ok","errors":[]}', 0],
    ['v1', '{"errors":null}', 0],
    ['v2', `{"errors":[],"more":"${'x'.repeat(70_000)}`, 0],
    ['v1', 'the "errors": a text of a proxy', 0],
  ])(
    'counts a point as rejected for each error that %s lists while it takes them: %#',
    async (version, body, rejected) => {
      const exporter = await exporting(`series_version: ${version}`)
      intake.respondWith({ status: 202, body })
      expect(await exporter.deliver(many(3))).toMatchObject({ sent: 3 - rejected, rejected, dropped: {} })
      expect(intake.requests).toHaveLength(1)
      const lines = exporter.logs.filter(({ level }) => level === 'error')
      expect(lines).toHaveLength(rejected > 0 ? 1 : 0)
      if (rejected > 0) expect(JSON.stringify(lines)).toMatch(/series: 202 .*each counts as one rejected point/)
      expect(JSON.stringify(lines)).not.toContain('good-key')
    },
  )

  it('waits after a 429 as long as X-RateLimit-Reset says, unless Retry-After says something else', async () => {
    const arrived: number[] = []
    const answers: Record<string, string>[] = [
      { 'x-ratelimit-reset': '1' },
      { 'x-ratelimit-reset': '60', 'retry-after': '0' },
      { 'x-ratelimit-reset': String(Math.floor(Date.now() / 1000)) },
    ]
    intake.respondBy(() => {
      const headers = answers.at(arrived.push(performance.now()) - 1)
      return headers && { status: 429, headers }
    })
    expect(await (await exporting()).deliver(many(1))).toMatchObject({ sent: 1, rejected: 0 })
    expect(arrived).toHaveLength(4)
    expect(arrived[1] - arrived[0]).toBeGreaterThan(950)
    // The last is a time, and it has passed.
    expect(arrived[3] - arrived[1]).toBeLessThan(900)
  })

  it('says that the key may be wrong, without the key', async () => {
    const exporter = await exporting('retry_on_failure: { enabled: false }\nsite: datadoghq.eu')
    intake.respondWith({ status: 403, body: '{"errors":["good-key is not a key"]}' })
    await exporter.deliver(many(1))
    const text = JSON.stringify(exporter.logs)
    expect(text).toContain('403')
    expect(text).toContain('a wrong API key, or the site of another account')
    expect(text).not.toContain('good-key')
  })

  it('halves what is too large until it is taken, and drops only the series that is too large by itself', async () => {
    intake.respondBy(({ body }) => {
      const names = (body as { series: { metric: string }[] }).series.map(({ metric }) => metric)
      return names.includes('m5') || names.length > 2 ? { status: 413 } : undefined
    })
    const balance = await (await exporting()).deliver(many(8))
    expect(balance).toMatchObject({ sent: 7, dropped: { too_large: 1 } })
    expect(intake.series().map(({ metric }) => metric)).toEqual(['m0', 'm1', 'm2', 'm3', 'm4', 'm6', 'm7'])
  })

  it('halves what is refused as bad, so that one bad series costs little', async () => {
    intake.respondBy(({ body }) => {
      const names = (body as { series: { metric: string }[] }).series.map(({ metric }) => metric)
      return names.includes('m37') ? { status: 400 } : undefined
    })
    const balance = await (await exporting()).deliver(many(64))
    expect(balance).toMatchObject({ sent: 60, dropped: { bad_request: 4 } })
    expect(intake.requests).toHaveLength(9)
  })

  it('asks at most 31 times when everything is refused as bad', async () => {
    intake.respondBy(() => ({ status: 400 }))
    const balance = await (await exporting()).deliver(many(1000))
    expect(balance).toMatchObject({ sent: 0, dropped: { bad_request: 1000 } })
    expect(intake.requests).toHaveLength(31)
  })
})

describe('the account of points', () => {
  const attributes = fc.dictionary(fc.constantFrom('a', 'A', 'b', 'host'), fc.constantFrom('1', 'X', 'x', ''), {
    maxKeys: 2,
  })
  const shared = {
    timeUnixNano: fc.constantFrom(0, 0.5, 1, 10, 10.25).map(at),
    startTimeUnixNano: fc.constantFrom(0n, BOOT, at(-1)),
    attributes: attributes.map((values) => Attributes.of(values)),
    flags: fc.constantFrom(0, 0, 0, NO_RECORDED_VALUE),
  }
  const value = fc.oneof(
    fc.integer({ min: -5, max: 5 }),
    fc.constantFrom(NaN, Infinity, 1.5),
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  )
  const extreme = fc.constantFrom(undefined, -1, 0, 7, NaN)
  const totals = {
    count: fc.constantFrom(0, 1, 6, 70_000, 2 ** 40),
    sum: fc.constantFrom(undefined, 0, -3.5, 100, NaN, Infinity),
    min: extreme,
    max: extreme,
  }
  const counts = fc.array(fc.constantFrom(0, 1, 2, 70_000, 2 ** 40), { maxLength: 4 })
  const buckets = fc.option(fc.record({ offset: fc.integer({ min: -2000, max: 2000 }), bucketCounts: counts }), {
    nil: undefined,
  })
  const number = fc.record({ ...shared, value }).map((fields) => new NumberPoint(fields))
  const histogram = fc
    .record({
      ...shared,
      ...totals,
      bucketCounts: counts,
      explicitBounds: fc.array(fc.constantFrom(-1, 0, 1, 5, 5, 1e300, NaN), { maxLength: 4 }),
    })
    .map((fields) => new HistogramPoint(fields))
  const exponential = fc
    .record({
      ...shared,
      ...totals,
      scale: fc.integer({ min: -10, max: 20 }),
      zeroCount: fc.constantFrom(0, 3),
      positive: buckets,
      negative: buckets,
    })
    .map((fields) => new ExponentialHistogramPoint(fields))
  const summary = fc
    .record({
      ...shared,
      count: totals.count,
      sum: fc.constantFrom(0, 5, NaN),
      quantileValues: fc.array(fc.record({ quantile: fc.constantFrom(0, 0.5, 1), value: fc.constantFrom(1, NaN) }), {
        maxLength: 3,
      }),
    })
    .map((fields) => new SummaryPoint(fields))
  const metricOf = (type: MetricFields['type'], point: fc.Arbitrary<DataPoint>): fc.Arbitrary<MetricFields> =>
    fc.record({
      type: fc.constant(type),
      name: fc.constantFrom('m', 'n', 'n-', 'n_', '1'),
      unit: fc.constantFrom('', 'By', 's'),
      temporality: fc.constantFrom('cumulative', 'delta', 'delta', 'unspecified'),
      monotonic: fc.boolean(),
      points: fc.array(point, { maxLength: 4 }),
    })
  const metric = fc.oneof(
    metricOf('gauge', number),
    metricOf('sum', number),
    metricOf('histogram', histogram),
    metricOf('exponential_histogram', exponential),
    metricOf('summary', summary),
  )
  const batches = fc.array(
    fc
      .array(fc.record({ pid: fc.integer({ min: 1, max: 2 }), metrics: fc.array(metric, { maxLength: 4 }) }), {
        maxLength: 2,
      })
      .map((entries) =>
        MetricBatch.of(...entries.map(({ pid, metrics }) => ({ resource: { 'process.pid': pid }, metrics }))),
      ),
    { maxLength: 3 },
  )

  it.each([
    ['distributions', 'v1'],
    ['counters', 'v2'],
  ])('is complete for whatever comes, histograms as %s, series %s', async (mode, version) => {
    const exporter = await exporting(
      `tags: ["b:x"]\ncompression: none\nhistograms: { mode: ${mode}, send_aggregation_metrics: true }\nseries_version: ${version}`,
    )
    await fc.assert(
      fc.asyncProperty(batches, fc.boolean(), async (all, asBytes) => {
        await exporter.deliver(...(asBytes ? all.map((batch) => MetricBatch.fromOtlp(batch.toOtlp())) : all))
      }),
      { numRuns: 60 },
    )
    // One distribution there is, whatever came.
    const point = new ExponentialHistogramPoint({
      ...{ count: 1, sum: 1, positive: { offset: 0, bucketCounts: [1] } },
      timeUnixNano: BigInt(NOON) * 1_000_000_000n,
    })
    const certain = { name: 'certain', type: 'exponential_histogram', temporality: 'delta', points: [point] } as const
    const { handed_in, created, sent, merged, dropped, ...rest } = await exporter.deliver(
      MetricBatch.of({ metrics: [certain] }),
    )
    expect(dropped).not.toHaveProperty('unaccounted')
    expect(dropped).not.toHaveProperty('exporter_error')
    expect(rest).toEqual({ restored: 0, rejected: 0, queued: 0, in_flight: 0, kept: 0 })
    expect(created).toBeGreaterThan(0)
    expect(sent + merged + Object.values(dropped).reduce((all, points) => all + points, 0)).toBe(handed_in + created)
    expect(intake.sketches().length).toBeGreaterThan(0)
    expect(intake.series().length + intake.sketches().length).toBe(sent)
    expect(new Set(intake.requests.map(({ status }) => status))).toEqual(new Set([202]))
    // Whatever one encoding yields stays together in one request here: it is small.
    for (const request of intake.requests) {
      const seen = new Set<string>()
      for (const { metric, type, host, tags, points } of seriesOf(request)) {
        const key = JSON.stringify([metric, type, host, tags, points[0][0]])
        expect(points).toHaveLength(1)
        expect(Number.isFinite(points[0][1])).toBe(true)
        expect(seen).not.toContain(key)
        seen.add(key)
      }
    }
  })

  /**
   * Objects may be what a processor made one series of several; the bytes of a sender that repeats a point are not. Nor does a
   * sender write the attributes of one series in several orders, which as bytes are several series.
   */
  const asSent = (batch: MetricBatch): MetricBatch => {
    const seen = new Set<string>()
    return batch
      .filterPoints(({ attributes, timeUnixNano }, { name }, resource) => {
        const key = [name, attributes.identity, resource.attributes.identity, timeUnixNano].join('\n')
        const repeated = seen.has(key)
        seen.add(key)
        return !repeated
      })
      .mapPoints((point) => point.withAttributes(Attributes.from([...point.attributes].sort(byKey))))
  }
  const byKey = (left: { key: string }, right: { key: string }): number => (left.key < right.key ? -1 : 1)

  it('and what is sent are the same whether batches come as bytes or as objects', async () => {
    await fc.assert(
      fc.asyncProperty(batches, async (all) => {
        const results = []
        const distinct = all.map(asSent)
        for (const given of [distinct, distinct.map((batch) => MetricBatch.fromOtlp(batch.toOtlp()))]) {
          const own = await startIntake()
          const exporter = await exporting('histograms: { send_aggregation_metrics: true }', own.url)
          const balance = await exporter.deliver(...given)
          results.push({ balance, series: own.series(), sketches: own.sketches() })
          await exporter.stop()
          await own.close()
        }
        expect(results[1]).toEqual(results[0])
      }),
      { numRuns: 40 },
    )
  })
})
