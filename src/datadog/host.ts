import os from 'node:os'
import { Attributes } from '../otlp/common/attributes.ts'
import type { ItemBatch } from '../otlp/common/batch.ts'
import { perResource } from '../otlp/common/resource.ts'
import { changeMetrics } from '../otlp/metrics/batch.ts'
import { KeySearch } from '../otlp/wire/key_search.ts'

/** Names that Datadog does not accept for a host. Source: datadog-agent, attributes/source.go, `invalidHosts`. */
const INVALID_HOSTS = new Set([
  '0.0.0.0',
  '127.0.0.1',
  'localhost',
  'localhost.localdomain',
  'localhost6.localdomain6',
  'ip6-localhost',
])

/** The host of a resource, if any. */
export interface Resolution {
  readonly host: string | undefined
  /** The attribute, or the reason, that decided; for people. */
  readonly rule: string
}

/**
 * The host that Datadog would resolve for a resource, and the rule that decided. The first rule that applies decides,
 * even if it finds no host. Source: datadog-agent, pkg/opentelemetry-mapping-go/otlp/attributes/source.go (2026).
 */
export function resolveHost(resource: Attributes): Resolution {
  const workload = hostlessWorkload(resource)
  if (workload !== undefined) return { host: undefined, rule: `${workload.name} is not a host` }
  const { host, rule } = hostAttribute(resource)
  if (host === undefined || host === '') return { host: undefined, rule }
  return INVALID_HOSTS.has(host) ? { host: undefined, rule: `${rule}: "${host}" is not a host` } : { host, rule }
}

/**
 * Makes a step that makes `hostname` the host of everything in a batch: sets `host.name` and `datadog.host.name`,
 * replaces a resource or data point attribute `host`, and removes the attribute that would make Datadog see a workload
 * without a host. `fallback`: only the resources for which `resolveHost` finds no host are changed, and no data points.
 */
export function hostOverrider(hostname: string, mode: 'override' | 'fallback'): <B extends ItemBatch>(batch: B) => B {
  const changed = perResource((resource) => {
    const { attributes } = resource
    if (mode === 'fallback' && resolveHost(attributes).host !== undefined) return resource
    return resource.withAttributes(named(attributes, hostname).with({ 'host.name': hostname }))
  })
  if (mode === 'fallback') return (batch) => batch.mapResources(changed)
  const keys = new KeySearch(['host'])
  return (batch) =>
    changeMetrics(batch.mapResources(changed), (metrics) =>
      metrics.mapPointsWith(keys, (point) => point.withAttributes(withHost(point.attributes, hostname))),
    )
}

/** Whether Datadog accepts the name for a host. */
export function isHostName(name: string): boolean {
  return name !== '' && !INVALID_HOSTS.has(name)
}

/** An exporter's settings for the hosts of its data. */
export interface HostSettings {
  readonly hostname: string | undefined
  readonly host: { readonly from: readonly string[]; readonly fallback: 'none' | 'config' | 'os' }
}

/** The host of all data, regardless of the data; `undefined` if the settings leave it to the data. */
export function overridingHost({ hostname, host }: HostSettings): string | undefined {
  return host.fallback === 'config' ? undefined : hostname
}

/**
 * Makes a step that gives each resource the host chosen by the settings: that of the first of the attributes `from`
 * that names one, before any rule of Datadog's; and the fallback if these rules find none. The fallback does not apply
 * to workloads that Datadog identifies by themselves instead of by a host.
 */
export function hostChooser(settings: HostSettings): <B extends ItemBatch>(batch: B) => B {
  if (settings.host.from.length === 0 && settings.host.fallback === 'none') return (batch) => batch
  const choose = hostChoice(settings)
  const chosen = perResource((resource) => {
    const host = choose(resource.attributes)?.host
    return host === undefined ? resource : resource.withAttributes(named(resource.attributes, host))
  })
  return (batch) => batch.mapResources(chosen)
}

