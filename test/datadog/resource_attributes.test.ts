import { describe, expect, it } from '@jest/globals'
import {
  chooseAttributes,
  decidesHost,
  DEFAULT_EXCLUDE,
  resourceTags,
  tagKey,
} from '../../src/datadog/resource_attributes.ts'
import { Attributes } from '../../src/otlp/common/attributes.ts'

const all = (): boolean => true

function tagsOf(attributes: Record<string, string>, host?: string): Record<string, string> {
  return Object.fromEntries(resourceTags(Attributes.of(attributes), all, host))
}

describe('resourceTags', () => {
  it('prefers an attribute with the name of the tag to one that Datadog translates to it', () => {
    expect(tagsOf({ 'deployment.environment': 'old', env: 'mine' })).toEqual({ env: 'mine' })
    expect(tagsOf({ env: 'mine', 'deployment.environment': 'old' })).toEqual({ env: 'mine' })
  })

  it('prefers the newer of two names, and OpenTelemetry to container tags', () => {
    expect(tagsOf({ 'deployment.environment': 'old', 'deployment.environment.name': 'new' })).toEqual({ env: 'new' })
    expect(tagsOf({ 'datadog.container.tag.service': 'tag', 'service.name': 'otel' })).toEqual({ service: 'otel' })
  })

  it('leaves out what became the host, and keeps another name of it', () => {
    expect(tagsOf({ 'host.name': 'web-1', 'host.id': 'i-1' }, 'i-1')).toEqual({ 'host.name': 'web-1' })
    expect(
      tagsOf({ host: 'web-1', 'datadog.host.name': 'x', 'datadog.host.use_as_metadata': 'true' }, 'web-1'),
    ).toEqual({})
  })

  it('keeps a tag that happens to have the value of the host', () => {
    expect(tagsOf({ 'host.name': 'shop', 'service.name': 'shop' }, 'shop')).toEqual({ service: 'shop' })
  })
})

describe('tagKey', () => {
  it.each([
    // Unified service tagging.
    ['deployment.environment', 'env'],
    ['deployment.environment.name', 'env'],
    ['service.name', 'service'],
    ['service.version', 'version'],
    ['tags.datadoghq.com/env', 'env'],
    ['tags.datadoghq.com/service', 'service'],
    ['tags.datadoghq.com/version', 'version'],
    // Containers and clouds.
    ['container.id', 'container_id'],
    ['container.name', 'container_name'],
    ['container.image.name', 'image_name'],
    ['container.image.tag', 'image_tag'],
    ['container.image.tags', 'image_tag'],
    ['container.runtime', 'runtime'],
    ['cloud.provider', 'cloud_provider'],
    ['cloud.region', 'region'],
    ['cloud.availability_zone', 'zone'],
    // ECS and Fargate.
    ['aws.ecs.task.family', 'task_family'],
    ['aws.ecs.task.arn', 'task_arn'],
    ['aws.ecs.task.revision', 'task_version'],
    ['aws.ecs.cluster.arn', 'ecs_cluster_name'],
    ['aws.ecs.container.arn', 'ecs_container_name'],
    // Kubernetes.
    ['k8s.container.name', 'kube_container_name'],
    ['k8s.cluster.name', 'kube_cluster_name'],
    ['k8s.deployment.name', 'kube_deployment'],
    ['k8s.replicaset.name', 'kube_replica_set'],
    ['k8s.statefulset.name', 'kube_stateful_set'],
    ['k8s.daemonset.name', 'kube_daemon_set'],
    ['k8s.job.name', 'kube_job'],
    ['k8s.cronjob.name', 'kube_cronjob'],
    ['k8s.namespace.name', 'kube_namespace'],
    ['k8s.pod.name', 'pod_name'],
    ['k8s.node.name', 'kube_node'],
    ['app.kubernetes.io/name', 'kube_app_name'],
    ['app.kubernetes.io/instance', 'kube_app_instance'],
    ['app.kubernetes.io/version', 'kube_app_version'],
    ['app.kubernetes.io/component', 'kube_app_component'],
    ['app.kubernetes.io/part-of', 'kube_app_part_of'],
    ['app.kubernetes.io/managed-by', 'kube_app_managed_by'],
    // Of the user's own, of Datadog's own, and of nobody.
    ['datadog.container.tag.rack', 'rack'],
    ['kube_qos', 'kube_qos'],
    ['process.executable.name', 'process.executable.name'],
    ['os.type', 'os.type'],
    ['team', 'team'],
  ])('makes %s the tag %s', (attribute, key) => expect(tagKey(attribute)).toBe(key))
})

