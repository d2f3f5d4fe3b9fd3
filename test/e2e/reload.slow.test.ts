import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { request as httpRequest } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { connect, createServer } from 'node:net'
import { fileURLToPath } from 'node:url'
import { Client as GrpcClient, credentials, status as grpcStatus } from '@grpc/grpc-js'
import type { ChannelCredentials, ServiceError } from '@grpc/grpc-js'
import { describe, expect, it } from '@jest/globals'
import { Client, request } from 'undici'
import { cleanups } from '../kit/cleanups.ts'
import { startCommand, temporaryFolder } from '../kit/command.ts'
import type { RunningCommand } from '../kit/command.ts'
import { eventsOf, latestOf } from '../kit/events.ts'
import { startIntake } from '../kit/intake.ts'
import type { Intake } from '../kit/intake.ts'
import { ExportMetricsServiceRequest } from '../kit/otlp_proto.ts'
import { until } from '../kit/until.ts'
import { gaugeRequest } from '../kit/receiving.ts'
import { startDestination } from '../kit/intake.ts'
import { listen } from '../kit/listen.ts'

/** The values that an intake took, in the order in which they came. */
function valuesAt(intake: Intake): number[] {
  const taken = intake.requests.filter(({ status }) => status === 200)
  return taken.flatMap(({ body }) =>
    Array.from(JSON.stringify(body).matchAll(/"as(?:Double|Int)":"?([\d.]+)/g), ([, value]) => Number(value)),
  )
}

/** What stands before `= ...` and after it in each line of the balance. */
function balances(log: string): { name: string; left: number; right: number }[] {
  const sum = (side: string): number =>
    Array.from(side.matchAll(/ (\d+)(?= \+|$)/g), ([, count]) => Number(count)).reduce((a, b) => a + b, 0)
  return Array.from(log.matchAll(/Data points of ([^:]+):([^=]*) = ([^"\n]*)/g), ([, name, left, right]) => ({
    name,
    left: sum(left),
    right: sum(` ${right}`),
  }))
}

interface Process {
  readonly command: RunningCommand
  /** Writes a file beside `pipeline.yaml`, or that. */
  readonly write: (file: string, text: string) => Promise<void>
  readonly read: (file: string) => Promise<string>
  /** `POST /reload`, as it is answered. */
  readonly reload: () => Promise<{ code: number; text: string }>
  /** Each component with how it is, where `service.health` is on. */
  readonly status: () => Promise<string[]>
  /** Where a server has come to listen the last time. */
  readonly address: (server: string) => Promise<string>
}

/** A pipeline whose `service` has an admin address, when it can be reloaded. */
async function start(yaml: string, files?: Readonly<Record<string, string>>): Promise<Process> {
  const process = await launch(yaml, files)
  await process.address('admin')
  return process
}

async function launch(yaml: string, files: Readonly<Record<string, string>> = {}): Promise<Process> {
  const folder = await temporaryFolder({ ...files, 'pipeline.yaml': yaml })
  const command = startCommand(['--config', 'pipeline.yaml'], { cwd: folder.path('.') })
  const { address } = command
  return {
    command,
    address,
    write: (file, text) => writeFile(folder.path(file), text),
    read: (file) => readFile(folder.path(file), 'utf8'),
    async reload() {
      const { statusCode, body } = await request(`http://${await address('admin')}/reload`, {
        method: 'POST',
      })
      return { code: statusCode, text: await body.text() }
    },
    async status() {
      const { body } = await request(`http://${await address('health')}/status`)
      const { components } = (await body.json()) as { components: Record<string, { status: string }> }
      return Object.entries(components).map(([path, component]) => `${path} ${component.status}`)
    },
  }
}

const service = (pipelines: string, more = ''): string => `
service:
  admin: { address: "127.0.0.1:0" }
  ${more}
  telemetry: { logs: { encoding: json }, metrics: { level: none } }
  pipelines: { ${pipelines} }
`
const retries = 'retry_on_failure: { initial_interval: 20ms, max_interval: 50ms }'

/** When what is counted began, in nanoseconds since 1970: a minute ago. */
const beginning = BigInt(Date.now() - 60_000) * 1_000_000n

/** A cumulative sum at its second. */
function sumRequest(value: number, second: number): Buffer {
  const dataPoints = [
    {
      asDouble: value,
      startTimeUnixNano: String(beginning),
      timeUnixNano: String(beginning + BigInt(second) * 1_000_000_000n),
    },
  ]
  const metrics = [{ name: 'counted', sum: { isMonotonic: true, aggregationTemporality: 2, dataPoints } }]
  const message = ExportMetricsServiceRequest.fromObject({ resourceMetrics: [{ scopeMetrics: [{ metrics }] }] })
  return Buffer.from(ExportMetricsServiceRequest.encode(message).finish())
}

async function send(address: string, body: Buffer): Promise<number> {
  const { statusCode, body: answer } = await request(`http://${address}/v1/metrics`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-protobuf' },
    body,
  })
  await answer.dump()
  return statusCode
}

const tlsPath = (name: string): string => fileURLToPath(new URL(`../kit/tls/${name}`, import.meta.url))
const tlsFile = (name: string): Buffer => readFileSync(tlsPath(name))

/** Sends over gRPC, and resolves to the status code. */
function sendOverGrpc(address: string, channel: ChannelCredentials, body: Buffer): Promise<number> {
  const client = new GrpcClient(address, channel)
  const path = '/opentelemetry.proto.collector.metrics.v1.MetricsService/Export'
  const same = (bytes: Buffer): Buffer => bytes
  return new Promise((resolve) => {
    client.makeUnaryRequest(path, same, same, body, { deadline: Date.now() + 5000 }, (error: ServiceError | null) => {
      client.close()
      resolve(error?.code ?? grpcStatus.OK)
    })
  })
}

/** A request to reload that the server has begun with, and the time when it is answered. */
async function asked(address: string): Promise<{ answered: Promise<unknown> }> {
  const post = httpRequest(`http://${address}/reload`, { method: 'POST', headers: { expect: '100-continue' } })
  const answered = once(post, 'response').then(([response]) => once((response as IncomingMessage).resume(), 'end'))
  post.flushHeaders()
  await once(post, 'continue')
  post.end()
  return { answered }
}

describe('a reload', () => {
  it('loses nothing under load and counts nothing twice, and keeps the connections of what did not change', async () => {
    const [first, second] = [await startDestination(), await startDestination()]
    const slow = `export default { kind: 'processor', type: 'slow', summary: 'Takes its time.', config: {},
      create: () => async (batch) => { await new Promise((resolve) => setTimeout(resolve, 2)); return batch } }`
    const variant = (exporters: string, processors: string, names: string): string => `
modules: [./slow.mjs]
receivers: { otlp: { protocols: { http: { endpoint: "127.0.0.1:0" } } } }
processors: { slow: , metric_prefix: { prefix: heka } }
exporters: { ${exporters} }
${service(`metrics: { receivers: [otlp], processors: [${processors}], exporters: [${names}] }`)}`
    const to = ({ url }: Intake, more = ''): string => `{ endpoint: "${url}", ${retries}${more} }`
    const variants = [
      variant(`otlp_http: ${to(first)}`, 'slow', 'otlp_http'),
      variant(`otlp_http: ${to(first)}`, '', 'otlp_http'),
      variant(`otlp_http: ${to(first, ', compression: none')}`, 'metric_prefix, slow', 'otlp_http'),
      variant(`otlp_http: ${to(first)}, otlp_http/2: ${to(second)}`, 'slow, metric_prefix', 'otlp_http, otlp_http/2'),
      variant(`otlp_http: ${to(first, ', sending_queue: { directory: queue }')}`, 'slow', 'otlp_http'),
      variant(`otlp_http: ${to(first)}`, '', 'otlp_http, otlp_http/3'),
    ]
    const process = await start(variants[0], { 'slow.mjs': slow })
    const { command, reload, write } = process
    const client = new Client(`http://${await process.address('otlp_http')}`)
    cleanups.push(() => client.destroy())
    let disconnected = 0
    client.on('disconnect', () => (disconnected += 1))
    const accepted: number[] = []
    let value = 0
    let running = true
    const sender = async (): Promise<void> => {
      while (running) {
        const own = value++
        const { statusCode, body } = await client.request({
          path: '/v1/metrics',
          method: 'POST',
          headers: { 'content-type': 'application/x-protobuf' },
          body: gaugeRequest(own),
        })
        await body.dump()
        if (statusCode === 200) accepted.push(own)
      }
    }
    const senders = Promise.all([sender(), sender(), sender()])
    for (let round = 0; round < 12; round += 1) {
      const enough = accepted.length + 8
      await until(() => accepted.length >= enough)
      await write('pipeline.yaml', variants[round % variants.length])
      const { code, text } = await reload()
      expect({ code, text }).toMatchObject({ code: round % variants.length === 5 ? 422 : 200 })
    }
    running = false
    await senders
    expect(disconnected).toBe(0)
    command.kill('SIGTERM')
    await expect(command.ended).resolves.toBe(0)
    expect(valuesAt(first).sort((a, b) => a - b)).toEqual(accepted.sort((a, b) => a - b))
    expect(new Set(valuesAt(second)).size).toBe(valuesAt(second).length)
    const sheets = balances(command.stderr())
    expect(sheets.map(({ name }) => name)).toEqual(['pipeline metrics', 'exporter otlp_http', 'exporter otlp_http/2'])
    for (const { left, right } of sheets) expect(left).toBe(right)
    expect(sheets[1].left).toBe(accepted.length)
  })

  it('changes sockets, modules and health as the file says, or leaves all as it was and says why', async () => {
    const destination = await startDestination()
    const factor = (text: string): Record<string, string> => ({
      'factor.mjs': `export const name = '${text}'`,
      'named.mjs': `import { name } from './factor.mjs'
        export default { kind: 'processor', type: 'named', summary: 'Names.', config: {},
          create: () => (batch) => batch.mapMetrics((metric) => metric.withName(name + '.' + metric.name)) }`,
    })
    const yaml = (otlp: string, more = '', processors = ''): string => `
modules: [./named.mjs]
receivers: { otlp: { protocols: { http: { ${otlp} } } }${more} }
processors: { cumulative_to_delta: , named: }
exporters: { otlp_http: { endpoint: "${destination.url}" } }
${service(
  `metrics: { receivers: [otlp${more && ', otlp/2'}], processors: [cumulative_to_delta${processors}], exporters: [otlp_http] }`,
  'health: { address: "127.0.0.1:0" }',
)}`
    const { command, reload, write, status, address } = await start(yaml('endpoint: "127.0.0.1:0"'), factor('one'))
    const first = await address('otlp_http')
    const kept = 'receivers.otlp, processors.cumulative_to_delta'

    // The memory of a processor that stays: the difference to what came before the reload.
    await expect(send(first, sumRequest(10, 1))).resolves.toBe(200)
    await write('pipeline.yaml', yaml('endpoint: "127.0.0.1:0"', '', ', named'))
    await expect(reload()).resolves.toEqual({
      code: 200,
      text: `The configuration was reloaded.\nkept: ${kept}, exporters.otlp_http\nchanged: service.pipelines.metrics\nadded: processors.named\n`,
    })
    await expect(send(first, sumRequest(17, 2))).resolves.toBe(200)
    await until(() => valuesAt(destination).includes(7))
    expect(JSON.stringify(destination.requests.at(-1)?.body)).toContain('"one.counted"')

    // What a module imports belongs to it.
    await write('factor.mjs', factor('two')['factor.mjs'])
    await expect(reload()).resolves.toMatchObject({
      code: 200,
      text: expect.stringContaining('changed: processors.named\n') as unknown,
    })
    await expect(send(first, sumRequest(20, 3))).resolves.toBe(200)
    await until(() => valuesAt(destination).includes(3))
    expect(JSON.stringify(destination.requests.at(-1)?.body)).toContain('"two.counted"')

    // Mistakes, as `validate` prints them.
    await write('pipeline.yaml', `${yaml('endpiont: "127.0.0.1:0"')}logs:\n`)
    await expect(reload()).resolves.toEqual({
      code: 422,
      text: [
        'pipeline.yaml:3:43 receivers.otlp.protocols.http.endpiont: unknown setting; known settings: endpoint, metrics_url_path, logs_url_path, traces_url_path, max_request_body_size, read_header_timeout, read_timeout, idle_timeout, tls, cors (did you mean "endpoint"?)',
        'warning: pipeline.yaml:4:38 processors.named: is not used by any pipeline',
        'pipeline.yaml:12:1 logs: unknown section; known sections: receivers, processors, exporters, service, modules',
        '',
        '2 mistakes in the configuration.\n',
      ].join('\n'),
    })

    // A port that is taken: nothing is left of the receiver that comes with it.
    const { port, close } = await listen(createServer())
    const second = (endpoint: string): string => `, otlp/2: { protocols: { http: { endpoint: "${endpoint}" } } }`
    await write('pipeline.yaml', yaml('endpoint: "127.0.0.1:0"', second(`127.0.0.1:${port}`)))
    await expect(reload()).resolves.toEqual({
      code: 422,
      text: `pipeline.yaml:3:74 receivers.otlp/2: protocols.http.endpoint: cannot listen on 127.0.0.1:${port}: another process already listens there\n\n1 mistake in the configuration.\n`,
    })
    await expect(status()).resolves.toEqual([
      'exporters.otlp_http StatusOK',
      'receivers.otlp StatusOK',
      'processors.cumulative_to_delta StatusOK',
      'processors.named StatusOK',
    ])

    // As soon as it is free, it is opened.
    await close()
    await expect(reload()).resolves.toMatchObject({
      code: 200,
      text: expect.stringContaining('added: receivers.otlp/2\nremoved: processors.named\n') as unknown,
    })
    await expect(send(`127.0.0.1:${port}`, gaugeRequest(41))).resolves.toBe(200)
    await expect(status()).resolves.toEqual([
      'exporters.otlp_http StatusOK',
      'receivers.otlp StatusOK',
      'processors.cumulative_to_delta StatusOK',
      'receivers.otlp/2 StatusOK',
    ])

    // The same address with other settings: a client that connects at any time is answered. Then one that only overlaps.
    let connecting = true
    const attempts = (async () => {
      let count = 0
      for (; connecting; count += 1) {
        const socket = connect(port, '127.0.0.1')
        socket.once('connect', () => socket.destroy())
        await once(socket, 'close')
      }
      return count
    })()
    await write('pipeline.yaml', yaml('endpoint: "127.0.0.1:0"', second(`127.0.0.1:${port}", read_timeout: "9s`)))
    await expect(reload()).resolves.toMatchObject({
      code: 200,
      text: expect.stringContaining('changed: receivers.otlp/2') as unknown,
    })
    connecting = false
    expect(await attempts).toBeGreaterThan(0)
    await expect(send(`127.0.0.1:${port}`, gaugeRequest(42))).resolves.toBe(200)
    await write('pipeline.yaml', yaml('endpoint: "127.0.0.1:0"', second(`0.0.0.0:${port}`)))
    await expect(reload()).resolves.toMatchObject({ code: 200 })
    await expect(send(`127.0.0.1:${port}`, gaugeRequest(43))).resolves.toBe(200)

    // Whoever may not reload.
    const url = `http://${await address('admin')}/reload`
    const evil = await request(url, { method: 'POST', headers: { origin: 'https://evil.example.org' } })
    expect(evil.statusCode).toBe(403)
    expect((await request(url)).statusCode).toBe(405)

    command.kill('SIGTERM')
    await expect(command.ended).resolves.toBe(0)
    expect(valuesAt(destination)).toEqual([7, 3, 41, 42, 43])
  })

  it('goes on where a module that it refuses exits, or fails later in a timer', async () => {
    const destination = await startDestination()
    const module = (before: string, create = '(batch) => batch'): string =>
      `${before}\nexport default { kind: 'processor', type: 'own', summary: 'Own.', config: {}, create: () => ${create} }`
    const yaml = (more = '', setting = ''): string => `
modules: [./own.mjs${more}]
receivers: { otlp: { protocols: { http: { endpoint: "127.0.0.1:0" } } } }
processors: { own: }
exporters: { otlp_http: { endpoint: "${destination.url}"${setting} } }
${service('metrics: { receivers: [otlp], processors: [own], exporters: [otlp_http] }')}`
    const { command, reload, write, address } = await start(yaml(), { 'own.mjs': module('') })
    const strays = (): number => eventsOf(command.stderr()).filter(({ event }) => event === 'stray_failed').length

    await write('own.mjs', module('process.exit(4)'))
    await expect(reload()).resolves.toMatchObject({
      code: 422,
      text: expect.stringContaining('modules[0]: cannot be loaded: process.exit(4) was called.') as unknown,
    })
    await write('own.mjs', module('', 'process.exit(4)'))
    await expect(reload()).resolves.toMatchObject({
      code: 422,
      text: expect.stringContaining('its `create` failed: process.exit(4) was called.') as unknown,
    })

    // Another version of the file of a module that runs, refused for itself.
    const late = (what: string): string => `setTimeout(() => { ${what} }, 50)`
    await write('own.mjs', module(late(`throw new Error('late')`), '5'))
    await expect(reload()).resolves.toMatchObject({ code: 422 })
    await until(() => strays() === 1)
    await write('own.mjs', module(`\n${late('process.exit(6)')}`, '5'))
    await expect(reload()).resolves.toMatchObject({ code: 422 })
    await command.waitFor('process.exit(6) was called.')

    // A file that is new, refused with the rest.
    await write('own.mjs', module(''))
    await write('new.mjs', late(`Promise.reject(new Error('unheard'))`) + '\nexport default []')
    await write('pipeline.yaml', yaml(', ./new.mjs', ', nope: 1'))
    await expect(reload()).resolves.toMatchObject({ code: 422 })
    await command.waitFor('unheard')

    await expect(send(await address('otlp_http'), gaugeRequest(7))).resolves.toBe(200)
    await until(() => valuesAt(destination).includes(7))
    // One that runs, from its first reload on.
    await write('pipeline.yaml', yaml())
    await write('own.mjs', module(late(`throw new Error('running')`)))
    await expect(reload()).resolves.toMatchObject({ code: 200 })
    await expect(command.ended).resolves.toBe(70)
    expect(latestOf(command.stderr(), 'crashed')).toMatchObject({ component: 'own', error: 'running' })
  })

  it('takes back what a component was given that never started, because the reload is refused', async () => {
    const destination = await startDestination()
    const module = (create = ''): string => `
import { appendFileSync } from 'node:fs'
export default { kind: 'processor', type: 'own', summary: 'Own.', config: { x: { doc: 'x.', format: 'int', default: 1 } },
  create({ clock, listen, meter, report, rxjs }) { ${create}; return (batch) => batch } }`
    const yaml = (own: string, setting = ''): string => `
modules: [./own.mjs]
receivers: { otlp: { protocols: { http: { endpoint: "127.0.0.1:0" } } }, internal: { collection_interval: 50ms } }
processors: { own: ${own} }
exporters: { otlp_http: { endpoint: "${destination.url}"${setting}, ${retries} } }
${service('metrics: { receivers: [otlp, internal], processors: [own], exporters: [otlp_http] }', 'health: { address: "127.0.0.1:0" }')}`
    const begin = `
const say = (what) => appendFileSync('said', what + '\\n')
const counter = meter.createCounter('begun', { description: 'x.' })
const count = (what) => { counter.add(1); say(what) }
count('create')
report('It was created.')
clock.setInterval(() => count('interval'), 10)
const again = () => { count('timeout'); clock.setTimeout(again, 10) }
clock.setTimeout(again, 10)
const sleep = async () => { for (;;) { await clock.sleep(10); count('sleep') } }
void sleep()
rxjs.interval(10, clock.scheduler).subscribe(() => count('rxjs'))
void listen({ host: '127.0.0.1', port: 0, take: (socket) => socket.end('own'), fail() {} }).then(({ address }) => say('at ' + address))`
    const { reload, write, address, status, read } = await start(yaml(''), { 'own.mjs': module(), said: '' })

    await write('own.mjs', module(begin))
    // Another receiver cannot listen, which shows only once everything is created.
    const second = `otlp/2: { protocols: { http: { endpoint: "${await address('otlp_http')}" } } }`
    const both = yaml('')
      .replace('internal:', `${second}, internal:`)
      .replace('[otlp, internal]', '[otlp, otlp/2, internal]')
    await write('pipeline.yaml', both)
    await expect(reload()).resolves.toMatchObject({ code: 422 })
    const said = await read('said')
    expect(said).toMatch(/^create\n/)
    await expect(send(await address('otlp_http'), gaugeRequest(7))).resolves.toBe(200)
    await until(() => valuesAt(destination).includes(7))
    await until(() => destination.requests.length > 10)
    expect(await read('said')).toBe(said)
    expect((await status()).sort()).toContain('processors.own StatusOK')
    const [, listened] = /^at (.*)$/m.exec(said) ?? []
    expect(listened).toBeDefined()
    const refused = connect({ host: '127.0.0.1', port: Number(listened.split(':')[1]) })
    await expect(once(refused, 'connect')).rejects.toThrow('ECONNREFUSED')
    expect(JSON.stringify(destination.requests.map(({ body }) => body))).not.toContain('processor_own_begun')

    await write('pipeline.yaml', yaml('{ x: 2 }'))
    await expect(reload()).resolves.toMatchObject({ code: 200 })
    await until(() => JSON.stringify(destination.requests.map(({ body }) => body)).includes('processor_own_begun'))
    const names = ['interval', 'timeout', 'sleep', 'rxjs']
    const before = (await read('said')).length
    await until(async () => {
      const more = (await read('said')).slice(before)
      return names.every((name) => more.includes(name))
    })
    expect((await status()).sort()).toContain('processors.own StatusRecoverableError')
  })

  it('goes on where an exporter tells of its memory without end', async () => {
    const module = `export default { kind: 'exporter', type: 'own', summary: 'Own.',
  config: { x: { doc: 'x.', format: 'int', default: 1 } },
  create: () => ({
    encode: (batch) => [{ items: batch.pointCount, bytes: 1 }],
    async send() {},
    state: { beginCheckpoint() {}, changes: () => ({ bytes: new Uint8Array(1), all: false }), restore() {} },
  }) }`
    const yaml = (x: number, queue = ''): string => `
modules: [./own.mjs]
receivers: { internal: { collection_interval: 50ms } }
exporters: { own: { x: ${x}${queue} } }
${service('metrics: { receivers: [internal], exporters: [own] }')}`
    const memory = await start(yaml(1), { 'own.mjs': module })
    await memory.write('pipeline.yaml', yaml(2))
    await expect(memory.reload()).resolves.toMatchObject({ code: 200 })
    expect(latestOf(memory.command.stderr(), 'state_not_restored')).toMatchObject({
      component: 'own',
      error: '`state.changes` must return `all: true` within 10000 calls after `beginCheckpoint`',
    })
    const disk = await start(yaml(1, ', sending_queue: { directory: queue }'), { 'own.mjs': module })
    await disk.command.logged('state_disk_failed')
    for (const { command } of [memory, disk]) {
      command.kill('SIGTERM')
      await expect(command.ended).resolves.toBe(0)
    }
  })

  it.each(['prepare', 'encode'])('goes on answering while an exporter is to %s a large batch', async (what) => {
    const module = `export default { kind: 'exporter', type: 'own', summary: 'Own.',
  config: { x: { doc: 'x.', format: 'int', default: 1 } },
  create({ config }) {
    const encode = (batch) => [{ items: batch.pointCount, bytes: 1 }]
    function* work(result) {
      console.log('begun by ' + config.x)
      for (const end = performance.now() + 2000; performance.now() < end;) yield
      console.log('ended by ' + config.x)
      return result
    }
    return {
      encode,
      async send() {},
      ${what === 'prepare' ? '*prepareInTurns(batch) { return yield* work(batch) }' : '*encodeInTurns(batch) { return yield* work(encode(batch)) }'},
      state: {
        beginCheckpoint() {},
        changes: () => (console.log('passed on by ' + config.x), { bytes: new Uint8Array(1), all: true }),
        restore() {},
      },
    }
  } }`
    const yaml = (own: string): string => `
modules: [./own.mjs]
receivers: { otlp: { protocols: { http: { endpoint: "127.0.0.1:0" } } } }
exporters: { own: { ${own} } }
${service('metrics: { receivers: [otlp], exporters: [own] }', 'health: { address: "127.0.0.1:0" }')}`
    const { command, address, write, reload } = await start(yaml('x: 1'), { 'own.mjs': module })
    const health = await address('health')
    for (const [round, own] of ['x: 2', 'x: 3, sending_queue: { directory: queue }'].entries()) {
      const sent = send(await address('otlp_http'), gaugeRequest(...Array.from({ length: 5000 }, () => round)))
      await command.waitFor(`begun by ${round + 1}`)
      await write('pipeline.yaml', yaml(own))
      let isOver = false
      const answer = reload().finally(() => (isOver = true))
      const waits: number[] = []
      while (!isOver) {
        const asked = performance.now()
        await (await request(`http://${health}/`)).body.dump()
        waits.push(performance.now() - asked)
      }
      await expect(answer).resolves.toMatchObject({ code: 200 })
      await expect(sent).resolves.toBe(200)
      expect(waits.length).toBeGreaterThan(5)
      expect(Math.max(...waits)).toBeLessThan(1000)
    }
    command.kill('SIGTERM')
    await expect(command.ended).resolves.toBe(0)
    for (const { left, right } of balances(command.stderr())) expect(left).toBe(right)
    const events = command.stdout().match(/(ended|passed on) by [12]/g)
    expect(events).toEqual(['ended by 1', 'passed on by 1', 'ended by 2', 'passed on by 2'])
  })

  it('passes the ports of TLS and gRPC on with other certificates and limits, under load', async () => {
    const destination = await startDestination()
    const yaml = (https: string, grpc: string): string => `
receivers: { otlp: { protocols: { http: { ${https} }, grpc: { ${grpc} } } } }
exporters: { otlp_http: { endpoint: "${destination.url}" } }
${service('metrics: { receivers: [otlp], exporters: [otlp_http] }')}`
    const server = `cert_file: ${tlsPath('server.pem')}, key_file: ${tlsPath('server.key')}`
    const { command, reload, write, address } = await start(
      yaml(`endpoint: "127.0.0.1:0", tls: { ${server} }`, 'endpoint: "127.0.0.1:0", max_recv_msg_size_mib: 1'),
    )
    const [https, grpc] = [await address('otlp_http'), await address('otlp_grpc')]
    const ca = tlsFile('ca.pem')
    const nobody = new Client(`https://${https}`, { connect: { ca, servername: 'localhost' } })
    const known = new Client(`https://${https}`, {
      connect: { ca, servername: 'localhost', cert: tlsFile('client.pem'), key: tlsFile('client.key') },
    })
    cleanups.push(() => Promise.all([nobody.destroy(), known.destroy()]))
    const post = async (client: Client, value: number): Promise<number | undefined> => {
      const headers = { 'content-type': 'application/x-protobuf' }
      const sent = client.request({ path: '/v1/metrics', method: 'POST', headers, body: gaugeRequest(value) })
      const { statusCode, body } = (await sent.catch(() => undefined)) ?? {}
      await body?.dump()
      return statusCode
    }
    const large = gaugeRequest(...Array.from({ length: 100_000 }, () => 0))
    expect(large.length).toBeGreaterThan(2 ** 20)
    const plain = credentials.createInsecure()
    expect(await post(nobody, 1)).toBe(200)
    expect(await sendOverGrpc(grpc, plain, gaugeRequest(2))).toBe(grpcStatus.OK)
    expect(await sendOverGrpc(grpc, plain, large)).toBe(grpcStatus.RESOURCE_EXHAUSTED)

    let [value, isLoading] = [100, true]
    const taken: number[] = []
    const load = (async () => {
      for (; isLoading; value += 1) if ((await post(known, value)) === 200) taken.push(value)
    })()
    await write(
      'pipeline.yaml',
      yaml(
        `endpoint: "${https}", tls: { ${server}, client_ca_file: ${tlsPath('ca.pem')} }`,
        `endpoint: "${grpc}", tls: { ${server} }`,
      ),
    )
    expect(await reload()).toMatchObject({ code: 200 })
    const before = taken.length
    await until(() => taken.length > before + 20)
    isLoading = false
    await load

    await nobody.close()
    const stranger = new Client(`https://${https}`, { connect: { ca, servername: 'localhost' } })
    cleanups.push(() => stranger.destroy())
    expect(await post(stranger, 3)).toBe(undefined)
    const secure = credentials.createSsl(ca)
    expect(await sendOverGrpc(grpc.replace('127.0.0.1', 'localhost'), secure, large)).toBe(grpcStatus.OK)
    expect(await sendOverGrpc(grpc, plain, gaugeRequest(4))).toBe(grpcStatus.UNAVAILABLE)

    command.kill('SIGTERM')
    await expect(command.ended).resolves.toBe(0)
    const arrived = valuesAt(destination).filter((arrived) => arrived > 0)
    expect(arrived.sort((a, b) => a - b)).toEqual([1, 2, ...taken])
  })

  it('hands a queue on to its successor, and reports what one that is no more left behind', async () => {
    const [dead, alive] = [await startDestination(), await startDestination()]
    dead.respondBy(() => ({ status: 503 }))
    const never = `export default { kind: 'processor', type: 'never', summary: 'Never answers.', config: {},
      create: () => () => { console.log('inside'); return new Promise(() => {}) } }`
    const yaml = (exporters: Readonly<Record<string, string>>, processors = ''): string => `
modules: [./never.mjs]
receivers: { otlp: { protocols: { http: { endpoint: "127.0.0.1:0" } } } }
processors: { never: }
exporters:
${Object.entries(exporters)
  .map(([id, settings]) => `  ${id}: { ${retries}, ${settings} }`)
  .join('\n')}
${service(`metrics: { receivers: [otlp], processors: [${processors}], exporters: [${Object.keys(exporters).join(', ')}] }`, 'shutdown_timeout: 200ms')}`
    const [toDead, toAlive] = [`endpoint: "${dead.url}"`, `endpoint: "${alive.url}"`]
    const onDisk = 'sending_queue: { directory: queue }'
    const { command, reload, write, address } = await start(yaml({ otlp_http: toDead }), { 'never.mjs': never })
    const receiver = await address('otlp_http')
    const change = async (exporters: Readonly<Record<string, string>>, processors = ''): Promise<string> => {
      await write('pipeline.yaml', yaml(exporters, processors))
      const { code, text } = await reload()
      expect({ code, text }).toMatchObject({ code: 200 })
      return text
    }

    for (const value of [1, 2, 3]) await expect(send(receiver, gaugeRequest(value))).resolves.toBe(200)
    await dead.received(1)
    await change({ otlp_http: toAlive })
    await until(() => valuesAt(alive).length === 3)

    await change({ otlp_http: toDead })
    for (const value of [4, 5]) await expect(send(receiver, gaugeRequest(value))).resolves.toBe(200)
    // From memory to the disk, and from there to another destination.
    await change({ otlp_http: `${toDead}, ${onDisk}` })
    await change({ otlp_http: `${toAlive}, ${onDisk}` })
    await until(() => valuesAt(alive).length === 5)

    await change({ otlp_http: toAlive, 'otlp_http/memory': toDead, 'otlp_http/disk': `${toDead}, ${onDisk}` })
    await expect(send(receiver, gaugeRequest(6))).resolves.toBe(200)
    await expect(change({ otlp_http: toAlive })).resolves.toContain(
      [
        'removed: exporters.otlp_http/memory, exporters.otlp_http/disk',
        'exporters.otlp_http/disk: data points that stay in the queue on disk: 1',
        'exporters.otlp_http/memory: data points that could not be sent in time and are dropped: 1',
      ].join('\n'),
    )
    await until(() => valuesAt(alive).length === 6)
    await change({ otlp_http: toAlive, 'otlp_http/disk': `${toAlive}, ${onDisk}` })
    await until(() => valuesAt(alive).length === 7)

    await change({ otlp_http: toAlive }, 'never')
    const unanswered = send(receiver, gaugeRequest(8)).catch(() => 'the process has ended')
    await command.waitFor('inside')
    await expect(change({ otlp_http: toAlive })).resolves.toContain(
      'processors.never: did not release everything in time; the rest is released later, or stays until the stop\n',
    )

    command.kill('SIGTERM')
    await expect(command.ended).resolves.toBe(0)
    await expect(unanswered).resolves.toBe('the process has ended')
    expect(valuesAt(dead)).toEqual([])
    expect(valuesAt(alive).sort()).toEqual([1, 2, 3, 4, 5, 6, 6])
    for (const { left, right } of balances(command.stderr())) expect(left).toBe(right)
    expect(command.stderr()).toContain('exporter otlp_http/disk: handed in 1 + restored 1 = sent 1 + kept 1')
  })

  it('forgets nothing that differences are taken from, whatever changes around it', async () => {
    const intake = await startIntake()
    const yaml = (more: string): string => `
receivers: { otlp: { protocols: { http: { endpoint: "127.0.0.1:0" } } } }
exporters: { datadog_native: { endpoint: "${intake.url}", api_key: 0123456789abcdef0123456789abcdef, ${more} } }
${service('metrics: { receivers: [otlp], exporters: [datadog_native] }')}`
    const { command, reload, write, address } = await start(yaml(''))
    const onDisk = 'sending_queue: { directory: queue }'
    const steps = [
      ['', 10],
      ['sending_queue: { num_consumers: 3 }', 17],
      ['compression: none', 20],
      [onDisk, 25],
      ['', 31],
      // What the folder remembers is older than what the process does.
      [onDisk, 40],
    ] as const
    for (const [round, [more, value]] of steps.entries()) {
      await write('pipeline.yaml', yaml(more))
      await expect(reload()).resolves.toMatchObject({ code: 200 })
      await expect(send(await address('otlp_http'), sumRequest(value, round))).resolves.toBe(200)
      await until(() => intake.series().length === round)
    }
    expect(intake.series().flatMap(({ points }) => points.map(([, value]) => value))).toEqual([7, 3, 5, 6, 9])
    command.kill('SIGTERM')
    await expect(command.ended).resolves.toBe(0)
  })

  it('waits for the start, for another reload and for what is inside processors, and is refused by a stop', async () => {
    const destination = await startDestination()
    const gate = `import { existsSync } from 'node:fs'
      import { setTimeout as wait } from 'node:timers/promises'
      console.log('loading')
      await wait(300)
      export default { kind: 'processor', type: 'gate', summary: 'Waits for a file.', config: {},
        create: () => async (batch) => {
          console.log('inside')
          while (!existsSync('open')) await wait(5)
          return batch
        } }`
    const yaml = (processors: string): string => `
modules: [./gate.mjs]
receivers: { otlp: { protocols: { http: { endpoint: "127.0.0.1:0" } } } }
processors: { gate: }
exporters: { otlp_http: { endpoint: "${destination.url}" } }
${service(`metrics: { receivers: [otlp], processors: [${processors}], exporters: [otlp_http] }`, 'health: { address: "127.0.0.1:0" }')}`
    const { command, reload, write, status, address } = await launch(yaml('gate'), { 'gate.mjs': gate })
    const count = (): number => eventsOf(command.stderr()).filter(({ event }) => event === 'reloaded').length
    await command.waitFor('loading')
    command.kill('SIGHUP')
    await command.logged('reloaded')
    const receiver = await address('otlp_http')

    const waiting = send(receiver, gaugeRequest(1))
    await command.waitFor('inside')
    await write('pipeline.yaml', yaml(''))
    const first = reload()
    // Whoever comes after the swap passes by what is still inside.
    await until(async () => (await status()).includes('processors.gate StatusStopping'))
    await expect(send(receiver, gaugeRequest(2))).resolves.toBe(200)
    await until(() => valuesAt(destination).includes(2))
    const others = [await asked(await address('admin')), await asked(await address('admin'))]
    await write('open', '')
    await expect(first).resolves.toMatchObject({ code: 200 })
    await expect(waiting).resolves.toBe(200)
    await Promise.all(others.map(({ answered }) => answered))
    expect(count()).toBe(3)

    destination.respondBy(() => ({ delay: 500 }))
    await expect(send(receiver, gaugeRequest(3))).resolves.toBe(200)
    command.kill('SIGTERM')
    await command.logged('stopping')
    await expect(reload()).resolves.toEqual({ code: 503, text: 'The pipeline is stopping.\n' })
    await expect(command.ended).resolves.toBe(0)
    expect(new Set(valuesAt(destination))).toEqual(new Set([2, 1, 3]))
    for (const { left, right } of balances(command.stderr())) expect(left).toBe(right)
  })
})
