import type { ReceiverComponent } from '../../src/component/receiver.ts'
import type { Signal } from '../../src/otlp/signal.ts'
import { SIGNALS } from '../../src/otlp/signals.ts'
import { loadConfig } from '../../src/pipeline/config/config.ts'
import type { PipelineConfig } from '../../src/pipeline/config/config.ts'
import type { Random } from '../kit/random.ts'
import { brokenReceiver } from './components.ts'
import type { simulatedProcessors } from './components.ts'
import { routes } from './items.ts'
import type { Route } from './items.ts'

interface SimulatedComponents {
  readonly receiver: ReceiverComponent
  readonly processors: ReturnType<typeof simulatedProcessors>
}

/** A configuration as the simulation needs to know it. */
export interface Plan {
  readonly text: string
  readonly config: PipelineConfig
  /** What all signals of an exporter may take together. */
  readonly consumers: number
  readonly diskSize: number
  /** Whether batches are split. */
  readonly splits: boolean
}

/** Processors by route. What an operator holds is acknowledged, and gone when the process dies. */
const STEPS: Readonly<Record<Route | 'deltas', readonly string[]>> = {
  disk: ['slow', 'failing'],
  deltas: ['slow'],
  memory: ['slow', 'failing', 'holding', 'splitting'],
  fan: ['failing', 'slow', 'splitting'],
}

const BROKEN = 'broken'

/** Read once: to check a configuration takes longer than most simulations. */
const known = new Map<string, Promise<PipelineConfig>>()

export interface PlanOptions {
  /** Each route has all signals, instead of one, two or three. */
  readonly all?: boolean
  /** No reload to it succeeds. */
  readonly broken?: boolean
}

/** A configuration of many, as YAML and with the components of the simulation in it. */
export async function planOf(
  random: Random,
  { receiver, processors }: SimulatedComponents,
  { all = false, broken = false }: PlanOptions = {},
): Promise<Plan> {
  const { text, ...limits } = textOf(random)
  const steps = new Map<string, string[]>()
  for (const route of routes) {
    const drawn = SIGNALS.filter(() => all || random.chance(0.5))
    for (const signal of drawn.length > 0 ? drawn : [random.pick(SIGNALS)]) {
      steps.set(
        `${signal}/${route}`,
        STEPS[route].filter(() => random.chance(0.3)),
      )
    }
  }
  steps.set(
    'metrics/deltas',
    STEPS.deltas.filter(() => random.chance(0.3)),
  )
  let loaded = known.get(text)
  if (loaded === undefined) {
    loaded = loadConfig({ files: [{ name: 'simulation.yaml', text }], env: {}, baseDirectory: '/' })
    known.set(text, loaded)
  }
  const config = await loaded
  const place = { source: 'simulation' }
  return {
    ...limits,
    text: `${text}${JSON.stringify(Object.fromEntries(steps))}`,
    config: {
      ...config,
      receivers: new Map([
        ...Array.from(config.receivers, ([id, each]) => [id, { ...each, config: {}, component: receiver }] as const),
        [BROKEN, { id: BROKEN, component: brokenReceiver, config: {}, place, used: broken }],
      ]),
      processors: new Map(
        Object.entries(processors).map(([id, component]) => [id, { id, component, config: {}, place, used: true }]),
      ),
      pipelines: new Map(
        Array.from(steps, ([id, names]) => {
          const pipeline = config.pipelines.get(id)!
          const receivers = broken ? [...pipeline.receivers, BROKEN] : pipeline.receivers
          return [id, { ...pipeline, receivers, processors: names }]
        }),
      ),
    },
  }
}

/** The signals of the pipelines that name an exporter. */
export function signalsOf({ pipelines }: PipelineConfig, exporter: string): ReadonlySet<Signal> {
  return new Set(
    [...pipelines.values()].filter(({ exporters }) => exporters.includes(exporter)).map(({ signal }) => signal),
  )
}

const MIB = 2 ** 20

function textOf(random: Random): Pick<Plan, 'text' | 'consumers' | 'diskSize' | 'splits'> {
  const retry = random.pick([
    '{ initial_interval: 100ms, max_interval: 1s }',
    '{ initial_interval: 5s, max_interval: 30s }',
  ])
  const splits = random.chance(0.5)
  const batch = splits ? ', batch: { min_size: 20, max_size: 50, flush_timeout: 1s }' : ''
  const blocks = random.pick(['', ', block_on_overflow: true'])
  const consumers = random.pick([1, 10])
  const timeout = random.pick(['1s', '5s'])
  const diskSize = random.pick([1, 2]) * MIB
  const disk = `max_disk_size: ${diskSize / MIB}MiB${random.pick(['', ', queue_size: 20'])}`
  const memory = random.pick(['queue_size: 5', 'queue_size: 5, on_full: drop_oldest', 'queue_size: 100, sizer: items'])
  const delivery = `timeout: ${timeout}, retry_on_failure: ${retry}`
  const ids = routes.flatMap((route) => SIGNALS.map((signal) => [route, signal] as const))
  const exporters = { disk: 'otlp_http/disk', memory: 'otlp_http/memory', fan: 'otlp_http/disk, otlp_http/memory' }
  const pipelines = ids.map(
    ([route, signal]) => `    ${signal}/${route}: { receivers: [otlp/${route}], exporters: [${exporters[route]}] }`,
  )
  const text = `
receivers:
  otlp/disk: &clients { protocols: { http: { endpoint: 'localhost:0' } } }
  otlp/memory: *clients
  otlp/fan: *clients
  otlp/deltas: *clients
exporters:
  otlp_http/disk:
    { endpoint: 'http://disk.test', compression: none, ${delivery}, sending_queue: { directory: /queue, num_consumers: ${consumers}, ${disk}${batch}${blocks} } }
  otlp_http/memory:
    { endpoint: 'http://memory.test', compression: none, ${delivery}, sending_queue: { num_consumers: ${consumers}, ${memory}${batch}${blocks} } }
  datadog_native/deltas:
    { endpoint: 'http://datadog.test', api_key: any, compression: none, max_age: 0s, max_ahead: 0s, delta_ttl: 500h, initial_value: drop, ${delivery}, sending_queue: { directory: /queue, num_consumers: ${consumers} } }
service:
  shutdown_timeout: ${random.pick(['1s', '30s'])}
  telemetry: { metrics: { level: none } }
  pipelines:
${pipelines.join('\n')}
    metrics/deltas: { receivers: [otlp/deltas], exporters: [datadog_native/deltas] }
`
  return { text, consumers, diskSize, splits }
}
