import { defineComponent } from '../component.ts'
import { hostOverrider } from '../datadog/host.ts'

export default defineComponent({
  kind: 'processor',
  type: 'hostname_override',
  summary: 'Makes one name the host of everything that passes.',
  description: `
Sets the resource attributes \`host.name\` and \`datadog.host.name\`, and replaces a resource or data point attribute
\`host\` where there is one, so that every destination sees the same host. Datadog's own rules find it too: a workload that
Datadog would not give a host at all (an ECS Fargate task, an app of Azure App Service, a Google Cloud Run instance) loses
the attribute that says so, \`aws.ecs.launchtype\` or \`cloud.platform\`.

With \`mode: fallback\` only resources in which Datadog would find no host are changed, and data points keep what they
have. Names that Datadog does not take for a host, as \`localhost\`, count as none.
`,
  config: {
    hostname: { doc: 'The name of the host.', format: 'hostname', default: null },
    mode: {
      doc: 'Whether the name counts whatever the data says (`override`), or only where the data names no host (`fallback`).',
      format: ['override', 'fallback'],
      default: 'override',
    },
  },
  examples: [
    { title: 'One host, whatever the data says', yaml: 'hostname_override: { hostname: web-1.example.org }' },
    {
      title: 'A host for what has none',
      yaml: `
hostname_override:
  hostname: \${env:NODE_NAME:-unknown-node}
  mode: fallback
`,
    },
  ],
  create: ({ config }) => hostOverrider(config.hostname, config.mode),
})
