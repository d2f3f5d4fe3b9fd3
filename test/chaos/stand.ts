import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { request } from 'undici'
import { addressOf, eventsOf, latestOf } from '../kit/events.ts'
import type { Intake } from '../kit/intake.ts'
import { ExportMetricsServiceRequest } from '../kit/otlp_proto.ts'

const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))

/** What OTLP counts as final, of what the scenarios answer. */
const FINAL: readonly number[] = [408, 413, 500]

/** Milliseconds that a scenario may wait for anything. */
export const PATIENCE = 60_000

export async function until(what: string, condition: () => boolean): Promise<void> {
  for (const end = Date.now() + PATIENCE; !condition(); await wait(5))
    if (Date.now() > end) throw new Error(`waited ${PATIENCE} ms in vain for ${what}`)
}

/** What became of all that was sent. */
export interface Tally {
  readonly accepted: number
  readonly delivered: number
  readonly twice: number
  readonly lost: number
}

/** The real command with one pipeline from OTLP to an intake, and clients that send to it. */
export class Stand {
  readonly acknowledged = new Set<number>()
  /** How often each value arrived in a request that the intake took. */
  readonly delivered = new Map<number, number>()
  /** Values in requests of which the intake said that they must not be sent again. */
  readonly refused = new Set<number>()
  /** Points by reason, from the sheets of all processes that printed one. */
  readonly dropped = new Map<string, number>()
  balanced = true
  /** Run when it ends. */
  readonly cleanups: (() => Promise<unknown>)[] = []
  #child: ChildProcess | undefined
  #stderr = ''
  #address = ''
  #next = 0
  #seen = 0
  #sending = false
  #senders: Promise<unknown> = Promise.resolve()

  /** @param random numbers from 0 to 1 */
  constructor(
    readonly intake: Intake,
    readonly folder: string,
    readonly random: () => number,
  ) {}

