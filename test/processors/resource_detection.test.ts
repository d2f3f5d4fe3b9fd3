import { describe, expect, it } from '@jest/globals'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { IncomingHttpHeaders } from 'node:http'
import os from 'node:os'
import { dirname, join } from 'node:path'
import { hostFiles } from '../../src/host/files.ts'
import { MetricBatch } from '../../src/otlp/metrics/batch.ts'
import { checkComponent } from '../../src/pipeline/config/config.ts'
import { loadBuiltin } from '../../src/pipeline/modules/load.ts'
import resourceDetection from '../../src/processors/resource_detection.ts'
import { containerId } from '../../src/processors/resource_detection/docker.ts'
import { podUid } from '../../src/processors/resource_detection/kubernetes.ts'
import { gauge, testProcessor } from '../../src/testing.ts'
import { cleanups } from '../kit/cleanups.ts'
import { listen } from '../kit/listen.ts'

interface Asked {
  readonly method: string
  readonly path: string
  readonly headers: IncomingHttpHeaders
}

interface Answer {
  readonly status?: number
  readonly headers?: Record<string, string>
  readonly body?: string
}

/** A service at an address of its own, or at a Unix socket. `undefined` leaves a question without an answer. */
async function startService(answer: (asked: Asked) => Answer | undefined, socket?: string) {
  const asked: Asked[] = []
  const server = createServer(({ method = '', url = '', headers }, response) => {
    const question = { method, path: url, headers }
    asked.push(question)
    const { status = 200, headers: answerHeaders = {}, body = '' } = answer(question) ?? { status: 0 }
    if (status !== 0) response.writeHead(status, answerHeaders).end(body)
  })
  const { url } = await listen(server, socket === undefined ? undefined : { path: socket })
  return { url, asked }
}

async function temporaryFolder(files: Readonly<Record<string, string>> = {}): Promise<string> {
  const folder = await mkdtemp(join(os.tmpdir(), 'resource-detection-'))
  cleanups.push(() => rm(folder, { recursive: true }))
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true })
    await writeFile(join(folder, path), text)
  }
  return folder
}

const batchOf = (resource: Record<string, string>) =>
  MetricBatch.fromOtlp(MetricBatch.of({ resource, metrics: [gauge('load', 1)] }).toOtlp())
const attributesOf = (batch: MetricBatch) => batch.resources[0].resource.attributes.toObject()

async function start(settings: object, env: Record<string, string> = {}) {
  const test = await testProcessor(resourceDetection, JSON.stringify({ resource_detection: settings }), {
    env,
    signal: 'metrics',
  })
  cleanups.push(() => test.stop())
  return test
}

/** The resource attributes that a batch gets, and what was warned of. */
async function detected(settings: object, env?: Record<string, string>) {
  const { process, logs, balance } = await start(settings, env)
  const attributes = attributesOf(await process(batchOf({})))
  expect(balance()).toMatchObject({ accepted: 1, handed_on: 1, dropped: {} })
  return { attributes, warnings: logs.filter(({ level }) => level === 'warn').map(({ fields }) => fields) }
}

const EC2_DOCUMENT = {
  accountId: '123456789012',
  region: 'eu-central-1',
  availabilityZone: 'eu-central-1b',
  instanceId: 'i-0123456789abcdef0',
  imageId: 'ami-5fb8c835',
  instanceType: 'm7g.large',
  kernelId: null,
}

/** Version 2 of the service: nothing without a token, which only a PUT gives. */
function ec2Service({ method, path, headers }: Asked): Answer {
  if (path === '/latest/api/token') {
    const lifetime = Number(headers['x-aws-ec2-metadata-token-ttl-seconds'])
    return method === 'PUT' && lifetime > 0 ? { body: 'token-1' } : { status: 400 }
  }
  if (headers['x-aws-ec2-metadata-token'] !== 'token-1') return { status: 401 }
  if (path === '/latest/dynamic/instance-identity/document') return { body: JSON.stringify(EC2_DOCUMENT) }
  return path === '/latest/meta-data/hostname' ? { body: 'ip-10-0-0-1.internal' } : { status: 404 }
}

