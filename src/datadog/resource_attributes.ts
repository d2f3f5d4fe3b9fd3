import type { Attributes } from '../otlp/common/attributes.ts'
import { matchesWildcards } from '../text/match.ts'
import { platformOf } from './host.ts'

/**
 * Resource attributes that become tags only on request: those that change with every start of a process, those about
 * the SDK that wrote the data, and long descriptions. Attributes that identify a pod, container or task stay, and so do
 * all that people filter by.
 */
export const DEFAULT_EXCLUDE = [
  'service.instance.id',
  'faas.instance',
  'process.*pid',
  'process.creation.time',
  'process.command*',
  'process.executable.path',
  'process.executable.build_id.*',
  'process.runtime.description',
  'telemetry.*',
  'k8s.*.uid',
  'container.command*',
  'container.image.id',
  'container.image.repo_digests',
  'aws.log.*',
  'host.cpu.*',
  'host.ip',
  'host.mac',
  'os.description',
] as const

/**
 * The tag keys that Datadog gives to resource attributes.
 * Source: datadog-agent, pkg/opentelemetry-mapping-go/otlp/attributes/attributes.go.
 */
const TAG_KEYS: ReadonlyMap<string, string> = new Map(
  Object.entries({
    'deployment.environment.name': 'env',
    'deployment.environment': 'env',
    'service.name': 'service',
    'service.version': 'version',
    'container.id': 'container_id',
    'container.name': 'container_name',
    'container.image.name': 'image_name',
    'container.image.tag': 'image_tag',
    'container.image.tags': 'image_tag',
    'container.runtime': 'runtime',
    'cloud.provider': 'cloud_provider',
    'cloud.region': 'region',
    'cloud.availability_zone': 'zone',
    'aws.ecs.task.family': 'task_family',
    'aws.ecs.task.arn': 'task_arn',
    'aws.ecs.cluster.arn': 'ecs_cluster_name',
    'aws.ecs.task.revision': 'task_version',
    'aws.ecs.container.arn': 'ecs_container_name',
    'k8s.container.name': 'kube_container_name',
    'k8s.cluster.name': 'kube_cluster_name',
    'k8s.deployment.name': 'kube_deployment',
    'k8s.replicaset.name': 'kube_replica_set',
    'k8s.statefulset.name': 'kube_stateful_set',
    'k8s.daemonset.name': 'kube_daemon_set',
    'k8s.job.name': 'kube_job',
    'k8s.cronjob.name': 'kube_cronjob',
    'k8s.namespace.name': 'kube_namespace',
    'k8s.pod.name': 'pod_name',
    'k8s.node.name': 'kube_node',
    'tags.datadoghq.com/env': 'env',
    'tags.datadoghq.com/service': 'service',
    'tags.datadoghq.com/version': 'version',
    'app.kubernetes.io/name': 'kube_app_name',
    'app.kubernetes.io/instance': 'kube_app_instance',
    'app.kubernetes.io/version': 'kube_app_version',
    'app.kubernetes.io/component': 'kube_app_component',
    'app.kubernetes.io/part-of': 'kube_app_part_of',
    'app.kubernetes.io/managed-by': 'kube_app_managed_by',
  }),
)

const TABLE_ORDER = [...TAG_KEYS.keys()]

/** An attribute `datadog.container.tag.<key>` is the tag `<key>`. */
const CONTAINER_TAG = 'datadog.container.tag.'

/** The tag key under which Datadog shows a resource attribute. */
export function tagKey(attribute: string): string {
  if (attribute.startsWith(CONTAINER_TAG)) return attribute.slice(CONTAINER_TAG.length)
  return TAG_KEYS.get(attribute) ?? attribute
}

/** An app of Azure App Service under Datadog's name for it. */
const OF_APP_SERVICE = {
  'service.name': 'name',
  'cloud.account.id': 'subscription_id',
  'azure.resource_group.name': 'resource_group',
} as const

/** The same for a service of Google Cloud; a job is not one. */
const OF_GOOGLE = {
  'cloud.account.id': 'project_id',
  'cloud.region': 'location',
  'faas.name': 'service_name',
  'faas.instance': 'instance',
} as const

/**
 * The tags by which Datadog identifies workloads without a host, in addition to those above, if all attributes that
 * they are made from are there. Source: datadog-agent, pkg/opentelemetry-mapping-go/otlp/attributes/source.go.
 */
