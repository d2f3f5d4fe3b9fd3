import { createHash } from 'node:crypto'
import type { ExporterBalance, PipelineBalance } from '../../src/pipeline/telemetry/telemetry.ts'
import { DeliveryError } from '../../src/errors.ts'
import { Attributes } from '../../src/otlp/common/attributes.ts'
import { MetricBatch } from '../../src/otlp/metrics/batch.ts'
import { NumberPoint } from '../../src/otlp/metrics/points.ts'
import { rememberedBytes } from '../../src/otlp/common/remembered_bytes.ts'
import { ConfigError } from '../../src/errors.ts'
import { startPipeline } from '../../src/pipeline/pipeline.ts'
import type { RunningPipeline } from '../../src/pipeline/pipeline.ts'
import { Random } from '../kit/random.ts'
import { simulatedProcessors, simulatedReceiver } from './components.ts'
import { configOf } from './configurations.ts'
import { DatadogDestination, moods, OtlpDestination } from './destinations.ts'
import type { Arrival } from './destinations.ts'
import { diskWeathers, SimulatedDisk } from './disk.ts'
import { Life } from './life.ts'
import { networkWeathers, SimulatedNetwork } from './network.ts'
import type { Destination } from './network.ts'

/** The time at which every simulation begins: 2026-01-01T00:00:00Z. */
const START = 1_767_225_600_000

/** Virtual milliseconds. */
const MINUTE = 60_000

/** Lines of the trace that a failure shows. */
const SHOWN = 60

/** What each counter has counted before anybody looks. */
const FIRST = 1000

const COUNTERS = 3

/** Where clients send: the receivers of the configuration. */
const routes = ['disk', 'memory', 'fan'] as const
type Route = (typeof routes)[number]

/** What a simulation showed. */
export interface Outcome {
  readonly seed: number
  /** Of all that happened, in its order; the same for the same seed. */
  readonly hash: string
  /** How often what was done. */
  readonly done: Readonly<Record<string, number>>
}

/** A promise that was not kept. The same seed and number of steps show it again. */
export class BrokenPromise extends Error {
  override readonly name = 'BrokenPromise'
}

/** What a client sent. */
interface Request {
  readonly route: Route
  readonly ids: readonly number[]
}

interface Counter {
  count: number
  second: number
  /** Whether it was ever answered. */
  known: boolean
  /** Whether its last request was. */
  answered: boolean
  sending: boolean
}

/**
 * The pipeline as it is - graph, guard, delivery, queue, retry - on a virtual clock, with a disk and a network that the seed rules, and
 * with clients that know what they sent. After every moment in which something happened the balance has to hold; in the end, what
 * was acknowledged has to have arrived. Not one real timer, socket or file is used, so that one seed is one course of events.
 */
