import { defineComponent } from '../component/define.ts'
import type { ProcessBatch } from '../component/processor.ts'
import { hostOverrider } from '../datadog/host.ts'
import type { AnyBatch } from '../otlp/signals.ts'
import { agentHostname } from './hostname_override/agent_hostname.ts'
import { partByPart } from '../component/part_by_part.ts'
import { ec2 } from './resource_detection/ec2.ts'
import { gcp } from './resource_detection/gcp.ts'
import { system } from './resource_detection/system.ts'

export default defineComponent({
  kind: 'processor',
  type: 'hostname_override',
  signals: ['metrics', 'logs', 'traces'],
  summary: 'Sets one host name for all data that passes.',
  description: `
Sets the resource attributes \`host.name\` and \`datadog.host.name\`, and replaces an existing resource or data point attribute
\`host\`, so that every destination sees the same host. Datadog's own rules find it, too: a workload that Datadog would not assign
to a host (an ECS Fargate task, an app of Azure App Service, a Google Cloud Run instance) loses the attribute that causes this,
\`aws.ecs.launchtype\` or \`cloud.platform\`.

With \`mode: fallback\`, only resources in which Datadog would find no host are changed, and data points keep their attributes.
Names that Datadog does not accept for a host, such as \`localhost\`, do not count.

Without a \`hostname\`, the name is the one that Datadog's Agent would give this machine, so that both report the same host:

1. On Google Compute Engine, the full name from its metadata server.
2. Elsewhere, the \`node_name\` or, without one, the name of the system.
3. If EC2 has chosen that name (it begins with \`ip-\`, \`domu\` or \`ec2amaz-\`), the id of the instance instead.

A metadata service is asked only in the first and the third case, with the first batch, which waits for at most two seconds. If
there is no answer, this is logged and the system's name is used.
`,
  config: {
    hostname: {
      doc: "The name of the host. Unset: the name that Datadog's Agent would find.",
      format: 'hostname',
      default: undefined,
      env: ['DD_HOSTNAME'],
    },
    mode: {
      doc: 'Whether the name replaces the host in the data (`override`), or is only used if the data names no host (`fallback`).',
      format: ['override', 'fallback'],
      default: 'override',
    },
    node_name: {
      doc: "The name of the Kubernetes node, used instead of the system's name if `hostname` is unset.",
      format: 'hostname',
      default: undefined,
      env: ['K8S_NODE_NAME', 'NODE_NAME'],
    },
    root_path: system.settings.root_path,
    ec2: ec2.settings,
    gcp: gcp.settings,
  },
  examples: [
    { title: 'One host for all data', yaml: 'hostname_override: { hostname: web-1.example.org }' },
    {
      title: 'A host for data without one',
      yaml: `
hostname_override:
  hostname: \${env:NODE_NAME:-unknown-node}
  mode: fallback
`,
    },
    { title: "The host that Datadog's Agent would find", yaml: 'hostname_override:' },
  ],
  create({ clock, config, log, signal }) {
    const { hostname, mode } = config
    if (hostname !== undefined) return partByPart(hostOverrider(hostname, mode))
    let override: ProcessBatch<AnyBatch> | undefined
    let found: Promise<ProcessBatch<AnyBatch>> | undefined

    async function find(): Promise<ProcessBatch<AnyBatch>> {
      const name = await agentHostname(config, { clock, log, signal })
      log.info("The host has the name that Datadog's Agent would give it.", { hostname: name })
      return (override = name === undefined ? (batch) => batch : partByPart(hostOverrider(name, mode)))
    }

    return (batch, account) =>
      override === undefined ? (found ??= find()).then((first) => first(batch, account)) : override(batch, account)
  },
})
