import os from 'node:os'
import { describe, expect, it } from '@jest/globals'
import { hostChooser, hostOverrider, isHostName, overridingHost, resolveHost } from '../../src/datadog/host.ts'
import { Attributes } from '../../src/otlp/common/attributes.ts'
import type { AttributeValue } from '../../src/otlp/common/attributes.ts'
import { MetricBatch } from '../../src/otlp/metrics/batch.ts'
import { NumberPoint } from '../../src/otlp/metrics/points.ts'

interface Row {
  resource: Record<string, AttributeValue>
  host: string | undefined
  rule: string
}

const host = { 'host.id': 'i-1', 'host.name': 'web-1' }
const appService = {
  ...host,
  'service.name': 'shop',
  'cloud.account.id': 'subscription',
  'azure.resource_group.name': 'group',
}

const rows: Row[] = [
  // What is not a host, before everything else.
  {
    resource: { ...host, host: 'x', 'aws.ecs.launchtype': 'fargate', 'aws.ecs.task.arn': 'arn:aws:ecs:1' },
    host: undefined,
    rule: 'an ECS Fargate task is not a host',
  },
  {
    resource: { ...host, 'cloud.platform': 'azure_container_apps' },
    host: undefined,
    rule: 'an Azure Container Apps replica is not a host',
  },
  {
    resource: { ...appService, 'cloud.platform': 'azure.app_service' },
    host: undefined,
    rule: 'an Azure App Service app is not a host',
  },
  {
    resource: { ...appService, 'cloud.platform': 'azure_functions' },
    host: undefined,
    rule: 'an Azure Functions app is not a host',
  },
  {
    resource: { ...host, 'cloud.platform': 'gcp_cloud_run' },
    host: undefined,
    rule: 'a Google Cloud Run instance is not a host',
  },
  {
    resource: { ...host, host: 'x', 'cloud.platform': 'gcp_cloud_functions' },
    host: undefined,
    rule: 'a Google Cloud Functions instance is not a host',
  },
  {
    resource: { 'host.name': 'web-1', 'service.name': 'shop', 'cloud.platform': 'azure_app_service' },
    host: 'web-1',
    rule: 'host.name',
  },
  // Explicit names, also when they are not text.
  { resource: { ...host, host: 'named', 'datadog.host.name': 'other' }, host: 'named', rule: 'host' },
  { resource: { ...host, host: 17 }, host: '17', rule: 'host' },
  { resource: { ...host, 'datadog.host.name': 'custom' }, host: 'custom', rule: 'datadog.host.name' },
  {
    resource: { 'aws.ecs.launchtype': 'fargate', 'datadog.host.name': 'custom' },
    host: 'custom',
    rule: 'datadog.host.name',
  },
  {
    resource: { ...host, 'aws.ecs.launchtype': 'fargate' },
    host: undefined,
    rule: 'ECS Fargate without aws.ecs.task.arn has no host',
  },
  { resource: { ...host, 'aws.ecs.launchtype': 'ec2', 'aws.ecs.task.arn': 'arn' }, host: 'i-1', rule: 'host.id' },
  // Cloud providers decide alone; a missing attribute does not fall through.
  { resource: { ...host, 'cloud.provider': 'aws' }, host: 'i-1', rule: 'host.id on aws' },
  { resource: { 'host.name': 'web-1', 'cloud.provider': 'aws' }, host: undefined, rule: 'host.id on aws' },
  {
    resource: { 'k8s.node.name': 'node', 'ec2.tag.kubernetes.io/cluster/prod': 'owned', 'cloud.provider': 'aws' },
    host: undefined,
    rule: 'host.id on aws',
  },
  {
    resource: { 'host.name': 'web-1', 'cloud.account.id': 'project', 'cloud.provider': 'gcp' },
    host: 'web-1.project',
    rule: 'host.name and cloud.account.id on gcp',
  },
  {
    resource: { 'host.name': 'web-1.zone.c.internal', 'cloud.account.id': 'project', 'cloud.provider': 'gcp' },
    host: 'web-1.project',
    rule: 'host.name and cloud.account.id on gcp',
  },
  {
    resource: { 'host.name': 'web-1.example.org', 'cloud.account.id': 'project', 'cloud.provider': 'gcp' },
    host: 'web-1.example.org.project',
    rule: 'host.name and cloud.account.id on gcp',
  },
  {
    resource: { ...host, 'cloud.provider': 'gcp' },
    host: undefined,
    rule: 'host.name and cloud.account.id on gcp',
  },
  {
    resource: { 'host.id': 'vm-1', 'cloud.account.id': 'project', 'cloud.provider': 'gcp' },
    host: undefined,
    rule: 'host.name and cloud.account.id on gcp',
  },
  { resource: { ...host, 'cloud.provider': 'azure' }, host: 'i-1', rule: 'host.id or host.name on azure' },
  {
    resource: { 'host.name': 'web-1', 'cloud.provider': 'azure' },
    host: 'web-1',
    rule: 'host.id or host.name on azure',
  },
  {
    resource: {
      'k8s.node.name': 'node',
      'azure.resourcegroup.name': 'MC_group_cluster_region',
      'cloud.provider': 'azure',
    },
    host: undefined,
    rule: 'host.id or host.name on azure',
  },
  { resource: { ...host, 'cloud.provider': 'heroku' }, host: 'i-1', rule: 'host.id' },
  // Kubernetes.
  { resource: { ...host, 'k8s.node.name': 'node' }, host: 'node', rule: 'k8s.node.name' },
  {
    resource: { ...host, 'k8s.node.name': 'node', 'k8s.cluster.name': 'prod' },
    host: 'node-prod',
    rule: 'k8s.node.name and k8s.cluster.name',
  },
  // The host itself.
  { resource: host, host: 'i-1', rule: 'host.id' },
  { resource: { 'host.name': 'web-1' }, host: 'web-1', rule: 'host.name' },
  { resource: {}, host: undefined, rule: 'no attribute names a host' },
  // Names that are no host end the search too.
  ...['0.0.0.0', '127.0.0.1', 'localhost', 'localhost.localdomain', 'localhost6.localdomain6', 'ip6-localhost'].map(
    (name) => ({
      resource: { 'host.name': name },
      host: undefined,
      rule: `host.name: "${name}" is not a host`,
    }),
  ),
  { resource: { ...host, host: 'localhost' }, host: undefined, rule: 'host: "localhost" is not a host' },
  { resource: { ...host, host: '' }, host: undefined, rule: 'host' },
]

