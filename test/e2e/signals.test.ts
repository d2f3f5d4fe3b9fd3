import { cp, readdir, readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from '@jest/globals'
import { request } from 'undici'
import { cleanups } from '../kit/cleanups.ts'
import { runCommand, startCommand, temporaryFolder } from '../kit/command.ts'
import { readPrometheus } from '../kit/prometheus.ts'
import { until } from '../kit/until.ts'

const module = fileURLToPath(new URL('any_signal.js', import.meta.url))

/** The queues of an exporter `post` that version 0.1.0 wrote: batches of two data points and of one. */
const recorded = fileURLToPath(new URL('../cases/queue_0_1_0', import.meta.url))

/** What the exporter `post` was given and could deliver. */
interface Posted {
  readonly signal: string
  readonly items: number
  readonly stamped?: string
}

/** A server for the exporter `post`, which takes what comes or refuses it. */
async function startServer() {
  const taken: Posted[] = []
  let status = 200
  const server = createServer((incoming, response) => {
    void text(incoming).then((body) => {
      if (status === 200) taken.push(JSON.parse(body) as Posted)
      response.writeHead(status).end()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  cleanups.push(() => void server.close().closeAllConnections())
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, taken, answerWith: (code: number) => void (status = code) }
}

/** A folder with a configuration of the components in `any_signal.js` and these `pipelines`. */
async function configured(url: string, pipelines: string, queue = '{}') {
  const yaml = (pipelines: string) => `
modules: ["${module}"]
receivers: { door: }
processors: { stamp: , loud: }
exporters:
  post: { endpoint: "${url}", sending_queue: ${queue}, retry_on_failure: { initial_interval: 50ms, max_interval: 50ms } }
service:
  telemetry: { logs: { encoding: json } }
  shutdown_timeout: 2s
  pipelines: ${pipelines}
`
  const folder = await temporaryFolder({ 'pipeline.yaml': yaml(pipelines) })
  cleanups.push(folder.remove)
  const file = folder.path('pipeline.yaml')
  return { folder, file, change: (pipelines: string) => writeFile(file, yaml(pipelines)) }
}

/** Runs a configuration. `send` hands items to the receiver `door` and resolves with its answer. */
async function start(file: string) {
  const command = startCommand(['--config', file])
  cleanups.push(() => command.kill('SIGKILL'))
  await command.waitFor('The door is open.')
  const [, address] = /"address":"([^"]+)","msg":"The door|The door is open[^\n]*"address":"([^"]+)"/
    .exec(command.stderr())!
    .filter((part) => part !== undefined)
  const ask = async (path: string): Promise<string> => {
    const { body } = await request(`http://${address}/${path}`, { method: 'POST' })
    return body.text()
  }
  return {
    command,
    send: (signal: string, items: number, ago = 0) => ask(`${signal}?items=${items}&ago=${ago}`),
    takes: (signal: string) => ask(`${signal}?takes`),
    /** The pipeline's own metrics. */
    counted: async () => {
      const { body } = await request(`http://${await command.address('metrics')}/metrics`)
      return readPrometheus(await body.text())
    },
    stop: async () => {
      command.kill('SIGTERM')
      expect(await command.ended).toBe(0)
    },
  }
}

/** What the log says of the balance at the stop. */
function balanceIn(log: string): string[] {
  return Array.from(log.matchAll(/"msg":"([A-Z][a-z ]+ of (?:pipeline|exporter) [^"]*)"/g), ([, line]) => line)
}

const THREE = `{
    metrics: { receivers: [door], processors: [stamp], exporters: [post] },
    logs/loud: { receivers: [door], processors: [stamp, loud], exporters: [post] },
    logs: { receivers: [door], exporters: [post] } }`