describe('resource_detection: the clouds', () => {
  it('asks EC2 with a token', async () => {
    const { url } = await startService(ec2Service)
    const { attributes, warnings } = await detected({ detectors: ['ec2'], ec2: { endpoint: url } })
    expect(attributes).toEqual({
      'cloud.provider': 'aws',
      'cloud.platform': 'aws_ec2',
      'cloud.account.id': '123456789012',
      'cloud.region': 'eu-central-1',
      'cloud.availability_zone': 'eu-central-1b',
      'host.id': 'i-0123456789abcdef0',
      'host.image.id': 'ami-5fb8c835',
      'host.type': 'm7g.large',
      'host.name': 'ip-10-0-0-1.internal',
    })
    expect(warnings).toEqual([])
  })

  it('leaves out what is switched off, and does not ask for it', async () => {
    const { url, asked } = await startService(ec2Service)
    const off = { enabled: false }
    const ec2 = { endpoint: `${url}/`, resource_attributes: { 'host.name': off, 'host.image.id': off } }
    const { attributes } = await detected({ detectors: ['ec2'], ec2 })
    expect(Object.keys(attributes)).not.toContain('host.name')
    expect(Object.keys(attributes)).not.toContain('host.image.id')
    expect(attributes).toMatchObject({ 'host.type': 'm7g.large' })
    expect(asked.map(({ path }) => path)).toEqual(['/latest/api/token', '/latest/dynamic/instance-identity/document'])
  })

  /** As Google's server: only for those who name it, and it names itself. */
  function gcpService(values: Record<string, string>) {
    return ({ path, headers }: Asked): Answer => {
      const value = values[path.replace('/computeMetadata/v1/', '')]
      if (headers['metadata-flavor'] !== 'Google') return { status: 403 }
      return { status: value === undefined ? 404 : 200, headers: { 'metadata-flavor': 'Google' }, body: value }
    }
  }
  const machine = {
    'project/project-id': 'shop-prod',
    'instance/id': '4987654321098765432',
    'instance/name': 'web-1',
    'instance/hostname': 'web-1.c.shop-prod.internal',
    'instance/zone': 'projects/1234/zones/europe-west1-b',
    'instance/machine-type': 'projects/1234/machineTypes/e2-medium',
  }

  it('asks Google, whose ids are longer than the numbers of JSON', async () => {
    const { url } = await startService(gcpService(machine))
    const gcp = { endpoint: url, resource_attributes: { 'gcp.gce.instance.hostname': { enabled: true } } }
    const { attributes } = await detected({ detectors: ['gcp'], gcp })
    expect(attributes).toEqual({
      'cloud.provider': 'gcp',
      'cloud.platform': 'gcp_compute_engine',
      'cloud.account.id': 'shop-prod',
      'cloud.region': 'europe-west1',
      'cloud.availability_zone': 'europe-west1-b',
      'host.id': '4987654321098765432',
      'host.name': 'web-1',
      'host.type': 'e2-medium',
      'gcp.gce.instance.hostname': 'web-1.c.shop-prod.internal',
    })
  })

  it('knows a node of Kubernetes Engine by its cluster', async () => {
    const { url } = await startService(gcpService({ ...machine, 'instance/attributes/cluster-name': 'blue' }))
    const { attributes } = await detected({ detectors: ['gcp'], gcp: { endpoint: url } })
    expect(attributes).toMatchObject({ 'cloud.platform': 'gcp_kubernetes_engine', 'k8s.cluster.name': 'blue' })
  })

  it("does not take another server for Google's", async () => {
    const { url } = await startService(() => ({ body: 'shop' }))
    const { attributes, warnings } = await detected({ detectors: ['gcp'], gcp: { endpoint: url } })
    expect(attributes).toEqual({})
    expect(warnings).toMatchObject([{ detector: 'gcp', error: expect.stringContaining("not Google's server") }])
  })

  it('asks Azure, and leaves out what is empty', async () => {
    const compute = {
      location: 'westeurope',
      name: 'web_1',
      osProfile: { computerName: 'web-1' },
      resourceGroupName: 'shop',
      subscriptionId: '8d10da13-8125-4ba9-a717-bf7490507b3d',
      vmId: '02aab8a4-74ef-476e-8182-f6d2ba4166a6',
      vmScaleSetName: '',
      vmSize: 'Standard_A3',
      zone: '2',
    }
    const { url } = await startService(({ path, headers }) =>
      headers.metadata === 'true' && path === '/metadata/instance/compute?api-version=2021-02-01&format=json'
        ? { body: JSON.stringify(compute) }
        : { status: 400 },
    )
    const { attributes } = await detected({ detectors: ['azure'], azure: { endpoint: url } })
    expect(attributes).toEqual({
      'cloud.provider': 'azure',
      'cloud.platform': 'azure.vm',
      'cloud.account.id': '8d10da13-8125-4ba9-a717-bf7490507b3d',
      'cloud.region': 'westeurope',
      'cloud.availability_zone': '2',
      'host.id': '02aab8a4-74ef-476e-8182-f6d2ba4166a6',
      'host.name': 'web-1',
      'azure.vm.name': 'web_1',
      'azure.vm.size': 'Standard_A3',
      'azure.resource_group.name': 'shop',
    })
  })

  it.each([
    ['is not there', { status: 404 }, '404'],
    ['answers something else', { body: '<html>' }, 'JSON'],
    ['answers no object', { body: 'null' }, 'not an object'],
    ['answers without end', { body: 'x'.repeat(2 * 1024 * 1024) }, ''],
  ])('goes on without a service that %s', async (_what, answer, error) => {
    const { url } = await startService(() => answer)
    const settings = { detectors: ['azure', 'env'], azure: { endpoint: url }, env: { service_name: 'shop' } }
    const { attributes, warnings } = await detected(settings)
    expect(attributes).toEqual({ 'service.name': 'shop' })
    expect(warnings).toMatchObject([{ detector: 'azure', error: expect.stringContaining(error) }])
  })

  it('goes on without a service that cannot be reached, or does not answer in time', async () => {
    const silent = await startService(() => undefined)
    const settings = {
      detectors: ['ec2', 'gcp', 'env'],
      timeout: '50ms',
      ec2: { endpoint: silent.url },
      gcp: { endpoint: 'http://127.0.0.1:1' },
      env: { service_name: 'shop' },
    }
    const { attributes, warnings } = await detected(settings)
    expect(attributes).toEqual({ 'service.name': 'shop' })
    expect(warnings).toHaveLength(2)
    expect(warnings).toContainEqual({ detector: 'ec2', error: 'no answer within 0.05 seconds' })
  })

  it('lets what waits for an answer pass when the pipeline stops', async () => {
    let arrived = (): void => undefined
    const arrival = new Promise<void>((resolve) => (arrived = resolve))
    const { url } = await startService(() => void arrived())
    const { process, stop, balance } = await start({ detectors: ['ec2'], timeout: '1h', ec2: { endpoint: url } })
    const passing = process(batchOf({ a: 'b' }))
    await arrival
    await stop()
    expect(attributesOf(await passing)).toEqual({ a: 'b' })
    expect(balance()).toMatchObject({ accepted: 1, handed_on: 1, held: 0, dropped: {} })
  })

  it('asks again after the interval, and keeps what it knows of a service that has gone', async () => {
    const answers: Answer[] = [{ status: 503 }]
    const azure = await startService(() => answers[0])
    const settings = { detectors: ['azure'], refresh_interval: '1ms', azure: { endpoint: azure.url } }
    const { process, logs } = await start(settings)
    expect(attributesOf(await process(batchOf({})))).toEqual({})
    answers[0] = { body: '{"vmId":"1"}' }
    let attributes = {}
    const again = async () => {
      await new Promise(setImmediate)
      attributes = attributesOf(await process(batchOf({})))
    }
    while (!('host.id' in attributes)) await again()
    answers[0] = { status: 503 }
    const warnings = () => logs.filter(({ level }) => level === 'warn').length
    const before = warnings()
    while (warnings() < before + 2) await again()
    expect(attributes).toMatchObject({ 'host.id': '1' })
  })
})