const batchOf = (resource: Row['resource'], attributes: Row['resource'] = {}) =>
  MetricBatch.of({
    resource,
    metrics: [
      { name: 'load', type: 'gauge', points: [new NumberPoint({ value: 1, attributes: Attributes.of(attributes) })] },
    ],
  })
const resourceOf = (batch: MetricBatch) => batch.resources[0].resource.attributes
const pointOf = (batch: MetricBatch) => batch.resources[0].scopes[0].metrics[0].points[0].attributes.toObject()

describe('resolveHost', () => {
  it.each(rows)('$resource is $host by the rule "$rule"', ({ resource, host, rule }) => {
    expect(resolveHost(Attributes.of(resource))).toEqual({ host, rule })
  })
})

describe('hostOverrider', () => {
  it.each(rows)('makes $resource the given host', ({ resource }) => {
    const changed = resourceOf(hostOverrider('given', 'override')(batchOf(resource)))
    expect(resolveHost(changed).host).toBe('given')
    expect(changed.get('host.name')).toBe('given')
  })

  it.each(rows)('as a fallback leaves $resource alone only if it has a host', ({ resource, host }) => {
    const batch = batchOf(resource)
    const changed = hostOverrider('given', 'fallback')(batch)
    expect(resolveHost(resourceOf(changed)).host).toBe(host ?? 'given')
    if (host !== undefined) expect(changed).toBe(batch)
  })

  it('replaces a data point attribute host, and adds none', () => {
    expect(pointOf(hostOverrider('given', 'override')(batchOf({}, { host: 'db-1', port: 80 })))).toEqual({
      host: 'given',
      port: 80,
    })
    expect(pointOf(hostOverrider('given', 'override')(batchOf({}, { port: 80 })))).toEqual({ port: 80 })
  })

  it('keeps a data point attribute host as a fallback', () => {
    expect(pointOf(hostOverrider('given', 'fallback')(batchOf({}, { host: 'db-1' })))).toEqual({ host: 'db-1' })
  })

  it('returns the same batch when it says the host already', () => {
    const batch = hostOverrider('given', 'override')(batchOf(host))
    expect(hostOverrider('given', 'override')(batch)).toBe(batch)
  })
})