export class Simulation {
  readonly #random: Random
  readonly #trace = createHash('sha256')
  readonly #lines: string[] = []
  readonly #done: Record<string, number> = {}
  readonly #disk: SimulatedDisk
  readonly #network: SimulatedNetwork
  readonly #destinations: { readonly disk: OtlpDestination; readonly memory: OtlpDestination }
  readonly #datadog: DatadogDestination
  readonly #components: {
    readonly receiver: ReturnType<typeof simulatedReceiver>
    readonly processors: ReturnType<typeof simulatedProcessors>
  }
  /** Whether the disk only does what it is asked to, so that what counters counted has to arrive exactly. */
  readonly #calm: boolean
  #life: Life
  #pipeline!: RunningPipeline
  #now = START
  #nextId = 1
  /** Points that were sent again by their client, which did not know whether they were taken. */
  readonly #resent = new Set<number>()
  readonly #acknowledged: Record<Route, Set<number>> = { disk: new Set(), memory: new Set(), fan: new Set() }
  /** What clients will send again. */
  readonly #again: Request[] = []
  /** Requests without an answer in this life. */
  readonly #waiting = new Set<Request | Counter>()
  readonly #counters: Counter[] = Array.from({ length: COUNTERS }, () => ({
    count: FIRST,
    second: START / 1000,
    known: false,
    answered: true,
    sending: false,
  }))
  /** The last life that ended in a way after which points come again. */
  #lastUnclean = 0
  /** Points that may be missing, by exporter: those dropped and counted, and those that were in memory when the process died. */
  readonly #excused = { disk: 0, memory: 0, fan: 0 }
  /** What the life before kept, if the next has to restore just that. */
  #kept: number | undefined
  #powerLost = false
  /** Whether a life ended in which counts were sent that a failing disk knows nothing of. */
  #uncertain = false
  /** Whether a configuration of this life splits batches. */
  #splits = false

  constructor(readonly seed: number) {
    const random = (this.#random = new Random(seed))
    this.#calm = random.chance(0.4)
    this.#disk = new SimulatedDisk(random)
    const life = (): number => this.#life.number
    const repeated = (id: number, before: Arrival): void => this.#repeated(id, before)
    this.#destinations = {
      disk: new OtlpDestination(random, life, repeated),
      memory: new OtlpDestination(random, life, repeated),
    }
    this.#datadog = new DatadogDestination(random)
    const { disk, memory } = this.#destinations
    this.#network = new SimulatedNetwork(
      random,
      new Map<string, Destination>([
        ['disk.test', disk],
        ['memory.test', memory],
        ['datadog.test', this.#datadog],
      ]),
    )
    this.#components = { receiver: simulatedReceiver(() => this.#life), processors: simulatedProcessors(random) }
    this.#life = this.#newLife(1)
  }

  async run(steps: number): Promise<Outcome> {
    try {
      await this.#start()
      for (let step = 1; step <= steps; step++) {
        this.#life.note(`step ${step}`)
        await this.#step()
        await this.#advance(this.#random.chance(0.1) ? this.#random.below(2 * MINUTE) : this.#random.below(2000))
      }
      await this.#finish()
    } catch (error) {
      if (!(error instanceof Error)) throw error
      const lines = this.#lines.slice(-SHOWN).join('\n')
      throw new BrokenPromise(`seed ${this.seed}: ${error.message}\nThe trace ends so:\n${lines}`, { cause: error })
    }
    return { seed: this.seed, hash: this.#trace.digest('hex').slice(0, 16), done: this.#done }
  }

  // ---- what happens ----

  async #step(): Promise<void> {
    const random = this.#random
    const dice = random.below(100)
    if (dice < 50) for (let times = 1 + random.below(5); times > 0; times--) this.#send()
    else if (dice < 65) this.#count()
    else if (dice < 73) this.#change('network', () => (this.#network.weather = random.pick(networkWeathers)))
    else if (dice < 80)
      this.#change(
        'disk',
        () => (this.#disk.weather = this.#calm ? random.pick(['fine', 'slow'] as const) : random.pick(diskWeathers)),
      )
    else if (dice < 87) this.#changeMood()
    else if (dice < 91) await this.#reload()
    else if (dice < 94) await this.#crash('kill')
    else if (dice < 96) await (this.#calm ? this.#crash('kill') : this.#crash('power'))
    else if (dice < 98) await this.#restart()
    else this.#setClock()
  }

  #change(what: string, act: () => unknown): void {
    this.#did(`${what}: ${String(act())}`)
  }

  #changeMood(): void {
    const random = this.#random
    const destination = random.pick([...Object.values(this.#destinations), this.#datadog])
    // What Datadog refuses for good would be missing in the counts.
    destination.mood = random.pick(destination === this.#datadog ? moods.slice(0, 4) : moods)
    this.#did(`mood: ${destination.mood}`)
  }

  /** A client sends points that nobody has sent, or those of which it does not know whether they were taken. */
  #send(): void {
    const random = this.#random
    const again = random.chance(0.3) ? this.#again.shift() : undefined
    const route = again?.route ?? random.pick(routes)
    const ids = again?.ids ?? Array.from({ length: 1 + random.below(12) }, () => this.#nextId++)
    this.#request(route, ids)
  }

  #request(route: Route, ids: readonly number[]): void {
    const life = this.#life
    life.note(`client: ${route} ${ids.join(',')}`)
    const waiting = { route, ids }
    this.#waiting.add(waiting)
    const later = (): void => {
      this.#waiting.delete(waiting)
      if (this.#random.chance(0.8)) this.#again.push({ route, ids })
    }
    life.inputs.get(`otlp/${route}`)!(batchOf(ids)).then(
      () => {
        life.note(`client: ${route} ${ids.join(',')} acknowledged`)
        this.#waiting.delete(waiting)
        for (const id of ids) this.#acknowledged[route].add(id)
      },
      (error: unknown) => {
        life.note(`client: ${route} ${ids.join(',')} refused: ${(error as Error).message}`)
        // What was lost by a fault, and counted, is not sent again.
        if (error instanceof DeliveryError && error.kind === 'partial') this.#waiting.delete(waiting)
        else later()
      },
    )
  }

  /** A client sends what its counter has counted: once more the same, or more, if it was not answered. */
  #count(): void {
    const random = this.#random
    const index = random.below(COUNTERS)
    const counter = this.#counters[index]
    if (counter.sending) return
    if (counter.known && (counter.answered || random.chance(0.5))) {
      counter.count += 1 + random.below(9)
      counter.second += 1 + random.below(3)
    }
    this.#sendCounter(index)
  }

  #sendCounter(index: number): void {
    const life = this.#life
    const counter = this.#counters[index]
    life.note(`counter ${index}: ${counter.count} at ${counter.second}`)
    Object.assign(counter, { sending: true, answered: false })
    this.#waiting.add(counter)
    const settle = (answered: boolean): void => {
      life.note(`counter ${index}: ${answered ? 'acknowledged' : 'refused'}`)
      this.#waiting.delete(counter)
      counter.sending = false
      counter.answered = answered
      counter.known ||= answered
    }
    life.inputs.get('otlp/deltas')!(counterBatch(index, counter)).then(
      () => settle(true),
      () => settle(false),
    )
  }

  async #reload(): Promise<void> {
    const { text, config } = await this.#newConfig()
    this.#did('reload')
    this.#life.note(text)
    const reload = this.#pipeline.reload(config).then(
      () => this.#life.note('reloaded'),
      (error: unknown) => {
        this.#life.note(`not reloaded: ${(error as Error).message}`)
        if (error instanceof ConfigError || /already/.test((error as Error).message)) return
        throw error
      },
    )
    // It may be in the middle of it when the next thing happens.
    if (this.#random.chance(0.5)) await this.#until('the reload to end', reload, 10 * MINUTE)
    else reload.catch((error: unknown) => (this.#failure ??= error as Error))
  }

  #failure: Error | undefined

  /** The process dies at once; with the power, what was not flushed may go, too. */
  async #crash(how: 'kill' | 'power'): Promise<void> {
    this.#did(`crash: ${how}`)
    const { exporters, pipelines } = this.#pipeline.telemetry.balance()
    const held = (id: string): number => pipelines[id]?.held ?? 0
    const waits = ({ queued, in_flight }: ExporterBalance): number => queued + in_flight
    this.#excused.memory += waits(exporters['otlp_http/memory']) + held('metrics/memory')
    this.#excused.fan += held('metrics/fan')
    this.#endLife()
    this.#lastUnclean = this.#life.number
    this.#network.senderDied()
    if (how === 'power') {
      this.#powerLost = true
      this.#disk.losePower()
    }
    this.#leaveUnanswered()
    this.#kept = undefined
    await this.#start()
  }

  /** Clients that have no answer do not know what became of their requests. */
  #leaveUnanswered(): void {
    for (const waiting of this.#waiting) {
      if ('route' in waiting) {
        for (const id of waiting.ids) this.#resent.add(id)
        if (this.#random.chance(0.5)) this.#again.push(waiting)
      } else waiting.sending = false
    }
    this.#waiting.clear()
  }

  /** The process stops in good order, and another starts. */
  async #restart(): Promise<void> {
    this.#did('restart')
    await this.#stop()
    await this.#start()
  }

  #setClock(): void {
    const { clock } = this.#life
    clock.set(clock.now() + (this.#random.below(2 * 60) - 60) * MINUTE)
    this.#did('clock set')
  }

  async #start(): Promise<void> {
    const { text, config } = await this.#newConfig()
    this.#life = this.#newLife(this.#life.number + (this.#life.over ? 1 : 0))
    const life = this.#life
    life.note(text)
    this.#disk.failed = false
    for (const destination of this.#all) destination.answered = 0
    const write = (level: string) => (message: string, fields?: object) =>
      life.note(`${level}: ${message} ${JSON.stringify(fields ?? {})}`)
    this.#pipeline = startPipeline(config, {
      log: { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') },
      clock: life.clock,
      disk: this.#disk.of(life),
      network: this.#network.of(life),
      random: this.#random.next,
    })
    await this.#until('the pipeline to start', this.#pipeline.started, MINUTE)
    const { restored } = this.#pipeline.telemetry.exporter('otlp_http/disk').balance()
    if (this.#kept !== undefined && !this.#disk.failed && this.#disk.weather === 'fine') {
      // What was split is kept as a whole until all of it was sent.
      const holds = this.#splits ? restored >= this.#kept : restored === this.#kept
      expect(holds, `${restored} data points were restored of ${this.#kept} that were kept`)
    }
    this.#kept = undefined
    this.#splits = text.includes('max_size')
  }

  async #stop(): Promise<void> {
    const life = this.#life
    const stopped = this.#pipeline.stop()
    await this.#until('the stop to end', stopped, 2 * MINUTE)
    const { exporters } = await stopped
    const isClean = !this.#disk.failed && this.#disk.weather === 'fine' && !this.#destinations.disk.divided
    if (!isClean || this.#splits) this.#lastUnclean = life.number
    this.#kept = isClean ? exporters['otlp_http/disk'].kept : undefined
    this.#endLife()
    this.#leaveUnanswered()
  }

  /** Whether the disk failed in this life: what it did not take waits in memory meanwhile, and is written when it works again. */
  #hadProblem(exporter: string): boolean {
    const { problem, recovered } = this.#pipeline.telemetry.queues()[exporter]
    return problem !== undefined || recovered !== undefined
  }

  /** Adds up what this life dropped and counted. */
  #endLife(): void {
    const { exporters, pipelines } = this.#pipeline.telemetry.balance()
    this.#uncertain ||= this.#pipeline.telemetry.queues()['datadog_native/deltas'].problem !== undefined
    const dropped = (balance: ExporterBalance | PipelineBalance | undefined): number => total(balance?.dropped ?? {})
    this.#excused.disk += exporters['otlp_http/disk'].dropped.shutdown ?? 0
    const { queued, in_flight } = exporters['otlp_http/disk']
    if (this.#hadProblem('otlp_http/disk')) this.#excused.disk += queued + in_flight
    this.#excused.memory += dropped(exporters['otlp_http/memory']) + dropped(pipelines['metrics/memory'])
    this.#excused.fan += dropped(exporters['otlp_http/disk']) + dropped(pipelines['metrics/fan'])
    this.#now = this.#life.clock.now()
    this.#life.over = true
  }

  // ---- time ----

  #newLife(number: number): Life {
    // A process that was killed left nothing in memory.
    rememberedBytes.memories.clear()
    rememberedBytes.add(-rememberedBytes.used)
    return new Life(number, this.#now, (line) => {
      this.#trace.update(line)
      this.#lines.push(`${number}: ${line}`)
    })
  }

  /** Lets virtual time pass, and looks at everything after each moment in which something happens. */
  async #advance(milliseconds: number): Promise<void> {
    const { clock } = this.#life
    const end = clock.monotonic() + milliseconds
    await clock.advance(0)
    for (;;) {
      this.#check()
      const next = clock.untilNext
      if (next === undefined || clock.monotonic() + next > end) break
      await clock.advance(next)
    }
    await clock.advance(end - clock.monotonic())
    this.#check()
  }

  async #until(what: string, awaited: Promise<unknown>, patience: number): Promise<void> {
    const { clock } = this.#life
    const end = clock.monotonic() + patience
    let over = false
    awaited.then(
      () => (over = true),
      (error: unknown) => (this.#failure ??= error as Error),
    )
    await clock.advance(0)
    while (!over) {
      this.#check()
      const next = clock.untilNext
      if (next === undefined || clock.monotonic() + next > end) return broken(`waited in vain for ${what}`)
      await clock.advance(next)
    }
    this.#check()
  }

  // ---- what is promised ----

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure
    const { telemetry } = this.#pipeline
    const { exporters, pipelines } = telemetry.balance()
    for (const [id, { accepted, created, dropped, ...rest }] of Object.entries(pipelines)) {
      const holds = accepted + created === total(rest) + total(dropped)
      if (!holds || !isPositive(rest))
        broken(`the balance does not hold: pipeline ${id}: ${telemetry.pipeline(id).equation()}`)
    }
    for (const [id, { handed_in, restored, created, dropped, ...rest }] of Object.entries(exporters)) {
      const holds = handed_in + restored + created === total(rest) + total(dropped)
      if (!holds || !isPositive(rest))
        broken(`the balance does not hold: exporter ${id}: ${telemetry.exporter(id).equation()}`)
    }
    for (const [name, { answered }] of Object.entries(this.#destinations)) {
      const { sent } = telemetry.exporter(`otlp_http/${name}`).balance()
      expect(sent === answered, `${sent} data points count as sent to ${name}, which answered for ${answered}`)
    }
  }

  #repeated(id: number, before: Arrival): void {
    // What a failing disk did not flush was written again elsewhere, and both may be there after the power was lost.
    const isTwice = this.#powerLost && !this.#calm
    const mayRepeat = isTwice || !before.answered || before.life <= this.#lastUnclean || this.#resent.has(id)
    if (!mayRepeat) this.#failure ??= new Error(`the data point ${id} was sent twice without a reason`)
  }

  get #all() {
    return [...Object.values(this.#destinations), this.#datadog]
  }

  /** All is well again: what waits is sent, and what clients know is compared with what came. */
  async #finish(): Promise<void> {
    this.#disk.weather = 'fine'
    this.#network.weather = 'fine'
    for (const destination of this.#all) destination.mood = 'taking'
    await this.#drained()
    for (const [index, counter] of this.#counters.entries()) {
      for (let times = 0; !counter.known || !counter.answered; times++) {
        if (times === 20) broken(`the counter ${index} gets no answer`)
        this.#sendCounter(index)
        await this.#drained()
      }
    }
    await this.#stop()
    this.#compare()
  }

  async #drained(): Promise<void> {
    for (let minutes = 0; minutes < 60; minutes++) {
      const { exporters, pipelines } = this.#pipeline.telemetry.balance()
      const left = [
        ...Object.values(exporters).map(({ queued, in_flight }) => queued + in_flight),
        ...Object.values(pipelines).map(({ held }) => held),
      ]
      if (total(left) + this.#waiting.size === 0 && minutes > 0) return
      await this.#advance(MINUTE)
    }
    broken(`after an hour there is still something to send:\n${this.#pipeline.telemetry.equations().join('\n')}`)
  }

  #compare(): void {
    const { disk, memory } = this.#destinations
    const missing = (route: Route, { taken, refused }: OtlpDestination): number[] =>
      [...this.#acknowledged[route]].filter((id) => !taken.has(id) && !refused.has(id))
    for (const [route, destination, excused] of [
      ['disk', disk, this.#excused.disk],
      ['memory', memory, this.#excused.memory],
      ['fan', disk, this.#excused.disk + this.#excused.fan],
      ['fan', memory, this.#excused.memory + this.#excused.fan],
    ] as const) {
      const lost = missing(route, destination)
      expect(
        lost.length <= excused,
        `of ${route}, ${lost.length} acknowledged data points neither arrived nor were counted (${excused} were): ${lost.join(', ')}`,
      )
    }
    for (const [index, { count }] of this.#counters.entries()) {
      const delivered = this.#datadog.sum(`counter:${index}`)
      const counted = count - FIRST
      const exact = this.#calm && !this.#powerLost
      expect(
        this.#uncertain || delivered <= counted,
        `the counter ${index} counted ${counted}, and ${delivered} arrived`,
      )
      expect(!exact || delivered === counted, `the counter ${index} counted ${counted}, and only ${delivered} arrived`)
    }
  }

  async #newConfig() {
    const made = await configOf(this.#random, this.#components)
    this.#splits ||= made.text.includes('max_size')
    return made
  }

  #did(what: string): void {
    this.#life.note(what)
    this.#done[what] = (this.#done[what] ?? 0) + 1
  }
}

/** Every fourth is so large that a few of them fill a segment of the queue. */
function batchOf(ids: readonly number[]): MetricBatch {
  const points = ids.map((id) => {
    const attributes = Attributes.of({ id: String(id) })
    return new NumberPoint({ value: id, attributes, timeUnixNano: BigInt(START) * 1_000_000n })
  })
  const resource = { padding: '-'.repeat(ids[0] % 4 === 0 ? 50_000 : 0) }
  return MetricBatch.fromOtlp(
    MetricBatch.of({ resource, metrics: [{ name: 'simulated', type: 'gauge', points }] }).toOtlp(),
  )
}

function counterBatch(index: number, { count, second }: Counter): MetricBatch {
  const point = new NumberPoint({
    value: count,
    isInt: true,
    attributes: Attributes.of({ counter: String(index) }),
    startTimeUnixNano: BigInt(START / 1000 - 3600) * 1_000_000_000n,
    timeUnixNano: BigInt(second) * 1_000_000_000n,
  })
  const metric = { name: 'counted', type: 'sum', temporality: 'cumulative', monotonic: true, points: [point] } as const
  return MetricBatch.fromOtlp(MetricBatch.of({ metrics: [metric] }).toOtlp())
}

function total(numbers: readonly number[] | Readonly<Record<string, number>>): number {
  return Object.values(numbers).reduce((sum, number) => sum + number, 0)
}

function isPositive(terms: Readonly<Record<string, number>>): boolean {
  return Object.values(terms).every((term) => term >= 0)
}

function expect(holds: boolean, message: string): void {
  if (!holds) broken(message)
}

function broken(message: string): never {
  throw new Error(message)
}
