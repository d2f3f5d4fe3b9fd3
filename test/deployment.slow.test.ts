import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from '@jest/globals'
import type { Container, PodSpec, Service } from 'kubernetes-types/core/v1.js'
import ts from 'typescript'
import { parse, parseAllDocuments } from 'yaml'
import { ExitCode } from '../src/cli/exit.ts'
import { loadConfig } from '../src/pipeline/config/config.ts'
import type { PipelineConfig } from '../src/pipeline/config/config.ts'
import { runCommand, startCommand, startProcess, temporaryFolder } from './kit/command.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const text = (path: string): string => readFileSync(join(root, path), 'utf8')
const { version } = JSON.parse(text('package.json')) as { version: string }

/** Loads a configuration, with what it reads where it is deployed: its files are made here, the host is this one. */
async function load(yaml: string, env: Readonly<Record<string, string>>): Promise<PipelineConfig> {
  const folder = await temporaryFolder({ file: 'k' })
  const here = yaml
    .replace(/\$\{file:[^}]+\}/g, `\${file:${folder.path('file')}}`)
    .replace('root_path: /hostfs', 'root_path: /')
  return loadConfig({ files: [{ name: 'pipeline.yaml', text: here }], env })
}

interface KubernetesObject {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: { readonly name: string }
  readonly data?: Readonly<Record<string, string>>
}

function objectsOf(yaml: string): KubernetesObject[] {
  // As kubectl reads it, for which 0440 is octal.
  return parseAllDocuments(yaml, { version: '1.1' }).map((document) => document.toJS() as KubernetesObject)
}

const compilerOptions: ts.CompilerOptions = {
  strict: true,
  noEmit: true,
  skipLibCheck: true,
  types: [],
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.ESNext,
  moduleResolution: ts.ModuleResolutionKind.Bundler,
}
const disk = ts.createCompilerHost(compilerOptions)
/** What every object is checked with is parsed once. */
const sources = new Map<string, ts.SourceFile | undefined>()

/**
 * What the published types of the Kubernetes API have against an object: what is missing, of another type or unknown.
 * The types are made from the API's OpenAPI description.
 */
function mistakesIn(object: KubernetesObject): string[] {
  const group = object.apiVersion === 'v1' ? 'core/v1' : object.apiVersion
  const file = join(root, 'test', 'kubernetes_object.ts')
  const source = `import type { ${object.kind} } from 'kubernetes-types/${group}'
export const object: ${object.kind} = ${JSON.stringify(object)}`
  const host: ts.CompilerHost = {
    ...disk,
    fileExists: (path) => path === file || disk.fileExists(path),
    getSourceFile: (path, target) => {
      if (path === file) return ts.createSourceFile(path, source, target)
      if (!sources.has(path)) sources.set(path, disk.getSourceFile(path, target))
      return sources.get(path)
    },
  }
  return ts
    .getPreEmitDiagnostics(ts.createProgram([file], compilerOptions, host))
    .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'))
}

const manifests = readdirSync(join(root, 'deploy', 'kubernetes')).map((file) => ({
  file,
  objects: objectsOf(text(join('deploy', 'kubernetes', file))),
}))
const objects = manifests.flatMap((manifest) => manifest.objects)

/** The pods that run, with the name of what makes them. */
const pods = objects.flatMap((object) => {
  const spec = (object as { spec?: PodSpec & { template?: { spec: PodSpec } } }).spec
  const pod = object.kind === 'Pod' ? spec : spec?.template?.spec
  return pod === undefined ? [] : [{ kind: object.kind, name: object.metadata.name, pod, object }]
})

const containersOf = ({ initContainers = [], containers }: PodSpec): Container[] => [...initContainers, ...containers]

function ours(pod: PodSpec): Container {
  const container = containersOf(pod).find(({ name }) => name === 'heka-pipeline')
  if (container === undefined) throw new Error('No container is named heka-pipeline.')
  return container
}