describe('hostChooser', () => {
  const hosts = (settings: Partial<Parameters<typeof hostChooser>[0]['host']>, hostname?: string) =>
    hostChooser({ hostname, host: { from: [], fallback: 'none', ...settings } })
  const hostOf = (batch: MetricBatch) => resolveHost(resourceOf(batch)).host

  it.each(rows)('lets an attribute of `from` decide for $resource, whatever else it says', ({ resource }) => {
    const batch = batchOf({ ...resource, 'node.name': 'n-1' })
    expect(hostOf(hosts({ from: ['absent', 'node.name'] })(batch))).toBe('n-1')
  })

  it.each(rows)('without a fallback leaves $resource as it is', ({ resource }) => {
    const batch = batchOf(resource)
    expect(hosts({ from: ['absent'] })(batch)).toBe(batch)
    expect(hosts({})(batch)).toBe(batch)
  })

  const workloads = rows.filter(({ rule }) => /task|app|instance|replica/.test(rule) && rule.endsWith('is not a host'))
  const others = rows.filter((row) => !workloads.includes(row))

  it.each(others)('falls back for $resource only if it has no host', ({ resource, host: own }) => {
    expect(hostOf(hosts({ fallback: 'config' }, 'given')(batchOf(resource)))).toBe(own ?? 'given')
    expect(hostOf(hosts({ fallback: 'os' }, 'given')(batchOf(resource)))).toBe(own ?? os.hostname())
  })

  it.each(workloads)('does not fall back for $resource: $rule', ({ resource }) => {
    const batch = batchOf(resource)
    expect(hosts({ fallback: 'config' }, 'given')(batch)).toBe(batch)
  })

  it('passes over attributes of `from` that name no host', () => {
    const batch = batchOf({ 'node.name': '', 'machine.name': 'localhost', 'vm.name': 'vm-1' })
    expect(hostOf(hosts({ from: ['node.name', 'machine.name', 'vm.name'] })(batch))).toBe('vm-1')
  })

  it('keeps other attributes, the name of the host among them', () => {
    const changed = hosts({ from: ['node.name'] })(batchOf({ ...host, 'node.name': 'n-1' }))
    expect(resourceOf(changed).toObject()).toEqual({ ...host, 'node.name': 'n-1', 'datadog.host.name': 'n-1' })
  })
})

describe('overridingHost', () => {
  it('is the hostname, unless that is only the fallback', () => {
    const of = (fallback: 'none' | 'config' | 'os') =>
      overridingHost({ hostname: 'given', host: { from: [], fallback } })
    expect([of('none'), of('os'), of('config')]).toEqual(['given', 'given', undefined])
  })
})

describe('isHostName', () => {
  it('refuses what Datadog takes for no host', () => {
    expect(['web-1', '10.0.0.1', '', 'localhost', '127.0.0.1', '0.0.0.0'].filter(isHostName)).toEqual([
      'web-1',
      '10.0.0.1',
    ])
  })
})
