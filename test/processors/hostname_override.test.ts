import { describe, expect, it } from '@jest/globals'
import { resolveHost } from '../../src/datadog/host.ts'
import { MetricBatch } from '../../src/otlp/batch.ts'
import hostnameOverride from '../../src/processors/hostname_override.ts'
import { gauge, testProcessor } from '../../src/testing.ts'

const hosts = (batch: MetricBatch) => batch.resources.map(({ resource }) => resolveHost(resource.attributes).host)
const batch = MetricBatch.of(
  { resource: { 'host.name': 'container-7f', 'host.id': 'i-1' }, metrics: [gauge('load', 1, { host: 'db-1' })] },
  { resource: { 'host.name': 'localhost' }, metrics: [gauge('load', 2)] },
  { resource: { 'service.name': 'shop' }, metrics: [gauge('load', 3)] },
)

describe('hostname_override', () => {
  it('makes the name the host of everything, data points that name another included', async () => {
    const { process } = await testProcessor(hostnameOverride, 'hostname_override: { hostname: web-1 }')
    const changed = await process(batch)
    expect(hosts(changed)).toEqual(['web-1', 'web-1', 'web-1'])
    expect(changed.resources.map(({ resource }) => resource.attributes.toObject())).toEqual([
      { 'host.name': 'web-1', 'host.id': 'i-1', 'datadog.host.name': 'web-1' },
      { 'host.name': 'web-1', 'datadog.host.name': 'web-1' },
      { 'service.name': 'shop', 'host.name': 'web-1', 'datadog.host.name': 'web-1' },
    ])
    expect(changed.resources[0].scopes[0].metrics[0].points[0].attributes.get('host')).toBe('web-1')
  })

  it('as a fallback names only what has no host', async () => {
    const { process } = await testProcessor(hostnameOverride, 'hostname_override: { hostname: web-1, mode: fallback }')
    const changed = await process(batch)
    expect(hosts(changed)).toEqual(['i-1', 'web-1', 'web-1'])
    expect(changed.resources[0]).toBe(batch.resources[0])
  })

  it.each([
    ['hostname_override: {}', 'hostname_override.hostname: is required'],
    ['hostname_override: { hostname: "two words" }', 'hostname_override.hostname'],
    ['hostname_override: { hostname: web-1, mode: always }', 'hostname_override.mode'],
  ])('refuses %s', async (yaml, message) => {
    await expect(testProcessor(hostnameOverride, yaml)).rejects.toThrow(message)
  })
})