/** The pipeline in the ConfigMap that a pod mounts. */
function pipelineOf({ volumes }: PodSpec): string {
  const name = volumes?.find((volume) => volume.name === 'config')?.configMap?.name
  const map = objects.find(({ kind, metadata }) => kind === 'ConfigMap' && metadata.name === name)
  return map?.data?.['pipeline.yaml'] ?? ''
}

describe('deploy/kubernetes', () => {
  it.each(manifests)('$file holds what the API of Kubernetes takes', ({ objects }) => {
    for (const object of objects)
      expect({ kind: object.kind, mistakes: mistakesIn(object) }).toEqual({ kind: object.kind, mistakes: [] })
  })

  it('and a setting that the API does not know, or of another type, would be found', () => {
    const withSpec = (spec: object) =>
      mistakesIn({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'a' }, spec } as KubernetesObject).join('\n')
    expect(withSpec({ containers: [{ name: 'a', imagePullPolice: 'Always' }] })).toMatch(/imagePullPolice/)
    expect(withSpec({ containers: [{ name: 'a', env: { A: 'b' } }] })).toMatch(/EnvVar\[\]/)
    expect(withSpec({})).toMatch(/'containers' is missing/)
  })

  it.each(pods)('the $kind $name runs without rights, within limits, in the image of this version', ({ pod }) => {
    const { image, resources, securityContext } = ours(pod)
    expect(image).toBe(`registry.example.com/heka-pipeline:${version}`)
    expect(resources).toMatchObject({ requests: { cpu: expect.any(String) }, limits: { memory: expect.any(String) } })
    expect(securityContext).toEqual({
      runAsNonRoot: true,
      runAsUser: 65532,
      readOnlyRootFilesystem: true,
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'] },
      seccompProfile: { type: 'RuntimeDefault' },
    })
  })

  it.each(pods)('the $kind $name mounts what there is, and its pipeline loads', async ({ pod }) => {
    const container = ours(pod)
    const volumes = new Map(pod.volumes?.map((volume) => [volume.name, volume]))
    expect(container.volumeMounts?.filter(({ name }) => !volumes.has(name))).toEqual([])
    const secret = volumes.get('key')?.secret?.secretName
    expect(objects).toContainEqual(expect.objectContaining({ kind: 'Secret', metadata: { name: secret } }))
    const yaml = pipelineOf(pod)
    const env = Object.fromEntries(container.env?.map(({ name, value = 'of-the-pod' }) => [name, value]) ?? [])
    const config = await load(yaml, env)
    expect(config.warnings).toEqual([])
    // What it writes to and what it looks at is mounted.
    const mounts = new Set(container.volumeMounts?.map(({ mountPath }) => mountPath))
    for (const [, folder] of yaml.matchAll(/(?:directory|root_path): ([\w/-]+)/g)) expect(mounts).toContain(folder)
    // It ends before it is killed.
    const [, timeout] = /shutdown_timeout: (\d+)s/.exec(yaml) ?? [undefined, '10']
    expect(Number(timeout)).toBeLessThanOrEqual((pod.terminationGracePeriodSeconds ?? 0) - 10)
  })

  it('the sidecar is a native one', () => {
    const sidecar = pods.find(({ kind }) => kind === 'Pod')
    expect(sidecar?.pod.initContainers).toMatchObject([{ name: 'heka-pipeline', restartPolicy: 'Always' }])
  })

  it.each(pods)('the $kind $name is asked for its health, where it answers', ({ pod }) => {
    const { startupProbe, readinessProbe, livenessProbe, ports = [] } = ours(pod)
    const { service } = parse(pipelineOf(pod)) as { service: { health?: { address: string } } }
    const named = new Map(ports.map(({ name, containerPort }) => [name, containerPort]))
    expect(service.health?.address).toBe(`0.0.0.0:${named.get('health')}`)
    expect(livenessProbe?.httpGet).toEqual({ path: '/healthz', port: 'health' })
    // Whether the application of a sidecar is in its Service is not for its telemetry to say.
    if (pod.initContainers === undefined) expect(readinessProbe?.httpGet).toEqual({ path: '/readyz', port: 'health' })
    expect(named.has((startupProbe?.tcpSocket ?? startupProbe?.httpGet)?.port as string)).toBe(true)
  })

  it("the gateway's Service sends to ports on which it listens", () => {
    const gateway = pods.find(({ kind }) => kind === 'Deployment')
    const named = new Set(ours(gateway?.pod as PodSpec).ports?.map(({ name }) => name))
    const service = objects.find(({ kind }) => kind === 'Service') as Service
    for (const { targetPort } of service.spec?.ports ?? []) expect(named).toContain(targetPort)
    expect(gateway?.object).toMatchObject({
      spec: {
        selector: { matchLabels: service.spec?.selector },
        template: { metadata: { labels: service.spec?.selector } },
      },
    })
  })
})