function platformTags(resource: Attributes): readonly (readonly [attribute: string, key: string])[] {
  const platform = platformOf(resource)
  const ofGoogle = platform === 'gcp_cloud_run' || platform === 'gcp_cloud_functions'
  if (ofGoogle && ['execution', 'task_index'].some((key) => resource.has(`gcp.cloud_run.job.${key}`))) return []
  const tags = Object.entries(ofGoogle ? OF_GOOGLE : platform === 'azure.app_service' ? OF_APP_SERVICE : {})
  if (!tags.every(([attribute]) => resource.text(attribute))) return []
  return ofGoogle && resource.text('faas.version') ? [...tags, ['faas.version', 'revision_name']] : tags
}

/** Attributes from which Datadog takes the host; see `resolveHost`. */
const HOST_ATTRIBUTES: ReadonlySet<string> = new Set([
  'host',
  'datadog.host.name',
  'aws.ecs.launchtype',
  'aws.ecs.task.arn',
  'azure.resource_group.name',
  'cloud.platform',
  'cloud.provider',
  'cloud.account.id',
  'k8s.node.name',
  'k8s.cluster.name',
  'host.id',
  'host.name',
])

/** Whether Datadog may read the host from this resource attribute, so that it cannot be left out. */
export function decidesHost(attribute: string, resource: Attributes): boolean {
  if (HOST_ATTRIBUTES.has(attribute)) return true
  return attribute === 'service.name' && /^azure\.(app_service|functions)$/.test(platformOf(resource))
}

/** Makes the choice of a `resource_attributes` setting: whether an attribute, by its name in the data, becomes a tag. */
export function chooseAttributes({
  include,
  exclude,
}: {
  readonly include: readonly string[]
  readonly exclude: readonly string[]
}): (attribute: string) => boolean {
  const isOneOf = (forms: readonly string[], attribute: string) =>
    forms.some((form) => matchesWildcards(form, attribute))
  return (attribute) => isOneOf(include, attribute) && !isOneOf(exclude, attribute)
}

/**
 * The tags of a resource, by key. An attribute with the tag's own name wins over one that Datadog translates to it;
 * among translated ones the first in the table above wins. The attribute that names `host`, and Datadog's own
 * instructions (`datadog.host.*`), are not tags.
 */
export function resourceTags(
  attributes: Attributes,
  chosen: (attribute: string) => boolean,
  host: string | undefined,
): ReadonlyMap<string, string> {
  const tags = resourceTagSources(attributes, chosen, host)
  return new Map([...tags].map(([key, { value }]) => [key, value]))
}

/** `resourceTags`, each with the attribute that it comes from. */
export function resourceTagSources(
  attributes: Attributes,
  chosen: (attribute: string) => boolean,
  host: string | undefined,
): ReadonlyMap<string, { readonly value: string; readonly attribute: string }> {
  const tags = new Map<string, { value: string; attribute: string; rank: number }>()
  for (const key of attributes.keys()) {
    if (!chosen(key) || key === 'host' || key.startsWith('datadog.host.')) continue
    const value = tagValue(key, attributes)
    const tag = tagKey(key)
    // An attribute that Datadog has its own name for is not sent if it is empty.
    if (namesHost(key, value, host) || (value === '' && tag !== key)) continue
    const rank = tag === key ? -1 : key.startsWith(CONTAINER_TAG) ? TAG_KEYS.size : TABLE_ORDER.indexOf(key)
    const earlier = tags.get(tag)
    if (earlier === undefined || rank < earlier.rank) tags.set(tag, { value, attribute: key, rank })
  }
  for (const [attribute, tag] of platformTags(attributes)) {
    if (!chosen(attribute) || tags.has(tag)) continue
    tags.set(tag, { value: attributes.text(attribute) ?? '', attribute, rank: TAG_KEYS.size })
  }
  return tags
}

/** If an image has several tags, Datadog takes the first. */
function tagValue(attribute: string, attributes: Attributes): string {
  const first = attribute === 'container.image.tags' ? attributes.get(attribute) : undefined
  if (Array.isArray(first)) return typeof first[0] === 'string' ? first[0] : ''
  return attributes.text(attribute) ?? ''
}

/** Whether an attribute of this value names the host, and so is not a tag. */
export function namesHost(attribute: string, value: string, host: string | undefined): boolean {
  return value === host && (attribute === 'host.id' || attribute === 'host.name')
}