  async start({ env = {}, ...settings }: StartOptions = {}): Promise<void> {
    await this.#configure(settings)
    this.#stderr = ''
    const child = spawn(process.execPath, [main, '--config', join(this.folder, 'pipeline.yaml')], {
      env: { PATH: process.env.PATH, ...env },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => (this.#stderr += text))
    this.#child = child
    this.#address = await this.address('otlp_http')
  }

  get pid(): number {
    return (this.#child as ChildProcess).pid as number
  }

  /** Where a server of the process listens. */
  async address(server: string): Promise<string> {
    const listening = () => latestOf(this.#stderr, 'listening', { server })
    await until(`${server} to listen`, () => {
      if (this.#child?.exitCode !== null) throw new Error(`the command ended at its start:\n${this.#stderr}`)
      return listening() !== undefined
    })
    return addressOf(listening()!)
  }

  async #configure({
    exporter = 'otlp_http',
    endpoint = this.intake.url,
    timeout = '300ms',
    queue = 'directory: queue',
    more = '',
    otlp = '',
    listen = '127.0.0.1:0',
    processors = '',
    service = '',
  }: Settings): Promise<void> {
    await writeFile(
      join(this.folder, 'pipeline.yaml'),
      `
receivers: { otlp: { protocols: { http: { endpoint: "${listen}"${otlp} } } } }
processors: { metric_prefix: { prefix: chaos }, resource_detection: }
exporters:
  ${exporter}:
    endpoint: "${endpoint}"
    timeout: ${timeout}
    sending_queue: { ${queue} }
    retry_on_failure: { initial_interval: 20ms, max_interval: 100ms }
    ${more}
service:
  ${service}
  telemetry: { logs: { encoding: json }, metrics: { level: none } }
  pipelines: { metrics: { receivers: [otlp], processors: [${processors}], exporters: [${exporter}] } }
`,
    )
  }

  /** Has the process reload other settings, at the address where it listens. Resolves to whether it took them. */
  async reload(settings: Settings): Promise<boolean> {
    await this.#configure({ listen: this.#address, ...settings })
    const outcomes = () =>
      eventsOf(this.#stderr).filter(({ event }) => event === 'reloaded' || event === 'reload_failed')
    const before = outcomes().length
    this.#child?.kill('SIGHUP')
    await until('the reload', () => outcomes().length > before)
    return outcomes()[before].event === 'reloaded'
  }

  /** Sends one point after the other from `senders` clients, until `rest`. */
  load(senders = 8): void {
    this.#sending = true
    this.#senders = Promise.all(Array.from({ length: senders }, (_, sender) => this.#send(sender)))
  }

  /** The metric that a client sends; it is acknowledged under `number`, which no other has. */
  protected metric({ number }: { readonly number: number; readonly sender: number }): object {
    const points = [{ asDouble: number, timeUnixNano: String(BigInt(Date.now()) * 1_000_000n) }]
    return { name: 'chaos', gauge: { dataPoints: points } }
  }

  async #send(sender: number): Promise<void> {
    while (this.#sending) {
      const value = this.#next++
      const message = { resourceMetrics: [{ scopeMetrics: [{ metrics: [this.metric({ number: value, sender })] }] }] }
      const body = ExportMetricsServiceRequest.encode(ExportMetricsServiceRequest.fromObject(message)).finish()
      if (!(await this.send(value, body))) await wait(5)
    }
  }

  /** Sends the request that carries `value`; resolves with whether it was acknowledged. */
  async send(value: number, message: Uint8Array): Promise<boolean> {
    try {
      const { statusCode, body } = await request(`http://${this.#address}/v1/metrics`, {
        method: 'POST',
        headers: { 'content-type': 'application/x-protobuf' },
        body: message,
      })
      await body.dump()
      if (statusCode === 200) this.acknowledged.add(value)
      return statusCode === 200
    } catch {
      // The process died under the client, which does not know then whether its point was taken.
      return false
    }
  }

  async rest(): Promise<void> {
    this.#sending = false
    await this.#senders
  }

  /** Resolves when `count` more points are acknowledged. */
  async accepted(count: number): Promise<void> {
    const enough = this.acknowledged.size + count
    await until(`${count} points to be acknowledged`, () => this.acknowledged.size >= enough)
  }

  /** Resolves when the command has logged the message. */
  says(message: string): Promise<void> {
    return until(`the command to log "${message}"`, () => this.#stderr.includes(message))
  }

  async kill(): Promise<void> {
    const child = this.#child as ChildProcess
    const ended = once(child, 'close')
    child.kill('SIGKILL')
    await ended
  }

  /** Stops the process in good order and reads its sheet. */
  async stop(): Promise<void> {
    const child = this.#child as ChildProcess
    const ended = once(child, 'close')
    child.kill('SIGTERM')
    await ended
    const [, left, right] = /exporter \w+: ([^"=]*) = ([^"\n]*)/.exec(this.#stderr) ?? []
    const sum = (side: string | undefined): number =>
      Array.from(side?.matchAll(/ (\d+)(?= \+|$)/g) ?? [], ([, count]) => Number(count)).reduce((a, b) => a + b, 0)
    if (child.exitCode !== 0 || left === undefined || sum(left) !== sum(right)) {
      this.balanced = false
      console.error(`ended with ${child.exitCode}; its log ends with:\n${this.#stderr.slice(-2000)}`)
    }
    for (const [, reason, count] of right?.matchAll(/dropped\((\w+)\) (\d+)/g) ?? [])
      this.dropped.set(reason, (this.dropped.get(reason) ?? 0) + Number(count))
  }

  count(): void {
    for (; this.#seen < this.intake.requests.length; this.#seen += 1) {
      const { status, body } = this.intake.requests[this.#seen]
      if (status !== 200 && !FINAL.includes(status)) continue
      for (const [, text] of JSON.stringify(body).matchAll(/"asDouble":(\d+)/g)) {
        if (status === 200) this.delivered.set(Number(text), (this.delivered.get(Number(text)) ?? 0) + 1)
        else this.refused.add(Number(text))
      }
    }
  }

  /** How many acknowledged values have not arrived. */
  missing(): number {
    this.count()
    return [...this.acknowledged].filter((value) => !this.delivered.has(value)).length
  }

  tally(): Tally {
    return {
      accepted: this.acknowledged.size,
      delivered: this.delivered.size,
      twice: [...this.delivered.values()].reduce((sum, times) => sum + times - 1, 0),
      lost: this.#lost(),
    }
  }

  /**
   * What is wrong about the values that did not arrive: those that the intake refused must be the ones counted as refused,
   * one by one, and of the others, which nobody saw, no more may be missing than are counted under other reasons. What was counted
   * may have been acknowledged or not: a client whose answer was cut off does not know.
   */
  #lost(): number {
    this.count()
    const of = (reason: string): number => this.dropped.get(reason) ?? 0
    const counted = of('refused') + of('too_large')
    const others = [...this.dropped.values()].reduce((sum, points) => sum + points, 0) - counted
    const refused = [...this.refused].filter((value) => !this.delivered.has(value))
    const unseen = [...this.acknowledged].filter((value) => !this.delivered.has(value) && !this.refused.has(value))
    return Math.abs(refused.length - counted) + Math.max(0, unseen.length - others)
  }

  /** Lets the process send what waits, for as long as that gets fewer, and stops it. */
  async drain(): Promise<void> {
    await this.rest()
    for (let [least, since] = [Infinity, Date.now()]; least > 0 && Date.now() - since < 3_000; await wait(50)) {
      const missing = this.missing()
      if (missing < least) [least, since] = [missing, Date.now()]
    }
    await this.stop()
  }

  async end(): Promise<void> {
    this.#sending = false
    if (this.#child?.exitCode === null) this.#child.kill('SIGKILL')
    await this.intake.close()
    for (const cleanup of this.cleanups.splice(0)) await cleanup()
    await rm(this.folder, { recursive: true, force: true })
  }
}

/** Parts of the configuration, as YAML. */
export interface Settings {
  /** Its type. */
  readonly exporter?: string
  readonly endpoint?: string
  readonly timeout?: string
  /** The settings of `sending_queue`. */
  readonly queue?: string
  /** More settings of the exporter. */
  readonly more?: string
  /** More settings of the receiver, after a comma. */
  readonly otlp?: string
  /** Where the receiver listens. */
  readonly listen?: string
  readonly processors?: string
  /** More settings of the service. */
  readonly service?: string
}

export interface StartOptions extends Settings {
  readonly env?: Readonly<Record<string, string>>
}