describe('resource_detection: the host', () => {
  it('reads the environment, percent encoding included, and the service name before all', async () => {
    const env = {
      OTEL_RESOURCE_ATTRIBUTES: 'service.name=old, deployment.environment.name=prod,note=a%2Cb%3Dc,empty=,',
      OTEL_SERVICE_NAME: 'shop',
    }
    const { attributes } = await detected({}, env)
    expect(attributes).toEqual({ 'service.name': 'shop', 'deployment.environment.name': 'prod', note: 'a,b=c' })
  })

  it.each(['a=1,b', 'a=%zz'])('leaves %s out as a whole, but not the service name', async (resource_attributes) => {
    const { attributes, warnings } = await detected({ env: { resource_attributes, service_name: 'shop' } })
    expect(attributes).toEqual({ 'service.name': 'shop' })
    expect(warnings).toMatchObject([{ detector: 'env', cause: expect.stringContaining('ignored') }])
  })

  const onLinux = process.platform === 'linux' ? it : it.skip

  onLinux('reads the CPU from the files of the host, in the words that the CPU uses', async () => {
    const root_path = new URL('../cases/host_metrics/processor_intel/0', import.meta.url).pathname
    const names = ['vendor.id', 'family', 'model.id', 'model.name', 'stepping', 'cache.l2.size']
    const resource_attributes: Record<string, object> = {
      'host.name': { enabled: false },
      'os.type': { enabled: false },
    }
    for (const name of names) resource_attributes[`host.cpu.${name}`] = { enabled: true }
    const system = { root_path, resource_attributes }
    expect(await detected({ detectors: ['system'], system })).toEqual({
      attributes: {
        'host.cpu.vendor.id': 'GenuineIntel',
        'host.cpu.family': '6',
        'host.cpu.model.id': '140',
        'host.cpu.model.name': '11th Gen Intel(R) Core(TM) i7-1185G7 @ 3.00GHz',
        'host.cpu.stepping': '1',
        'host.cpu.cache.l2.size': 1310720,
      },
      warnings: [],
    })
  })

  it('asks the system, that of the host around a container included', async () => {
    expect((await detected({ detectors: ['system'] })).attributes).toEqual({
      'host.name': os.hostname(),
      'os.type': process.platform,
    })
    const root_path = await temporaryFolder({ 'etc/hostname': 'node-7\n', 'etc/machine-id': 'abc\n' })
    const system = { root_path, resource_attributes: { 'host.id': { enabled: true }, 'os.type': { enabled: false } } }
    const { attributes } = await detected({ detectors: ['system'], system })
    expect(attributes).toEqual({ 'host.name': 'node-7', 'host.id': 'abc' })
  })

  it('takes what the downward API gives, and each variable by either of its names', async () => {
    const env = { K8S_POD_NAME: 'shop-7f', POD_UID: 'u-1', NODE_NAME: 'node-1', POD_NAMESPACE: 'prod' }
    const { attributes } = await detected({ detectors: ['kubernetes'] }, env)
    expect(attributes).toEqual({
      'k8s.pod.name': 'shop-7f',
      'k8s.pod.uid': 'u-1',
      'k8s.node.name': 'node-1',
      'k8s.namespace.name': 'prod',
    })
  })

  it('asks Docker where its socket is mounted, and does without where it is not', async () => {
    const socket = join(await temporaryFolder(), 'docker.sock')
    const docker = { socket, resource_attributes: { 'container.id': { enabled: false } } }
    const without = await detected({ detectors: ['docker'], docker })
    expect(without.attributes).toEqual({})
    expect(without.warnings).toMatchObject([{ detector: 'docker' }])
    const info = JSON.stringify({ Name: 'node-7', OSType: 'linux' })
    await startService(({ path }) => (path === '/info' ? { body: info } : { status: 404 }), socket)
    expect((await detected({ detectors: ['docker'], docker })).attributes).toMatchObject({
      'host.name': 'node-7',
      'os.type': 'linux',
    })
  })

  const id = '0123456789abcdef'.repeat(4)
  const uid = '0123abcd-4567-89ab-cdef-0123456789ab'
  it.each([
    ['Docker, cgroup v1', `5:memory:/docker/${id}\n`, '', id],
    ['Docker under systemd', `1:name=systemd:/system.slice/docker-${id}.scope\n`, '', id],
    ['containerd in a pod', `3:cpu:/kubepods/burstable/pod${uid}/${id}\n0::/\n`, '', id],
    ['ECS', `9:cpu:/ecs/0123/${'0123456789abcdef'.repeat(2)}-42\n`, '', `${'0123456789abcdef'.repeat(2)}-42`],
    ['Docker, cgroup v2', '0::/\n', `9 8 0:1 /var/lib/docker/containers/${id}/hostname /etc/hostname rw\n`, id],
    ['Podman', '0::/\n', `9 8 0:1 /storage/overlay-containers/${id}/userdata/hostname /etc/hostname rw\n`, id],
    [
      'CRI-O, where the file is that of the sandbox',
      '0::/\n',
      `9 8 0:1 /storage/overlay-containers/${id}/userdata/hostname /etc/hostname rw\n1 2 0:1 /var/lib/kubelet/pods/${uid}/etc-hosts /etc/hosts rw\n`,
      undefined,
    ],
    ['no container', '0::/user.slice/session-1.scope\n', '22 1 8:1 / / rw\n', undefined],
  ])('finds the container id of %s', async (_what, cgroup, mountinfo, expected) => {
    const folder = await temporaryFolder({ 'proc/self/cgroup': cgroup, 'proc/self/mountinfo': mountinfo })
    expect(containerId(hostFiles(folder))).toBe(expected)
  })

  it.each([
    ['its cgroup', `3:cpu:/kubepods/burstable/pod${uid}/${id}\n`, ''],
    ['its cgroup under systemd', `3:cpu:/kubepods.slice/kubepods-pod${uid.replaceAll('-', '_')}.slice/x\n`, ''],
    ['its mounts', '0::/\n', `1 2 0:1 /var/lib/kubelet/pods/${uid}/etc-hosts /etc/hosts rw\n`],
  ])("finds the pod's UID in %s", async (_what, cgroup, mountinfo) => {
    const folder = await temporaryFolder({ 'proc/self/cgroup': cgroup, 'proc/self/mountinfo': mountinfo })
    expect(podUid(hostFiles(folder))).toBe(uid)
  })
})

