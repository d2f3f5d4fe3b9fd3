import { createServer } from 'node:http'
import { describe, expect, it } from '@jest/globals'
import { resolveHost } from '../../src/datadog/host.ts'
import { MetricBatch } from '../../src/otlp/metrics/batch.ts'
import hostnameOverride from '../../src/processors/hostname_override.ts'
import { gauge, testProcessor } from '../../src/testing.ts'
import { cleanups } from '../kit/cleanups.ts'
import { temporaryFolder } from '../kit/command.ts'
import { listen } from '../kit/listen.ts'

const hosts = (batch: MetricBatch) => batch.resources.map(({ resource }) => resolveHost(resource.attributes).host)
const batch = MetricBatch.of(
  { resource: { 'host.name': 'container-7f', 'host.id': 'i-1' }, metrics: [gauge('load', 1, { host: 'db-1' })] },
  { resource: { 'host.name': 'localhost' }, metrics: [gauge('load', 2)] },
  { resource: { 'service.name': 'shop' }, metrics: [gauge('load', 3)] },
)

describe('hostname_override', () => {
  it('makes the name the host of everything, data points that name another included', async () => {
    const { process } = await testProcessor(hostnameOverride, 'hostname_override: { hostname: web-1 }', {
      signal: 'metrics',
    })
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
    const { process } = await testProcessor(
      hostnameOverride,
      'hostname_override: { hostname: web-1, mode: fallback }',
      { signal: 'metrics' },
    )
    const changed = await process(batch)
    expect(hosts(changed)).toEqual(['i-1', 'web-1', 'web-1'])
    expect(changed.resources[0]).toBe(batch.resources[0])
  })

  it.each([
    ['hostname_override: { hostname: "two words" }', 'hostname_override.hostname'],
    ['hostname_override: { hostname: web-1, mode: always }', 'hostname_override.mode'],
  ])('refuses %s', async (yaml, message) => {
    await expect(testProcessor(hostnameOverride, yaml)).rejects.toThrow(message)
  })
})

/** Answers by path for the metadata services of both clouds, and remembers what was asked. */
async function metadataService(answers: Readonly<Record<string, string>>) {
  const asked: string[] = []
  const server = createServer(({ method, url = '' }, response) => {
    asked.push(`${method} ${url}`)
    response.writeHead(answers[url] === undefined ? 404 : 200, { 'metadata-flavor': 'Google' }).end(answers[url])
  })
  const { url } = await listen(server)
  return { url, asked }
}

const EC2 = {
  '/latest/api/token': 'token-1',
  '/latest/dynamic/instance-identity/document': '{ "instanceId": "i-0123456789abcdef0" }',
}
const GOOGLE = { '/computeMetadata/v1/instance/hostname': 'web-1.europe-west1-b.c.shop.internal' }

describe('hostname_override without a hostname', () => {
  /** The hosts that a machine with these files and in this environment is given, and what was asked and logged. */
  async function named(
    files: Readonly<Record<string, string>>,
    {
      answers = {},
      env = {},
      mode = 'override',
    }: { answers?: object; env?: Record<string, string>; mode?: string } = {},
  ) {
    const folder = await temporaryFolder(files)
    const { url, asked } = await metadataService({ ...answers })
    const clouds = { ec2: { endpoint: url }, gcp: { endpoint: url } }
    const yaml = JSON.stringify({ hostname_override: { root_path: folder.path('.'), mode, ...clouds } })
    const { process, logs, stop } = await testProcessor(hostnameOverride, yaml, { env, signal: 'metrics' })
    cleanups.push(stop)
    const [first, second] = await Promise.all([process(batch), process(batch)])
    expect(hosts(second)).toEqual(hosts(first))
    return { hosts: hosts(first), asked, warnings: logs.filter(({ level }) => level === 'warn') }
  }
  const all = (name: string) => [name, name, name]

  it('takes the name of the system, and asks no cloud', async () => {
    expect(await named({ 'etc/hostname': 'web-1\n' })).toEqual({ hosts: all('web-1'), asked: [], warnings: [] })
  })

  it.each(['ip-10-0-0-1.ec2.internal', 'IP-10-0-0-1', 'domU-12-31', 'EC2AMAZ-1234ABC'])(
    'takes the id of the instance on EC2, which chose the name %s itself',
    async (name) => {
      const { hosts, asked, warnings } = await named({ 'etc/hostname': name }, { answers: EC2 })
      expect({ hosts, warnings }).toEqual({ hosts: all('i-0123456789abcdef0'), warnings: [] })
      expect(asked).toEqual(['PUT /latest/api/token', 'GET /latest/dynamic/instance-identity/document'])
    },
  )

  it('keeps the name of the system where EC2 does not answer, and says so', async () => {
    const { hosts, warnings } = await named({ 'etc/hostname': 'ip-10-0-0-1' })
    expect(hosts).toEqual(all('ip-10-0-0-1'))
    expect(warnings).toMatchObject([{ fields: { detector: 'ec2' } }])
  })

  it('takes the full name on Google Compute Engine, or the name of the system where nobody answers', async () => {
    const files = { 'etc/hostname': 'web-1', 'sys/class/dmi/id/product_name': 'Google Compute Engine\n' }
    expect(await named(files, { answers: GOOGLE })).toMatchObject({
      hosts: all('web-1.europe-west1-b.c.shop.internal'),
      warnings: [],
    })
    expect((await named(files)).hosts).toEqual(all('web-1'))
  })

  it('takes the name of the Kubernetes node before that of the system, by the same rule', async () => {
    const files = { 'etc/hostname': 'pod-7f' }
    expect((await named(files, { env: { NODE_NAME: 'node-1' } })).hosts).toEqual(all('node-1'))
    const eks = { K8S_NODE_NAME: 'ip-10-0-0-1.ec2.internal', NODE_NAME: 'other' }
    expect((await named(files, { env: eks, answers: EC2 })).hosts).toEqual(all('i-0123456789abcdef0'))
  })

  it('takes DD_HOSTNAME before all, and asks nobody', async () => {
    const env = { DD_HOSTNAME: 'ip-chosen' }
    expect(await named({ 'etc/hostname': 'ip-10-0-0-1' }, { env, answers: EC2 })).toMatchObject({
      hosts: all('ip-chosen'),
      asked: [],
    })
  })

  it('as a fallback names only what has no host', async () => {
    expect((await named({ 'etc/hostname': 'web-1' }, { mode: 'fallback' })).hosts).toEqual(['i-1', 'web-1', 'web-1'])
  })
})