describe('decidesHost', () => {
  it('holds the name of a service only where Datadog tells apps of Azure apart by it', () => {
    const keys = ['host.name', 'service.name', 'service.version']
    const deciding = (resource: Record<string, string>) =>
      keys.filter((key) => decidesHost(key, Attributes.of(resource)))
    expect(deciding({})).toEqual(['host.name'])
    expect(deciding({ 'cloud.platform': 'azure_vm' })).toEqual(['host.name'])
    for (const platform of ['azure.app_service', 'azure_app_service', 'azure_functions']) {
      expect(deciding({ 'cloud.platform': platform })).toEqual(['host.name', 'service.name'])
    }
  })
})

describe('chooseAttributes', () => {
  it('takes * for any text and everything else as it stands', () => {
    const chosen = chooseAttributes({ include: ['a.*', 'b+', '*.c'], exclude: ['a.secret'] })
    const names = ['a.b', 'a.b.c', 'ab', 'a.secret', 'b+', 'bb', 'x.c', 'xc']
    expect(names.filter(chosen)).toEqual(['a.b', 'a.b.c', 'b+', 'x.c'])
  })

  it('takes nothing for an empty list', () => {
    expect(['a', ''].filter(chooseAttributes({ include: [], exclude: [] }))).toEqual([])
    expect(['a', 'b'].filter(chooseAttributes({ include: ['*'], exclude: [] }))).toEqual(['a', 'b'])
  })

  const byDefault = chooseAttributes({ include: ['*'], exclude: DEFAULT_EXCLUDE })

  it.each([
    ...['service.name', 'service.namespace', 'service.version', 'deployment.environment.name', 'host.name', 'host.id'],
    ...['host.type', 'os.type', 'os.version', 'process.executable.name', 'process.runtime.name', 'process.owner'],
    ...['container.id', 'container.name', 'container.image.name', 'container.image.tag', 'container.runtime'],
    ...['k8s.pod.name', 'k8s.namespace.name', 'k8s.deployment.name', 'k8s.node.name', 'k8s.cluster.name'],
    ...['cloud.provider', 'cloud.region', 'cloud.availability_zone', 'cloud.account.id', 'aws.ecs.task.arn'],
    ...['aws.ecs.container.arn', 'datadog.container.tag.rack', 'app.kubernetes.io/name', 'kube_qos', 'team'],
  ])('has %s by default: people filter by it, or it says where it came from', (attribute) =>
    expect(byDefault(attribute)).toBe(true),
  )

  it.each([
    ...['service.instance.id', 'faas.instance', 'process.pid', 'process.parent_pid', 'process.vpid'],
    ...['process.session_leader.pid', 'process.creation.time', 'k8s.pod.uid', 'k8s.deployment.uid'],
    ...['process.command', 'process.command_line', 'process.command_args', 'process.executable.path'],
    ...['process.runtime.description', 'telemetry.sdk.name', 'telemetry.distro.version', 'container.image.id'],
    ...['container.command_args', 'aws.log.group.arns', 'host.cpu.model.name', 'host.ip', 'host.mac', 'os.description'],
  ])('has %s only when asked for: it makes new series for nothing', (attribute) =>
    expect(byDefault(attribute)).toBe(false),
  )
})
