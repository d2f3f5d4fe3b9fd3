import type { ProcessorComponent } from '../../src/component/processor.ts'
import type { ReceiverComponent } from '../../src/component/receiver.ts'
import { loadConfig } from '../../src/pipeline/config/config.ts'
import type { PipelineConfig } from '../../src/pipeline/config/config.ts'
import type { Random } from '../kit/random.ts'

interface SimulatedComponents {
  readonly receiver: ReceiverComponent
  readonly processors: Readonly<Record<string, ProcessorComponent>>
}

/** Read once: to check a configuration takes longer than most simulations. */
const known = new Map<string, Promise<PipelineConfig>>()

/** A configuration of many, as YAML and with the components of the simulation in it. */
export async function configOf(
  random: Random,
  { receiver, processors }: SimulatedComponents,
): Promise<{ text: string; config: PipelineConfig }> {
  const text = textOf(random)
  const chosen = (names: readonly string[]): string[] => names.filter(() => random.chance(0.3))
  // What an operator holds is acknowledged, and gone when the process dies.
  const steps: Record<string, string[]> = {
    'metrics/disk': chosen(['slow', 'failing']),
    'metrics/deltas': chosen(['slow']),
    'metrics/memory': chosen(['slow', 'failing', 'holding', 'splitting']),
    'metrics/fan': chosen(['failing', 'slow', 'splitting']),
  }
  let loaded = known.get(text)
  if (loaded === undefined) {
    loaded = loadConfig({ files: [{ name: 'simulation.yaml', text }], env: {}, baseDirectory: '/' })
    known.set(text, loaded)
  }
  const config = await loaded
  const place = { source: 'simulation' }
  return {
    text: `${text}${JSON.stringify(steps)}`,
    config: {
      ...config,
      receivers: new Map(
        Array.from(config.receivers, ([id, each]) => [id, { ...each, config: {}, component: receiver }]),
      ),
      processors: new Map(
        Object.entries(processors).map(([id, component]) => [id, { id, component, config: {}, place, used: true }]),
      ),
      pipelines: new Map(
        Array.from(config.pipelines, ([id, pipeline]) => [id, { ...pipeline, processors: steps[id] }]),
      ),
    },
  }
}

function textOf(random: Random): string {
  const retry = random.pick([
    '{ initial_interval: 100ms, max_interval: 1s }',
    '{ initial_interval: 5s, max_interval: 30s }',
  ])
  const batch = random.pick(['', ', batch: { min_size: 20, max_size: 50, flush_timeout: 1s }'])
  const blocks = random.pick(['', ', block_on_overflow: true'])
  const consumers = random.pick([1, 10])
  const timeout = random.pick(['1s', '5s'])
  const disk = random.pick(['max_disk_size: 1MiB', 'queue_size: 20'])
  const memory = random.pick(['queue_size: 5', 'queue_size: 5, on_full: drop_oldest', 'queue_size: 100, sizer: items'])
  const delivery = `timeout: ${timeout}, retry_on_failure: ${retry}`
  return `
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
    metrics/disk: { receivers: [otlp/disk], exporters: [otlp_http/disk] }
    metrics/memory: { receivers: [otlp/memory], exporters: [otlp_http/memory] }
    metrics/fan: { receivers: [otlp/fan], exporters: [otlp_http/disk, otlp_http/memory] }
    metrics/deltas: { receivers: [otlp/deltas], exporters: [datadog_native/deltas] }
`
}
