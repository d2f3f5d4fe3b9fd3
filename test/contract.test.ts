import { readFileSync, readdirSync } from 'node:fs'
import { parse } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from '@jest/globals'
import { from } from 'rxjs'
import { componentPage, indexPage, pagePath, settingRows, upgradingPage } from '../src/cli/pages.ts'
import { isSetting } from '../src/component/settings.ts'
import type { Component, ComponentKind } from '../src/component/define.ts'
import type { Exporter, ExporterComponent, ExportRequest } from '../src/component/exporter.ts'
import type { ProcessorComponent } from '../src/component/processor.ts'
import type { ReceiverComponent } from '../src/component/receiver.ts'
import type { Format, Settings } from '../src/component/settings.ts'
import { Attributes } from '../src/otlp/common/attributes.ts'
import { MetricBatch } from '../src/otlp/metrics/batch.ts'
import { toOtlpJson } from '../src/otlp/json/write.ts'
import { Metric } from '../src/otlp/metrics/metric.ts'
import { ExponentialHistogramPoint, HistogramPoint, NumberPoint, SummaryPoint } from '../src/otlp/metrics/points.ts'
import { checkComponent } from '../src/pipeline/config/config.ts'
import { listTypes, loadBuiltin, loadModule } from '../src/pipeline/modules/load.ts'
import type { PipelineBalance } from '../src/pipeline/telemetry/telemetry.ts'
import { gauge, sum, testComponent, testProcessor } from '../src/testing.ts'
import { gone } from './kit/garbage.ts'

/*
 * The rules of docs/component-spec.md, by number, over every component: those of the three folders and the custom ones we ship.
 */

const fromRoot = (path: string) => fileURLToPath(new URL(`../${path}`, import.meta.url))

interface Entry {
  readonly title: string
  readonly file: string
  readonly component: Component
}

async function builtinEntries(kind: ComponentKind): Promise<Entry[]> {
  const entries = []
  for (const file of await listTypes(kind)) {
    const component = await loadBuiltin(kind, file)
    if (component !== undefined) entries.push({ title: `${kind} ${file}`, file, component })
  }
  return entries
}

async function customEntries(folder: string): Promise<Entry[]> {
  const entries = []
  for (const name of readdirSync(folder).filter((file) => /\.[jt]s$/.test(file))) {
    const file = parse(name).name
    for (const component of await loadModule(name, folder)) entries.push({ title: `custom ${file}`, file, component })
  }
  return entries
}

const builtins = [
  ...(await builtinEntries('receiver')),
  ...(await builtinEntries('processor')),
  ...(await builtinEntries('exporter')),
]
const every = [...builtins, ...(await customEntries(fromRoot('config/custom-processor')))]
/** All of them serve metrics. */
interface OfKind {
  readonly receiver: ReceiverComponent
  readonly processor: ProcessorComponent
  readonly exporter: ExporterComponent
}

const ofKind = <K extends Component['kind']>(kind: K) =>
  every.flatMap(({ component, title }) =>
    component.kind === kind ? [{ title, component: component as OfKind[K] }] : [],
  )