describe('resource_detection: what wins', () => {
  const env = { resource_attributes: 'host.name=from-env,team=a' }

  it('is the detector that stands first, then what is detected over what came', async () => {
    const resource = { 'host.name': 'came', team: 'b', other: 'c' }
    const envFirst = await start({ detectors: ['env', 'system'], env })
    expect(attributesOf(await envFirst.process(batchOf(resource)))).toEqual({
      'host.name': 'from-env',
      'os.type': process.platform,
      team: 'a',
      other: 'c',
    })
    const systemFirst = await start({ detectors: ['system', 'env'], env })
    expect(attributesOf(await systemFirst.process(batchOf(resource)))).toMatchObject({
      'host.name': os.hostname(),
      team: 'a',
    })
  })

  it('is what came, with `override: false`; what has all of it is the same batch', async () => {
    const { process } = await start({ env, override: false })
    expect(attributesOf(await process(batchOf({ 'host.name': 'came' })))).toEqual({ 'host.name': 'came', team: 'a' })
    const complete = batchOf({ 'host.name': 'came', team: 'b' })
    expect((await process(complete)).resources).toBe(complete.resources)
  })
})

describe('resource_detection: settings', () => {
  it("goes by the collector's names", async () => {
    expect(await loadBuiltin('processor', 'resourcedetection')).toBe(resourceDetection)
    const yaml = 'resourcedetection: { detectors: [env, system, ec2], timeout: 2s, override: false }'
    await expect(checkComponent(resourceDetection, yaml, {})).resolves.toBeDefined()
  })

  it.each([
    ['{ detectors: [] }', 'detectors: is empty'],
    ['{ detectors: [heroku] }', 'detectors[0]: must be `env`, `system`'],
    ['{ timeout: 0s }', 'timeout: must be longer than 0s'],
    ['{ ec2: { endpoint: "http://x/?a" } }', 'ec2.endpoint: must not contain a query'],
    ['{ ec2: { resource_attributes: { host.ip: { enabled: true } } } }', 'ec2.resource_attributes.host.ip'],
  ])('refuses %s', async (settings, message) => {
    await expect(checkComponent(resourceDetection, `resource_detection: ${settings}`, {})).rejects.toThrow(message)
  })
})
