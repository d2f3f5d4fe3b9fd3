import { isDeepStrictEqual } from 'node:util'
import type { Timer } from '../time/clock.ts'
import { defineComponent } from '../component/define.ts'
import type { ProcessBatch } from '../component/processor.ts'
import type { Settings } from '../component/settings.ts'
import { perResource } from '../otlp/common/resource.ts'
import type { AnyBatch } from '../otlp/signals.ts'
import { partByPart } from '../component/part_by_part.ts'
import { detect, detectors } from './resource_detection/detect.ts'
import type { DetectorName } from './resource_detection/detect.ts'
import { switches } from './resource_detection/detector.ts'
import type { Detector, Found } from './resource_detection/detector.ts'

const names = Object.keys(detectors) as DetectorName[]

const cloud = ['ec2', 'gcp', 'azure'] as const satisfies DetectorName[]

export default defineComponent({
  kind: 'processor',
  type: 'resource_detection',
  signals: ['metrics', 'logs', 'traces'],
  summary: 'Detects where it runs, and adds that as resource attributes to all data that passes.',
  description: `
All detectors run at once, with the first batch, which waits for them at most for \`timeout\`:

${names.map((name) => `- \`${name}\`: ${detectors[name].doc}`).join('\n')}

If several detectors find the same attribute, the first one in \`detectors\` counts. A failure of a detector is logged; it never
keeps the pipeline from starting or data from passing. Each attribute has a switch of its own, except those of \`env\`, which are
set as they are given. Metadata services are asked directly, past any proxy.

[host_metrics](../receivers/host_metrics.md) sets the attributes of its host itself. A gateway that serves other hosts needs
\`override: false\`, or all data appears to come from the gateway; [Datadog's rules](../datadog.md) for hosts read these attributes.
`,
  config: {
    detectors: { doc: 'The detectors, in order of precedence.', format: { list: names }, default: ['env'] },
    override: {
      doc: 'Whether a detected attribute replaces one that the data already has (`true`), or the data keeps its own (`false`).',
      format: 'boolean',
      default: true,
    },
    timeout: { doc: 'How long all detectors together may take.', format: 'duration', default: '5s' },
    refresh_interval: {
      doc: 'The interval at which the detectors run again; each keeps its findings until it finds new ones. `0s`: never.',
      format: 'duration',
      default: '0s',
    },
    env: detectors.env.settings,
    system: settingsOf(detectors.system),
    docker: settingsOf(detectors.docker),
    kubernetes: settingsOf(detectors.kubernetes),
    ec2: settingsOf(detectors.ec2),
    gcp: settingsOf(detectors.gcp),
    azure: settingsOf(detectors.azure),
  },
  examples: [
    {
      title: 'From the environment and the operating system',
      yaml: 'resource_detection: { detectors: [env, system] }',
    },
    {
      title: 'On Amazon EC2, with the instance id as the host name',
      yaml: `
resource_detection:
  detectors: [env, ec2, system]
  timeout: 2s
  ec2:
    resource_attributes:
      host.name: { enabled: false }
`,
    },
    {
      title: 'In a pod, for data from its other containers',
      yaml: `
resource_detection/pod:
  detectors: [kubernetes]
  override: false
  kubernetes:
    node_name: \${env:MY_NODE_NAME:-unknown}
`,
    },
  ],
  *check({ detectors, timeout, ...config }) {
    if (detectors.length === 0) yield { path: 'detectors', message: 'is empty, so nothing is detected' }
    if (timeout === 0) yield { path: 'timeout', message: 'must be longer than 0s' }
    for (const name of cloud) {
      if (config[name].endpoint.includes('?')) yield { path: `${name}.endpoint`, message: 'must not contain a query' }
    }
  },
  create({ clock, config, log, signal, onStop }) {
    const known = new Map<DetectorName, Found>()
    let detected: Found | undefined
    let add: ProcessBatch<AnyBatch> = (batch) => batch
    let first: Promise<void> | undefined
    let timer: Timer | undefined
    onStop(() => clock.clearTimeout(timer))

    async function refresh(): Promise<void> {
      for (const [name, found] of await detect(config.detectors, config, {
        clock,
        log,
        signal,
        timeout: config.timeout,
      })) {
        if (found !== undefined) known.set(name, found)
      }
      const inOrder = config.detectors.map((name) => known.get(name) ?? {})
      const found = Object.assign({}, ...inOrder.reverse()) as Found
      if (!isDeepStrictEqual(found, detected)) log.info('The resource was detected.', { attributes: found })
      detected = found
      add = adding(found)
      if (config.refresh_interval === 0 || signal.aborted) return
      timer = clock.setTimeout(() => void refresh(), config.refresh_interval)
    }

    function adding(found: Found): ProcessBatch<AnyBatch> {
      const added = perResource((resource) => {
        const { attributes } = resource
        const missing = () => Object.fromEntries(Object.entries(found).filter(([key]) => !attributes.has(key)))
        return resource.withAttributes(attributes.with(config.override ? found : missing()))
      })
      return partByPart((batch: AnyBatch) => batch.mapResources(added), 'resources')
    }

    return (batch, account) => {
      if (detected !== undefined) return add(batch, account)
      first ??= refresh()
      return first.then(() => add(batch, account))
    }
  },
})

/** The settings of a detector, and a switch for each of its attributes. */
function settingsOf<const S extends Settings>({ settings, attributes }: Detector<S>) {
  return { ...settings, resource_attributes: switches(attributes) }
}