describe('pipelines of several signals', () => {
  it('get the data of theirs from one receiver, and lead to one exporter, each with its own account', async () => {
    const { url, taken } = await startServer()
    const { file } = await configured(url, THREE)
    const { command, send, takes, counted, stop } = await start(file)
    expect(await send('metrics', 2)).toBe('taken')
    expect(await send('logs', 3)).toBe('taken')
    expect(await send('traces', 4)).toBe('No pipeline takes traces from this receiver.')
    expect([await takes('logs'), await takes('traces')]).toEqual(['true', 'false'])
    await until(() => taken.length === 3)
    const samples = await counted()
    for (const [metric, labels, value] of [
      ['receiver_accepted_metric_points', { receiver: 'door' }, 2],
      ['receiver_accepted_log_records', { receiver: 'door' }, 3],
      ['receiver_refused_spans', { receiver: 'door' }, 4],
      ['processor_outgoing_items', { processor: 'loud', pipeline: 'logs/loud', otel_signal: 'logs' }, 2],
      ['pipeline_filtered_log_records', { pipeline: 'logs/loud' }, 1],
      ['exporter_sent_metric_points', { exporter: 'post' }, 2],
      ['exporter_sent_log_records', { exporter: 'post' }, 5],
      ['exporter_requests', { exporter: 'post', data_type: 'logs' }, 2],
    ] as const) {
      expect([metric, samples.total(`otelcol_${metric}`, labels)]).toEqual([metric, value])
    }
    expect(samples.types.has('otelcol_exporter_sent_spans')).toBe(false)
    await stop()
    expect(taken.toSorted((left, right) => left.items - right.items)).toEqual([
      { signal: 'metrics', items: 2, stamped: 'metrics' },
      { signal: 'logs', items: 2, stamped: 'logs' },
      { signal: 'logs', items: 3 },
    ])
    expect(balanceIn(command.stderr())).toEqual([
      'Data points of pipeline metrics: accepted 2 = handed on 2',
      'Log records of pipeline logs/loud: accepted 3 = handed on 2 + filtered 1',
      'Log records of pipeline logs: accepted 3 = handed on 3',
      'Data points of exporter post: handed in 2 = sent 2',
      'Log records of exporter post: handed in 5 = sent 5',
    ])
  })

  it('have a queue each on disk, which is sent after a restart', async () => {
    const { url, taken, answerWith } = await startServer()
    const { folder, file } = await configured(url, THREE, '{ directory: queue }')
    answerWith(503)
    const first = await start(file)
    expect(await first.send('metrics', 2)).toBe('taken')
    expect(await first.send('logs', 3)).toBe('taken')
    await first.stop()
    expect(balanceIn(first.command.stderr()).slice(-2)).toEqual([
      'Data points of exporter post: handed in 2 = sent 0 + kept 2',
      'Log records of exporter post: handed in 5 = sent 0 + kept 5',
    ])
    expect((await readdir(folder.path('queue'))).sort()).toEqual(['post', 'post%3Alogs'])
    const { stdout } = await runCommand(['queue', 'list', folder.path('queue')])
    expect(stdout).toMatch(/^post: 1 batch, 2 data points, .*\npost:logs: 2 batches, 5 log records, .*\n$/)
    answerWith(200)
    const second = await start(file)
    await until(() => taken.length === 3)
    await second.stop()
    expect(balanceIn(second.command.stderr()).slice(-2)).toEqual([
      'Data points of exporter post: handed in 0 + restored 2 = sent 2',
      'Log records of exporter post: handed in 0 + restored 5 = sent 5',
    ])
  })

  it('are exported from their queues as OTLP/JSON', async () => {
    const { url, answerWith } = await startServer()
    const pipelines =
      '{ logs: { receivers: [door], exporters: [post] }, traces: { receivers: [door], exporters: [post] } }'
    const { folder, file } = await configured(url, pipelines, '{ directory: queue }')
    answerWith(503)
    const { send, stop } = await start(file)
    expect([await send('logs', 1), await send('traces', 2)]).toEqual(['taken', 'taken'])
    await stop()
    const { stdout } = await runCommand(['queue', 'export', folder.path('queue')])
    const lines = stdout.trim().split('\n')
    expect(lines.map((line) => Object.keys(JSON.parse(line) as object)[0])).toEqual(['resourceLogs', 'resourceSpans'])
    const inspected = await runCommand(['queue', 'inspect', folder.path('queue')])
    expect(inspected.stdout).toMatch(/^post:logs\n {2}\S+ {2}1 log record .*\npost:traces\n {2}\S+ {2}2 spans .*\n$/)
  })

  it('find what a version that had only metrics left on disk', async () => {
    const { url, taken } = await startServer()
    const { folder, file } = await configured(url, THREE, '{ directory: queue }')
    await cp(recorded, folder.path('queue'), { recursive: true })
    const { command, stop } = await start(file)
    await until(() => taken.length === 2)
    await stop()
    expect(taken.map(({ signal, items }) => [signal, items])).toEqual([
      ['metrics', 2],
      ['metrics', 1],
    ])
    expect(balanceIn(command.stderr())).toContain('Data points of exporter post: handed in 0 + restored 3 = sent 3')
  })

  it('come and go with a reload, and what the exporter still has of a signal is sent', async () => {
    const { url, taken, answerWith } = await startServer()
    const { file, change } = await configured(url, '{ metrics: { receivers: [door], exporters: [post] } }')
    const { command, send, takes, stop } = await start(file)
    expect(await takes('logs')).toBe('false')
    await change(THREE)
    command.kill('SIGHUP')
    await command.waitFor('The configuration was reloaded.')
    expect(await takes('logs')).toBe('true')
    answerWith(503)
    expect(await send('logs', 3)).toBe('taken')
    answerWith(200)
    await change('{ traces: { receivers: [door], exporters: [post] } }')
    command.kill('SIGHUP')
    await until(() => command.stderr().split('The configuration was reloaded.').length === 3)
    expect([await takes('logs'), await takes('traces')]).toEqual(['false', 'true'])
    expect(await send('traces', 4)).toBe('taken')
    await stop()
    expect(taken.map(({ signal, items }) => [signal, items]).toSorted()).toEqual([
      ['logs', 2],
      ['logs', 3],
      ['traces', 4],
    ])
    expect(balanceIn(command.stderr())).toContain('Spans of exporter post: handed in 4 = sent 4')
  })

  it('keep their account when they went, and a reload that would bring them back fails', async () => {
    const { url, taken } = await startServer()
    const { file, change } = await configured(url, THREE)
    const { command, send, stop } = await start(file)
    expect(await send('logs', 3)).toBe('taken')
    await until(() => taken.length === 2)
    await change('{ metrics: { receivers: [door], exporters: [post] } }')
    command.kill('SIGHUP')
    await command.waitFor('The configuration was reloaded.')
    await change(THREE.replace('logs: { receivers: [door]', 'logs: { receivers: [door, otlp]'))
    const text = await readFile(file, 'utf8')
    const busy = `{ door: , otlp: { protocols: { http: { endpoint: "${new URL(url).host}" } } } }`
    await writeFile(file, text.replace('{ door: }', busy))
    command.kill('SIGHUP')
    await command.waitFor('The configuration was not reloaded')
    await stop()
    expect(balanceIn(command.stderr())).toContain('Log records of exporter post: handed in 5 = sent 5')
  })

  it('say what a reload that takes them away leaves on disk', async () => {
    const { url, answerWith } = await startServer()
    const { file, change } = await configured(url, THREE, '{ directory: queue }')
    const { command, send, stop } = await start(file)
    answerWith(503)
    expect(await send('logs', 3)).toBe('taken')
    await change('{ metrics: { receivers: [door], exporters: [post] } }')
    command.kill('SIGHUP')
    await command.waitFor('The configuration was reloaded.')
    await command.waitFor('exporters.post:logs: log records that stay in the queue on disk: 5')
    await stop()
  })

  it('come and go in any number without a warning of the runtime', async () => {
    const { url } = await startServer()
    const { file } = await configured(url, THREE)
    const ids = ['post', 'post/2', 'post/3', 'post/4', 'post/5']
    const wide = (text: string): string =>
      text
        .replace(/^ {2}(post: )(.*)$/m, (_line, _key, settings) =>
          ids.map((id) => `  ${id}: ${String(settings)}`).join('\n'),
        )
        .replace('logs/loud: {', 'traces: { receivers: [door], exporters: [post] }, logs/loud: {')
        .replaceAll('exporters: [post]', `exporters: [${ids.join(', ')}]`)
    const narrow = await readFile(file, 'utf8')
    await writeFile(file, wide(narrow))
    const { command, stop } = await start(file)
    for (const [times, text] of [narrow, wide(narrow)].entries()) {
      await writeFile(file, text)
      command.kill('SIGHUP')
      await until(() => command.stderr().split('The configuration was reloaded.').length === times + 2)
    }
    await stop()
    expect(balanceIn(command.stderr())).toContain('Log records of exporter post/5: handed in 0 = sent 0')
    expect(command.stderr()).not.toContain('Warning')
  })

  it('leave out what is too old for their signal, as the exporter declares it', async () => {
    const { url, taken } = await startServer()
    const { file } = await configured(url, THREE)
    const { command, send, stop } = await start(file)
    await send('metrics', 2, 7200)
    await send('logs', 3, 7200)
    await stop()
    expect(taken).toEqual([{ signal: 'metrics', items: 2, stamped: 'metrics' }])
    expect(command.stderr()).toContain('Log records are older than max_age; they are dropped and counted.')
    expect(balanceIn(command.stderr()).at(-1)).toBe(
      'Log records of exporter post: handed in 5 = sent 0 + dropped(too_old) 5',
    )
  })

  it('take only components of their signal', async () => {
    const { file } = await configured(
      'http://unused',
      '{ metrics: { receivers: [door], processors: [loud], exporters: [post] } }',
    )
    const { code, stderr } = await runCommand(['validate', '--config', file])
    expect(code).toBe(78)
    expect(stderr).toMatch(
      /pipeline\.yaml:10:\d+ service\.pipelines\.metrics\.processors\[0\]: processor "loud" is for logs, not for metrics; for metrics there are .*stamp/,
    )
  })
})