const SENTENCE = /^[A-Z`][^]*\.$/

const firstExample = ({ examples = [] }: Component) => examples[0].yaml

/** A value for every variable that an example asks for, and nothing else. */
const envFor = (yaml: string) =>
  Object.fromEntries(Array.from(yaml.matchAll(/\$\{env:(\w+)/g), ([, name]) => [name, 'value']))
const testExample = <C extends Component>(component: C, yaml = firstExample(component)) =>
  testComponent(component, yaml, { env: envFor(yaml) })

/** So many of each kind that an exporter that works in turns leaves them. */
function manyDistributions(): MetricBatch {
  const now = BigInt(Date.now()) * 1_000_000n
  const times = { startTimeUnixNano: now - 10_000_000_000n, timeUnixNano: now }
  const points = Array.from({ length: 2500 }, (_, index) => ({
    ...times,
    attributes: Attributes.of({ path: `/${index}` }),
    count: 6 + index,
    sum: 20 + index,
  }))
  const buckets = (index: number) => ({ offset: index % 50, bucketCounts: [1, 2, 3 + index] })
  return MetricBatch.of({
    metrics: [
      {
        name: 'explicit',
        type: 'histogram',
        temporality: 'delta',
        points: points.map(
          (point, index) =>
            new HistogramPoint({ ...point, bucketCounts: [1, 2, 3 + index], explicitBounds: [1, 5 + (index % 9)] }),
        ),
      },
      {
        name: 'exponential',
        type: 'exponential_histogram',
        temporality: 'delta',
        points: points.map(
          (point, index) => new ExponentialHistogramPoint({ ...point, scale: 3, positive: buckets(index) }),
        ),
      },
    ],
  })
}

/** Points of every type, some with the names that components look at. */
const rich = MetricBatch.of({
  resource: { 'host.name': 'web-1', host: 'web-1', env: 'test', 'service.name': 'shop' },
  metrics: [
    gauge('system.memory.usage', 1, { state: 'used', host: 'db-1' }, { unit: 'By' }),
    sum('system.network.io', 2, { device: 'eth0' }, { unit: 'By', startTimeUnixNano: 1n }),
    sum('queue.size', -3, {}, { monotonic: false }),
    sum('requests', 4, {}, { temporality: 'delta', startTimeUnixNano: 1n }),
    gauge('not.a.number', NaN),
    new Metric({ name: 'gone', type: 'gauge', points: [new NumberPoint({ flags: 1 })] }),
    new Metric({
      name: 'duration',
      type: 'histogram',
      temporality: 'delta',
      points: [new HistogramPoint({ count: 2, sum: 3, bucketCounts: [1, 1], explicitBounds: [1] })],
    }),
    new Metric({
      name: 'size',
      type: 'exponential_histogram',
      temporality: 'delta',
      points: [new ExponentialHistogramPoint({ count: 1, sum: 1, positive: { offset: 0, bucketCounts: [1] } })],
    }),
    new Metric({
      name: 'latency',
      type: 'summary',
      points: [new SummaryPoint({ attributes: Attributes.of({ a: 1 }) })],
    }),
    new Metric({ name: 'nothing', type: 'none' }),
  ],
})

/** What has been counted until a round, in every type that counts. */
function cumulative(round: number): MetricBatch {
  const times = {
    startTimeUnixNano: 1n,
    timeUnixNano: BigInt(round) * 1_000_000_000n,
    attributes: Attributes.of({ a: 1 }),
  }
  const extremes = { min: -round, max: round }
  const buckets = {
    count: 3 * round,
    sum: round / 3,
    bucketCounts: [round, 2 * round],
    explicitBounds: [1],
    ...extremes,
  }
  const exponential = { count: round, positive: { offset: 0, bucketCounts: [round] } }
  const temporality = 'cumulative'
  const metrics = [
    {
      name: 'ints',
      type: 'sum',
      temporality,
      monotonic: true,
      points: [new NumberPoint({ ...times, value: round, isInt: true })],
    },
    {
      name: 'doubles',
      type: 'sum',
      temporality,
      monotonic: true,
      points: [new NumberPoint({ ...times, value: round / 3 })],
    },
    { name: 'buckets', type: 'histogram', temporality, points: [new HistogramPoint({ ...times, ...buckets })] },
    {
      name: 'scaled',
      type: 'exponential_histogram',
      temporality,
      points: [new ExponentialHistogramPoint({ ...times, ...exponential })],
    },
    { name: 'quantiles', type: 'summary', points: [new SummaryPoint({ ...times, count: round, sum: round / 3 })] },
  ] as const
  return MetricBatch.fromOtlp(MetricBatch.of({ resource: { 'service.name': 'shop' }, metrics }).toOtlp())
}

/** A batch of three points in which looking at anything else throws. */
const poisoned = new Proxy(MetricBatch.empty, {
  get(_target, name) {
    if (name === 'pointCount' || name === 'itemCount') return 3
    if (name === 'signal') return 'metrics'
    throw new Error('poisoned')
  },
})

/** Both sides of the equation of a pipeline's balance sheet. */
const sides = ({ accepted, created, filtered, merged, dropped, refused, held, handed_on }: PipelineBalance) => ({
  in: accepted + created,
  out: filtered + merged + Object.values(dropped).reduce((a, b) => a + b, 0) + refused + held + handed_on,
})

/** The YAML entry with an unknown key in each map that the settings know. */
function* withUnknownKeys(settings: Settings): Generator<{ path: string; value: object }> {
  yield { path: 'unheard_of', value: { unheard_of: 1 } }
  for (const [name, entry] of Object.entries(settings)) {
    const inner = isSetting(entry) ? settingsInside(entry.format) : entry
    if (inner === undefined) continue
    for (const { path, value } of withUnknownKeys(inner)) yield { path: `${name}.${path}`, value: { [name]: value } }
  }
}

function settingsInside(format: Format): Settings | undefined {
  return typeof format === 'object' && 'settings' in format ? format.settings : undefined
}

describe.each(every)('$title keeps to the contract:', ({ component, file }) => {
  it('1. its type is the name of its file, and no other component has its aliases', () => {
    expect(component.type).toBe(file)
    const others = every.filter((other) => other.component.kind === component.kind && other.component !== component)
    const names = others.flatMap((other) => [other.component.type, ...(other.component.aliases ?? [])])
    expect((component.aliases ?? []).filter((alias) => names.includes(alias))).toEqual([])
  })

  it('2. its summary and the doc of every setting are sentences for the person who edits the YAML', () => {
    expect(component.summary).toMatch(SENTENCE)
    expect(component.summary).not.toContain('\n')
    for (const { setting } of settingRows(component.config)) expect(setting.doc).toMatch(SENTENCE)
  })

  it('3. its settings are snake_case, and what is a secret is marked as one', () => {
    for (const { path, setting } of settingRows(component.config)) {
      expect(path).toMatch(/^[a-z][a-z0-9_]*([.[\]]|<key>|[a-z0-9_])*$/)
      if (/(^|[._])(api_key|password|secret|token)$/.test(path))
        expect({ path, secret: setting.secret }).toEqual({ path, secret: true })
    }
  })

  it('5. it has an example, and every example loads', async () => {
    expect(component.examples?.length).toBeGreaterThan(0)
    for (const { yaml } of component.examples ?? []) await testExample(component, yaml)
  })

  it('6. it refuses settings it does not know, at every level', async () => {
    for (const { path, value } of withUnknownKeys(component.config)) {
      const yaml = JSON.stringify({ [component.type]: value })
      await expect(checkComponent(component, yaml, {})).rejects.toThrow(`${component.type}.${path}: `)
    }
  })

  it('7. creating it opens nothing', async () => {
    const before = process.getActiveResourcesInfo().sort()
    await testExample(component)
    expect(process.getActiveResourcesInfo().sort()).toEqual(before)
  })

  it('8. it can be stopped without having been started, and twice', async () => {
    const { stop, logs } = await testExample(component)
    await stop()
    await stop()
    expect(logs.filter(({ level }) => level === 'error')).toEqual([])
  })
})

describe.each(builtins)('$title', ({ component }) => {
  it('4. has the page that is made from its declaration', () => {
    expect(readFileSync(fromRoot(`docs/${pagePath(component)}`), 'utf8')).toBe(componentPage(component))
  })
})

it('4. the list of components is the one made from the declarations', () => {
  expect(readFileSync(fromRoot('docs/components.md'), 'utf8')).toBe(
    indexPage(builtins.map(({ component }) => component)),
  )
})

it('4. the page about upgrading has the changed defaults of the declarations', () => {
  const page = readFileSync(fromRoot('docs/upgrading.md'), 'utf8')
  expect(
    upgradingPage(
      page,
      builtins.map(({ component }) => component),
    ),
  ).toBe(page)
})

describe.each(ofKind('receiver'))('$title keeps to the contract:', ({ component }) => {
  it('9. it ends when it is asked to, and leaves nothing open', async () => {
    const before = process.getActiveResourcesInfo().sort()
    const { created, stop, logs } = await testExample(component)
    const subscription = from(created).subscribe()
    await stop()
    subscription.unsubscribe()
    await stop()
    expect(logs.filter(({ level }) => level === 'error')).toEqual([])
    expect(process.getActiveResourcesInfo().sort()).toEqual(before)
  })
})

describe.each(ofKind('processor'))('$title keeps to the contract:', ({ component }) => {
  it('10. it accounts for every point and does not change what it is given', async () => {
    const { process, stop, balance } = await testProcessor(component, firstExample(component))
    const before = Buffer.from(rich.toOtlp())
    const fresh = MetricBatch.fromOtlp(before)
    await process(fresh)
    await process(rich)
    await stop()
    const { in: incoming, out } = sides(balance())
    expect(incoming).toBe(out)
    expect(balance()).toMatchObject({ accepted: 2 * rich.pointCount, dropped: {}, held: 0 })
    expect(Buffer.from(MetricBatch.fromResources(fresh.resources).toOtlp())).toEqual(before)
  })

  it('16. it keeps nothing of the request that a batch came in', async () => {
    const { created, stop } = await testExample(component)
    // An operator is there to hold what it is given for a time.
    const process = typeof created === 'function' ? created : () => undefined
    const take = async (round: number): Promise<WeakRef<object>> => {
      const { batch, bytes } = received(round)
      await process(batch, { filtered() {} })
      return bytes
    }
    await gone([await take(1), await take(2)])
    await stop()
  })

  it('11. what it throws costs one counted batch, and the next one passes', async () => {
    const { process, stop, balance } = await testProcessor(component, firstExample(component))
    await expect(process(poisoned)).rejects.toThrow('3 data points were lost')
    expect(balance().dropped).toEqual({ processor_error: 3 })
    await process(rich)
    await stop()
    const { in: incoming, out } = sides(balance())
    expect(incoming).toBe(out)
    expect(balance()).toMatchObject({ accepted: 3 + rich.pointCount, dropped: { processor_error: 3 } })
  })
})

/** A batch made of bytes of its own, and what tells whether they live. */
function received(round: number): { batch: MetricBatch; bytes: WeakRef<object> } {
  const { buffer } = Uint8Array.from(cumulative(round).toOtlp())
  return { batch: MetricBatch.fromOtlp(new Uint8Array(buffer)), bytes: new WeakRef(buffer) }
}

describe.each(ofKind('exporter'))('$title keeps to the contract:', ({ component }) => {
  const accounting = () => {
    const counts = { created: 0, merged: 0, dropped: 0 }
    const account = {
      created: (points: number) => void (counts.created += points),
      merged: (points: number) => void (counts.merged += points),
      dropped: (reason: string, points: number) => {
        expect(reason).toMatch(/^[a-z][a-z0-9_]*$/)
        counts.dropped += points
      },
    }
    return { account, total: () => counts.merged + counts.dropped - counts.created }
  }

  it('12. it accounts for every point before the queue and in its requests, also when they are divided', async () => {
    const { created } = await testExample(component)
    const exporter: Exporter = created
    const preparing = accounting()
    const prepared = exporter.prepare?.(rich, preparing.account) ?? rich
    expect(prepared.pointCount + preparing.total()).toBe(rich.pointCount)

    const encoding = accounting()
    const requests = [...exporter.encode(prepared, encoding.account)]
    const points = requests.reduce((total, request) => total + request.items, 0)
    expect(points + encoding.total()).toBe(prepared.pointCount)
    for (const request of requests) {
      expect(request.bytes).toBeGreaterThan(0)
      const parts = request.divide?.() ?? [request]
      expect(parts.reduce((total, part) => total + part.items, 0)).toBe(request.items)
    }
  })

  it('14. it opens nothing before it sends, and explains its requests as they are', async () => {
    const before = process.getActiveResourcesInfo().sort()
    const { created } = await testExample(component)
    const exporter: Exporter = created
    const { account } = accounting()
    const prepared = exporter.prepare?.(rich, account) ?? rich
    const requests = [...exporter.encode(prepared, account)]
    const explanation = exporter.explain?.({ received: rich, prepared, requests })
    expect(explanation?.requests.length ?? requests.length).toBe(requests.length)
    expect(process.getActiveResourcesInfo().sort()).toEqual(before)
  })

  it('13. it encodes the same batch the same way again', async () => {
    const { created } = await testExample(component)
    const exporter: Exporter = created
    const shapes = () => [...exporter.encode(rich, accounting().account)].map(({ items, bytes }) => ({ items, bytes }))
    expect(shapes()).toEqual(shapes())
  })

  it('13. it makes in turns what it makes at once, and lets another work in between', async () => {
    const bodies = ({ items, bytes, ...rest }: ExportRequest & { body?: Uint8Array; text?: string }) =>
      [items, bytes, rest.body, rest.text] as const
    const exporters: Exporter[] = []
    for (let index = 0; index < 3; index++) exporters.push((await testExample(component)).created)
    const [whole, ...others] = exporters
    const batch = manyDistributions()
    const { account } = accounting()
    /** What each of the others makes, a little at a time. */
    const results = <Result>(work: (exporter: Exporter) => Generator<void, Result> | undefined): Result[] => {
      const works = others.flatMap((other) => work(other) ?? [])
      const done: Result[] = []
      for (let pauses = 0; done.length < works.length; pauses++) {
        works.forEach((each) => {
          const { done: isDone, value } = each.next()
          if (!isDone) return
          if (component.type.startsWith('datadog')) expect(pauses).toBeGreaterThan(3)
          if (value !== undefined) done.push(value)
        })
      }
      return done
    }
    const prepared = whole.prepare?.(batch, account) ?? batch
    for (const each of results((exporter) => exporter.prepareInTurns?.(batch, account))) {
      expect(toOtlpJson(each)).toBe(toOtlpJson(prepared))
    }
    const expected = Array.from(whole.encode(prepared, account), bodies)
    for (const each of results((exporter) => exporter.encodeInTurns?.(prepared, account))) {
      expect(Array.from(each, bodies)).toEqual(expected)
    }
  })

  it('16. it keeps nothing of the request that a batch came in, nor of what it prepared', async () => {
    const { created } = await testExample(component)
    const exporter: Exporter = created
    const take = (round: number): WeakRef<object>[] => {
      const { batch, bytes } = received(round)
      const { account } = accounting()
      const prepared = exporter.prepare?.(batch, account) ?? batch
      expect([...exporter.encode(prepared, account)].length).toBeGreaterThanOrEqual(0)
      const sources = Array.from(prepared.metrics(), ({ metric }) => metric.encoded?.source)
      return [bytes, ...sources.flatMap((source) => (source === undefined ? [] : [new WeakRef(source)]))]
    }
    await gone([...take(1), ...take(2)])
    expect(exporter).toBe(created)
  })

  it('15. from what it tells of the memory of `prepare`, another goes on as if it were the same', async () => {
    const [first, next, fresh] = await Promise.all([1, 2, 3].map(async () => (await testExample(component)).created))
    const prepare = (exporter: Exporter, round: number): { text: string; total: number } => {
      const { account, total } = accounting()
      const batch = cumulative(round)
      return { text: toOtlpJson(exporter.prepare?.(batch, account) ?? batch), total: total() }
    }
    first.state?.beginCheckpoint()
    const told = [1, 2].map((round) => {
      prepare(first, round)
      return { bytes: first.state?.changes().bytes ?? new Uint8Array(), age: 0 }
    })
    next.state?.restore([told])
    const expected = prepare(first, 3)
    expect(prepare(next, 3)).toEqual(expected)
    // Whoever remembers nothing tells nothing.
    if (first.state === undefined) expect(prepare(fresh, 3)).toEqual(expected)
    else expect(prepare(fresh, 3)).not.toEqual(expected)
  })
})