describe('deploy/systemd', () => {
  const unit = text('deploy/systemd/heka-pipeline.service')
  const setting = (name: string): string => new RegExp(`^${name}=(.*)$`, 'm').exec(unit)?.[1] ?? ''

  it('checks the configuration before the start, with the command and the file of the start', async () => {
    expect(setting('ExecStartPre')).toBe(setting('ExecStart').replace('heka-pipeline', 'heka-pipeline validate'))
    const [, , ...args] = setting('ExecStartPre').split(' ')
    const run = (file: string) =>
      runCommand(
        args.map((argument) => (argument === '/etc/heka-pipeline/pipeline.yaml' ? file : argument)),
        { env: { DD_API_KEY: 'k' } },
      )
    const good = await run(join(root, 'deploy', 'systemd', 'pipeline.yaml'))
    expect(good.code).toBe(0)
    const folder = await temporaryFolder({ 'pipeline.yaml': 'receivers: { host_metric: }' })
    const bad = await run(folder.path('pipeline.yaml'))
    expect(bad.code).toBe(ExitCode.config)
    expect(bad.stderr).toContain('did you mean')
  })

  it('does not start again what cannot start', () => {
    expect(setting('RestartPreventExitStatus')).toBe(`${ExitCode.usage} ${ExitCode.config}`)
  })
})

describe('deploy/Dockerfile', () => {
  const address = '127.0.0.1:13133'
  const found = (pattern: RegExp): string => pattern.exec(text('deploy/Dockerfile'))?.[1] ?? ''

  it('finds the process well as long as it answers, whatever pipeline is mounted', async () => {
    const folder = await temporaryFolder({
      'health.yaml': found(/echo '(.*)' > \/image\/app\/health\.yaml/).replace(address, '127.0.0.1:0'),
      'pipeline.yaml': text('config/default.yaml'),
    })
    const args = JSON.parse(found(/^CMD (.*)$/m)) as string[]
    const command = startCommand(args.map((argument) => argument.replace(/^\/.*\//, folder.path('/'))))
    const real = await command.address('health')
    const [node, ...check] = JSON.parse(found(/^HEALTHCHECK .*\\\n +CMD (.*)$/m)) as string[]
    const ask = () =>
      startProcess(
        node,
        check.map((argument) => argument.replace(address, real)),
      ).ended
    expect(await ask()).toBe(0)
    command.kill('SIGTERM')
    await command.ended
    expect(await ask()).toBe(1)
  })
})

describe('deploy/compose', () => {
  it('has a pipeline that loads', async () => {
    const config = await load(text('deploy/compose/pipeline.yaml'), {})
    expect(config.warnings).toEqual([])
    expect([...config.receivers.keys()]).toEqual(['host_metrics', 'otlp'])
  })

  it('mounts its pipeline where the image looks for it', () => {
    const { services } = parse(text('deploy/compose/docker-compose.yml')) as {
      services: Record<string, { volumes: string[] }>
    }
    const path = /^CMD .*"([^"]+\.yaml)"\]$/m.exec(text('deploy/Dockerfile'))?.[1]
    expect(services['heka-pipeline'].volumes).toContain(`./pipeline.yaml:${path}:ro`)
  })
})