/** Makes the choice of `hostChooser`: the host of a resource and the reason, or `undefined` if it is left to Datadog's rules. */
export function hostChoice({ hostname, host }: HostSettings): (attributes: Attributes) => Resolution | undefined {
  const { from } = host
  const fallback = host.fallback === 'none' ? undefined : host.fallback === 'os' ? os.hostname() : hostname
  return (attributes) => {
    for (const key of from) {
      const name = attributes.text(key)
      if (name !== undefined && isHostName(name)) return { host: name, rule: `${key}, by host.from` }
    }
    if (fallback === undefined || hostlessWorkload(attributes) !== undefined) return undefined
    const { host: found, rule } = resolveHost(attributes)
    return found === undefined ? { host: fallback, rule: `host.fallback: ${host.fallback}, since ${rule}` } : undefined
  }
}

/** The attributes in which Datadog sees this host. */
function named(attributes: Attributes, hostname: string): Attributes {
  const workload = hostlessWorkload(attributes)
  const host = workload === undefined ? attributes : attributes.without(new Set([workload.attribute]))
  return withHost(host, hostname).with({ 'datadog.host.name': hostname })
}

function withHost(attributes: Attributes, hostname: string): Attributes {
  return attributes.has('host') ? attributes.with({ host: hostname }) : attributes
}

/** The attributes that identify an Azure app to Datadog. */
const AZURE_APP = ['service.name', 'cloud.account.id', 'azure.resource_group.name']

/** The platforms on which Datadog identifies a workload by itself instead of by a host, if it has all of the attributes. */
const PLATFORMS = new Map<string, readonly [workload: string, identity: readonly string[]]>([
  ['azure.functions', ['an Azure Functions app', AZURE_APP]],
  ['azure.app_service', ['an Azure App Service app', AZURE_APP]],
  ['azure.container_apps', ['an Azure Container Apps replica', []]],
  ['gcp_cloud_run', ['a Google Cloud Run instance', []]],
  ['gcp_cloud_functions', ['a Google Cloud Functions instance', []]],
])

/** The cloud's platform by its newer name; '' if there is none. */
export function platformOf(resource: Attributes): string {
  return resource.text('cloud.platform')?.replace(/^azure_/, 'azure.') ?? ''
}

/** A managed workload that Datadog identifies by itself instead of by a host, and the attribute that makes it one. */
function hostlessWorkload(resource: Attributes): { name: string; attribute: string } | undefined {
  const [name, identity] = PLATFORMS.get(platformOf(resource)) ?? [undefined, []]
  if (name !== undefined && identity.every((key) => resource.text(key))) return { name, attribute: 'cloud.platform' }
  if (resource.text('aws.ecs.launchtype') === 'fargate' && resource.has('aws.ecs.task.arn')) {
    return { name: 'an ECS Fargate task', attribute: 'aws.ecs.launchtype' }
  }
  return undefined
}

function hostAttribute(resource: Attributes): Resolution {
  for (const key of ['host', 'datadog.host.name']) {
    if (resource.has(key)) return { host: resource.text(key), rule: key }
  }
  if (resource.text('aws.ecs.launchtype') === 'fargate') {
    return { host: undefined, rule: 'ECS Fargate without aws.ecs.task.arn has no host' }
  }
  const provider = resource.text('cloud.provider')
  if (provider === 'aws') return { host: resource.text('host.id'), rule: 'host.id on aws' }
  if (provider === 'gcp') {
    const name = resource.text('host.name')
    const project = resource.text('cloud.account.id')
    const rule = 'host.name and cloud.account.id on gcp'
    if (name === undefined || project === undefined) return { host: undefined, rule }
    const labels = name.split('.')
    return { host: `${labels.length > 3 ? labels[0] : name}.${project}`, rule }
  }
  if (provider === 'azure') {
    return { host: resource.text('host.id') ?? resource.text('host.name'), rule: 'host.id or host.name on azure' }
  }
  // The cluster names that Datadog derives from Azure resource groups and EC2 tags need a provider, which has decided above.
  const node = resource.text('k8s.node.name')
  if (node !== undefined) {
    const cluster = resource.text('k8s.cluster.name')
    if (cluster === undefined) return { host: node, rule: 'k8s.node.name' }
    return { host: `${node}-${cluster}`, rule: 'k8s.node.name and k8s.cluster.name' }
  }
  for (const key of ['host.id', 'host.name']) {
    if (resource.has(key)) return { host: resource.text(key), rule: key }
  }
  return { host: undefined, rule: 'no attribute names a host' }
}
