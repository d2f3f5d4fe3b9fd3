import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Client, credentials } from '@grpc/grpc-js'
import { request } from 'undici'
import { services } from '../../src/otlp/services.ts'
import type { Signal } from '../../src/otlp/signal.ts'
import { SIGNALS } from '../../src/otlp/signals.ts'
import { itemsOf } from '../../src/pipeline/telemetry/telemetry.ts'
import { addressOf, eventsOf, latestOf } from '../kit/events.ts'
import type { Intake } from '../kit/intake.ts'
import { itemOf, numbersIn, requestOf } from './items.ts'

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

/**
 * The real command with a pipeline of each signal from OTLP to an intake, and clients that send to it, over HTTP and gRPC. Each item has a
 * number of its own, which also decides its signal.
 */
export class Stand {
  readonly acknowledged = new Set<number>()
  /** How often each number arrived in a request that the intake took. */
  readonly delivered = new Map<number, number>()
  /** Numbers in requests of which the intake said that they must not be sent again. */
  readonly refused = new Set<number>()
  /** Items by signal and reason, from the sheets of all processes that printed one. */
  readonly #dropped = new Map<Signal, Map<string, number>>()
  /** Whether every balance held, and every item came to the place of its signal. */
  balanced = true
  /** Run when it ends. */
  readonly cleanups: (() => Promise<unknown>)[] = []
  #child: ChildProcess | undefined
  #stderr = ''
  #address = ''
  #grpcAddress = ''
  #grpc: Client | undefined
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
    this.#grpcAddress = await this.address('otlp_grpc')
    this.#grpc?.close()
    this.#grpc = new Client(this.#grpcAddress, credentials.createInsecure(), { 'grpc.enable_retries': 0 })
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
    grpc = '127.0.0.1:0',
    processors = '',
    signals = SIGNALS,
    service = '',
  }: Settings): Promise<void> {
    const pipelines = signals.map((signal) => {
      const own = processors.split(', ').filter((name) => signal === 'metrics' || name !== 'metric_prefix')
      return `    ${signal}: { receivers: [otlp], processors: [${own.join(', ')}], exporters: [${exporter}] }`
    })
    await writeFile(
      join(this.folder, 'pipeline.yaml'),
      `
receivers: { otlp: { protocols: { http: { endpoint: "${listen}"${otlp} }, grpc: { endpoint: "${grpc}" } } } }
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
  pipelines:
${pipelines.join('\n')}
`,
    )
  }

  /** Has the process reload other settings, at the address where it listens. Resolves to whether it took them. */
  async reload(settings: Settings): Promise<boolean> {
    await this.#configure({ listen: this.#address, grpc: this.#grpcAddress, ...settings })
    const outcomes = () =>
      eventsOf(this.#stderr).filter(({ event }) => event === 'reloaded' || event === 'reload_failed')
    const before = outcomes().length
    this.#child?.kill('SIGHUP')
    await until('the reload', () => outcomes().length > before)
    return outcomes()[before].event === 'reloaded'
  }

  /** Sends one item after the other from `senders` clients, until `rest`. */
  load(senders = 8): void {
    this.#sending = true
    this.#senders = Promise.all(Array.from({ length: senders }, (_, sender) => this.#send(sender)))
  }

  /** The signal of the item with that number. */
  signalOf(number: number): Signal {
    return SIGNALS[number % SIGNALS.length]
  }

  /** The item that a client sends; it is acknowledged under `number`, which no other has. */
  protected item({ number }: { readonly number: number; readonly sender: number }): object {
    return itemOf(this.signalOf(number), number)
  }

  async #send(sender: number): Promise<void> {
    while (this.#sending) {
      const number = this.#next++
      const message = requestOf(this.signalOf(number), [this.item({ number, sender })])
      if (!(await this.send(number, message))) await wait(5)
    }
  }

  /** Sends the request that carries a number; resolves with whether it was acknowledged. Of each signal, every other one goes over gRPC. */
  async send(number: number, message: Uint8Array): Promise<boolean> {
    const signal = this.signalOf(number)
    const overGrpc = Math.floor(number / SIGNALS.length) % 2 === 1
    const taken = await (overGrpc ? this.#call(signal, message) : this.#post(signal, message))
    if (taken) this.acknowledged.add(number)
    return taken
  }

  // Where the process dies under a client, that does not know whether its item was taken.

  async #post(signal: Signal, message: Uint8Array): Promise<boolean> {
    try {
      const { statusCode, body } = await request(`http://${this.#address}${services[signal].path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/x-protobuf' },
        body: message,
      })
      await body.dump()
      return statusCode === 200
    } catch {
      return false
    }
  }

  #call(signal: Signal, message: Uint8Array): Promise<boolean> {
    return new Promise((resolve) => {
      const asItIs = (bytes: Buffer): Buffer => bytes
      const options = { deadline: Date.now() + PATIENCE }
      this.#grpc!.makeUnaryRequest(services[signal].method, asItIs, asItIs, Buffer.from(message), options, (error) =>
        resolve(error === null),
      )
    })
  }

  async rest(): Promise<void> {
    this.#sending = false
    await this.#senders
  }

  /** Resolves when `count` more items are acknowledged. */
  async accepted(count: number): Promise<void> {
    const enough = this.acknowledged.size + count
    await until(`${count} items to be acknowledged`, () => this.acknowledged.size >= enough)
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

  /** Stops the process in good order and reads its balance, of every pipeline and of every signal of the exporter. */
  async stop(): Promise<void> {
    const child = this.#child as ChildProcess
    const ended = once(child, 'close')
    child.kill('SIGTERM')
    await ended
    const lines = [...this.#stderr.matchAll(/([A-Z][a-z ]+) of (pipeline|exporter) [^ ]+: ([^"=]*) = ([^"\n]*)/g)]
    const sum = (side: string): number =>
      Array.from(side.matchAll(/ (\d+)(?= \+|$)/g), ([, count]) => Number(count)).reduce((a, b) => a + b, 0)
    const isWhole = this.signals.every((signal) =>
      ['pipeline', 'exporter'].every((kind) => lines.some((line) => line[1] === itemsOf(signal) && line[2] === kind)),
    )
    // A process that still waits for a name to be resolved when all is done kills itself.
    const isInOrder = child.exitCode === 0 || child.signalCode === 'SIGKILL'
    if (!isInOrder || !isWhole || lines.some(([, , , left, right]) => sum(left) !== sum(right))) {
      this.balanced = false
      console.error(
        `ended with ${child.exitCode ?? child.signalCode}; its log ends with:\n${this.#stderr.slice(-2000)}`,
      )
    }
    for (const [, items, kind, , right] of lines) {
      const signal = SIGNALS.find((known) => itemsOf(known) === items)!
      const dropped = this.#dropped.get(signal) ?? new Map<string, number>()
      this.#dropped.set(signal, dropped)
      for (const [, reason, count] of kind === 'exporter' ? right.matchAll(/dropped\((\w+)\) (\d+)/g) : [])
        dropped.set(reason, (dropped.get(reason) ?? 0) + Number(count))
    }
  }

  /** The signals that it has pipelines of in the end. */
  protected get signals(): readonly Signal[] {
    return SIGNALS
  }

  /** Items that were dropped, by reason; of one signal, or of all. */
  dropped(of?: Signal): ReadonlyMap<string, number> {
    const all = new Map<string, number>()
    for (const [signal, reasons] of this.#dropped) {
      if (of !== undefined && of !== signal) continue
      for (const [reason, items] of reasons) all.set(reason, (all.get(reason) ?? 0) + items)
    }
    return all
  }

  count(): void {
    for (; this.#seen < this.intake.requests.length; this.#seen += 1) {
      const { status, path, body } = this.intake.requests[this.#seen]
      if (status !== 200 && !FINAL.includes(status)) continue
      for (const number of numbersIn(body)) {
        if (status === 200) this.delivered.set(number, (this.delivered.get(number) ?? 0) + 1)
        else this.refused.add(number)
        const signal = this.signalOf(number)
        if (path === services[signal].path) continue
        this.balanced = false
        console.error(`the item ${number} of ${signal} came to ${path}`)
      }
    }
  }

  /** How many acknowledged numbers have not arrived; of one signal, or of all. */
  missing(of?: Signal): number {
    this.count()
    const isAsked = (number: number): boolean => of === undefined || this.signalOf(number) === of
    return [...this.acknowledged].filter((number) => isAsked(number) && !this.delivered.has(number)).length
  }

  tally(): Tally {
    return {
      accepted: this.acknowledged.size,
      delivered: this.delivered.size,
      twice: [...this.delivered.values()].reduce((sum, times) => sum + times - 1, 0),
      lost: SIGNALS.reduce((sum, signal) => sum + this.#lost(signal), 0),
    }
  }

  /**
   * What is wrong about the numbers of a signal that did not arrive: those that the intake refused must be the ones counted as refused,
   * one by one, and of the others, which nobody saw, no more may be missing than are counted under other reasons. What was counted
   * may have been acknowledged or not: a client whose answer was cut off does not know.
   */
  #lost(signal: Signal): number {
    this.count()
    const dropped = this.dropped(signal)
    const counted = (dropped.get('refused') ?? 0) + (dropped.get('too_large') ?? 0)
    const others = sumOf(dropped) - counted
    const isGone = (number: number): boolean => this.signalOf(number) === signal && !this.delivered.has(number)
    const refused = [...this.refused].filter(isGone)
    const unseen = [...this.acknowledged].filter((number) => isGone(number) && !this.refused.has(number))
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
    this.#grpc?.close()
    await this.intake.close()
    for (const cleanup of this.cleanups.splice(0)) await cleanup()
    await rm(this.folder, { recursive: true, force: true })
  }
}

/** All items of all reasons. */
export function sumOf(dropped: ReadonlyMap<string, number>): number {
  return [...dropped.values()].reduce((sum, items) => sum + items, 0)
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
  /** Where the receiver listens for HTTP. */
  readonly listen?: string
  /** Where it listens for gRPC. */
  readonly grpc?: string
  /** Of the pipeline of metrics; those of the others have them without `metric_prefix`. */
  readonly processors?: string
  /** Those that have a pipeline. */
  readonly signals?: readonly Signal[]
  /** More settings of the service. */
  readonly service?: string
}

export interface StartOptions extends Settings {
  readonly env?: Readonly<Record<string, string>>
}
