import type { Attributes } from '../otlp/attributes.ts'

/**
 * Resource attributes that are no tags unless asked for: those that are new with every start of a process, what says which
 * SDK wrote the data, and what describes at length. What names a pod, container or task stays, and so does all that people
 * filter by.
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

/** Attributes from which Datadog takes the host; see `resolveHost`. */
const HOST_ATTRIBUTES: ReadonlySet<string> = new Set([
  'host',
  'datadog.host.name',
  'aws.ecs.launchtype',
  'aws.ecs.task.arn',
  'azure.app_service.instance.id',
  'azure.resource_group.name',
  'cloud.platform',
  'cloud.provider',
  'cloud.account.id',
  'k8s.node.name',
  'k8s.cluster.name',
  'host.id',
  'host.name',
])

/** Attributes by which Datadog knows an Azure App Service instance, which has no host, besides those above. */
const APP_SERVICE_ATTRIBUTES: ReadonlySet<string> = new Set(['service.name', 'service.instance.id'])

/** Whether Datadog may read from an attribute of the resource which host it has, so that it cannot be left out. */
export function decidesHost(attribute: string, resource: Attributes): boolean {
  if (HOST_ATTRIBUTES.has(attribute)) return true
  return APP_SERVICE_ATTRIBUTES.has(attribute) && /^azure[._]app_service$/.test(resource.text('cloud.platform') ?? '')
}

/** Makes the choice of a `resource_attributes` setting: whether an attribute, by its name in the data, is to be a tag. */
export function chooseAttributes({
  include,
  exclude,
}: {
  readonly include: readonly string[]
  readonly exclude: readonly string[]
}): (attribute: string) => boolean {
  const included = patterns(include)
  const excluded = patterns(exclude)
  return (attribute) => included.test(attribute) && !excluded.test(attribute)
}

/** One expression for names in which `*` stands for any text. Without a name it matches nothing. */
export function patterns(names: readonly string[]): RegExp {
  const sources = names.map((name) =>
    name
      .split('*')
      .map((text) => text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'))
      .join('.*'),
  )
  return new RegExp(`^(?:${sources.length === 0 ? '(?!)' : sources.join('|')})$`, 's')
}

/**
 * The tags of a resource, each value by its tag key. An attribute that carries the tag's own name wins over one that
 * Datadog translates to it; among translated ones the first of the table above wins. The attribute that names `host`, and
 * Datadog's own instructions (`datadog.host.*`), are no tags.
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
    const value = attributes.text(key) ?? ''
    if (namesHost(key, value, host)) continue
    const tag = tagKey(key)
    const rank = tag === key ? -1 : key.startsWith(CONTAINER_TAG) ? TAG_KEYS.size : TABLE_ORDER.indexOf(key)
    const earlier = tags.get(tag)
    if (earlier === undefined || rank < earlier.rank) tags.set(tag, { value, attribute: key, rank })
  }
  return tags
}

/** Whether an attribute of this value is what names the host, and so no tag. */
export function namesHost(attribute: string, value: string, host: string | undefined): boolean {
  return value === host && HOST_ATTRIBUTES.has(attribute)
}
