import { createHash } from 'node:crypto'
import { ConfigError, DeliveryError } from '../../src/errors.ts'
import { Attributes } from '../../src/otlp/common/attributes.ts'
import { rememberedBytes } from '../../src/otlp/common/remembered_bytes.ts'
import { MetricBatch } from '../../src/otlp/metrics/batch.ts'
import { NumberPoint } from '../../src/otlp/metrics/points.ts'
import type { Signal } from '../../src/otlp/signal.ts'
import { SIGNALS } from '../../src/otlp/signals.ts'
import type { PipelineConfig } from '../../src/pipeline/config/config.ts'
import { deliveryId } from '../../src/pipeline/delivery/id.ts'
import { startPipeline } from '../../src/pipeline/pipeline.ts'
import type { RunningPipeline } from '../../src/pipeline/pipeline.ts'
import type { ExporterBalance, ExporterSheet, PipelineBalance } from '../../src/pipeline/telemetry/telemetry.ts'
import { Random } from '../kit/random.ts'
import { simulatedProcessors, simulatedReceiver } from './components.ts'
import { planOf, signalsOf } from './configurations.ts'
import type { Plan, PlanOptions } from './configurations.ts'
import { DatadogDestination, moods, OtlpDestination } from './destinations.ts'
import type { Arrival } from './destinations.ts'
import { diskWeathers, SimulatedDisk } from './disk.ts'
import { batchOf, routes, START } from './items.ts'
import type { Route } from './items.ts'
import { Life } from './life.ts'
import { networkWeathers, SimulatedNetwork } from './network.ts'
import type { Destination } from './network.ts'

/** Virtual milliseconds. */
const MINUTE = 60_000

/** Milliseconds that a start waits for the disk. */
const PATIENCE = 5000

/** Lines of the trace that a failure shows. */
const SHOWN = 60

/** What each counter has counted before anybody looks. */
const FIRST = 1000

const COUNTERS = 3

const DISK = 'otlp_http/disk'
const MEMORY = 'otlp_http/memory'
const DELTAS = 'datadog_native/deltas'

/** Bytes that one batch may take on disk beyond `max_disk_size`, since an empty queue accepts it. */
const LARGEST_BATCH = 160_000

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
  readonly signal: Signal
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

/** Of which signal, and by which way: of these the promises are kept one by one. */
type Way = `${Route} ${Signal}`

/** What a signal of the exporter on disk has left for the next life. */
interface Kept {
  readonly items: number
  /** Whether batches were split, which are kept as a whole until all of it was sent. */
  readonly split: boolean
}

/**
 * The pipeline as it is - graph, guard, delivery, queue, retry - on a virtual clock, with a disk and a network that the seed rules, and
 * with clients that send metrics, logs and traces and know what they sent. After every moment in which something happened the balance of
 * each signal has to hold; in the end, acknowledged items have to have arrived, where they belong. Not one real timer, socket or file is
 * used, so that one seed is one course of events.
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
  /** Items that were sent again by their client, which did not know whether they were taken. */
  readonly #resent = new Set<number>()
  readonly #acknowledged = new Map<Way, Set<number>>()
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
  /** The last life in which something happened after which items come again. */
  #lastUnclean = 0
  /** Items that may be missing: those dropped and counted, and those that were in memory when the process died. */
  readonly #excused = new Map<Way, number>()
  /** What the exporter on disk has to restore of a signal when it gets that again, where this is known. */
  readonly #kept = new Map<Signal, Kept>()
  #powerLost = false
  /** Whether a life ended in which counts were sent that a failing disk knows nothing of. */
  #uncertain = false
  /** Whether a process went on without a disk that was too slow, and so without the counts that it had there. */
  #wasLate = false
  /** Whether a configuration of this life splits batches. */
  #splits = false
  /** Pipelines of the process, as long as no reload is at work on them. */
  #pipelines: PipelineConfig['pipelines'] | undefined
  /** Signals of the exporter on disk, as the pipeline is now. */
  #signals: ReadonlySet<Signal> = new Set()
  /** Those among them that it has had all this life. */
  #whole = new Set<Signal>()
  /** The most that configurations of this life allow its signals together. */
  #limits = { consumers: 0, diskSize: 0 }
  /** What each takes on disk. */
  #onDisk: ReadonlyMap<Signal, number> = new Map()
  /** The most that they took when one of them was just opened. */
  #found = 0

  constructor(readonly seed: number) {
    const random = (this.#random = new Random(seed))
    this.#calm = random.chance(0.4)
    this.#disk = new SimulatedDisk(random)
    const life = (): number => this.#life.number
    const repeated = (id: number, before: Arrival): void => this.#repeated(id, before)
    this.#destinations = {
      disk: new OtlpDestination(random, ['disk', 'fan'], life, repeated),
      memory: new OtlpDestination(random, ['memory', 'fan'], life, repeated),
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
      (error) => (this.#failure ??= error),
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
    if (dice < 50) for (let times = random.chance(0.1) ? 25 : 1 + random.below(5); times > 0; times--) this.#send()
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

  /** A client sends items that nobody has sent, or those of which it does not know whether they were taken. */
  #send(): void {
    const random = this.#random
    const again = random.chance(0.3) ? this.#again.shift() : undefined
    const fresh = (): Request => ({
      route: random.pick(routes),
      signal: random.pick(SIGNALS),
      ids: Array.from({ length: 1 + random.below(12) }, () => this.#nextId++),
    })
    this.#request(again ?? fresh())
  }

  #request(request: Request): void {
    const life = this.#life
    const { route, signal, ids } = request
    const way: Way = `${route} ${signal}`
    const note = (what: string): void => life.note(`client: ${way} ${ids.join(',')} ${what}`)
    note('sent')
    this.#waiting.add(request)
    const isPiped = this.#pipelines?.has(`${signal}/${route}`)
    life.inputs.get(`otlp/${route}`)!(batchOf(signal, route, ids)).then(
      () => {
        note('acknowledged')
        this.#waiting.delete(request)
        const acknowledged = this.#acknowledged.get(way) ?? new Set<number>()
        this.#acknowledged.set(way, acknowledged)
        for (const id of ids) acknowledged.add(id)
      },
      (error: unknown) => {
        const { message } = error as Error
        note(`refused: ${message}`)
        this.#waiting.delete(request)
        if (isPiped === true && message.startsWith('No pipeline')) this.#failure ??= error as Error
        // Items that were lost by a fault, and counted, are not sent again.
        const isLost = error instanceof DeliveryError && error.kind === 'partial'
        if (!isLost && this.#random.chance(0.8)) this.#again.push(request)
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
    const life = this.#life
    const broken = this.#random.chance(0.2)
    const plan = await this.#newPlan({ broken })
    this.#did(broken ? 'reload: broken' : 'reload')
    life.note(plan.text)
    const next = signalsOf(plan.config, DISK)
    const added = SIGNALS.filter((signal) => next.has(signal) && !this.#signals.has(signal))
    const changed = SIGNALS.filter((signal) => next.has(signal) !== this.#signals.has(signal))
    for (const signal of changed) {
      this.#kept.delete(signal)
      this.#whole.delete(signal)
    }
    if (added.length > 0 && !this.#isClean) this.#lastUnclean = life.number
    const before = this.#pipelines
    this.#pipelines = undefined
    const reload = this.#pipeline.reload(plan.config).then(
      () => {
        life.note('reloaded')
        if (life.over) return
        this.#pipelines = plan.config.pipelines
        this.#signals = next
        for (const signal of changed) this.#did(`reload: a signal ${next.has(signal) ? 'comes' : 'goes'}`)
      },
      (error: unknown) => {
        life.note(`not reloaded: ${(error as Error).message}`)
        if (!life.over) this.#pipelines ??= before
        if (error instanceof ConfigError || /already|is stopping/.test((error as Error).message)) return
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
    for (const signal of SIGNALS) {
      const held = (route: Route): number => pipelines[`${signal}/${route}`]?.held ?? 0
      this.#excuse('memory', signal, waitsIn(exporters[deliveryId(MEMORY, signal)]) + held('memory'))
      this.#excuse('fan', signal, held('fan'))
    }
    this.#endLife()
    this.#lastUnclean = this.#life.number
    this.#network.senderDied()
    if (how === 'power') {
      this.#powerLost = true
      this.#disk.losePower()
    }
    this.#leaveUnanswered()
    this.#kept.clear()
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
  async #restart(options?: PlanOptions): Promise<void> {
    this.#did('restart')
    await this.#stop()
    await this.#start(options)
  }

  #setClock(): void {
    const { clock } = this.#life
    clock.set(clock.now() + (this.#random.below(2 * 60) - 60) * MINUTE)
    this.#did('clock set')
  }

  async #start(options?: PlanOptions): Promise<void> {
    this.#limits = { consumers: 0, diskSize: 0 }
    const { text, config, splits } = await this.#newPlan(options)
    this.#life = this.#newLife(this.#life.number + (this.#life.over ? 1 : 0))
    const life = this.#life
    life.note(text)
    this.#disk.failed = false
    for (const destination of this.#all) destination.answered = { metrics: 0, logs: 0, traces: 0 }
    this.#signals = signalsOf(config, DISK)
    this.#pipelines = config.pipelines
    this.#onDisk = new Map()
    this.#found = 0
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
    this.#wasLate ||= life.clock.monotonic() >= PATIENCE
    const { exporters } = this.#pipeline.telemetry.balance()
    for (const signal of this.#signals) {
      const kept = this.#kept.get(signal)
      this.#kept.delete(signal)
      if (kept === undefined || this.#disk.failed || this.#disk.weather !== 'fine') continue
      const { restored } = exporters[deliveryId(DISK, signal)]
      const holds = kept.split ? restored >= kept.items : restored === kept.items
      expect(holds, `${restored} items of ${signal} were restored of ${kept.items} that were kept`)
    }
    this.#splits = splits
    this.#whole = new Set(this.#signals)
  }

  async #stop(): Promise<void> {
    const life = this.#life
    const stopped = this.#pipeline.stop()
    await this.#until('the stop to end', stopped, 2 * MINUTE)
    const { exporters } = await stopped
    if (!this.#isClean || this.#splits) this.#lastUnclean = life.number
    if (this.#isClean) {
      for (const signal of this.#whole)
        this.#kept.set(signal, { items: exporters[deliveryId(DISK, signal)].kept, split: this.#splits })
    } else this.#kept.clear()
    this.#endLife()
    this.#leaveUnanswered()
  }

  /** Whether what was sent of the queues on disk is noted there. */
  get #isClean(): boolean {
    return !this.#disk.failed && this.#disk.weather === 'fine' && !this.#destinations.disk.divided
  }

  /** Whether the disk failed in this life: what it did not take waits in memory meanwhile, and is written when it works again. */
  #hadProblem(exporter: string): boolean {
    const { problem, recovered } = this.#pipeline.telemetry.queues()[exporter] ?? {}
    return problem !== undefined || recovered !== undefined
  }

  #excuse(route: Route, signal: Signal, items: number): void {
    const way: Way = `${route} ${signal}`
    this.#excused.set(way, (this.#excused.get(way) ?? 0) + items)
  }

  /** Adds up what this life dropped and counted. */
  #endLife(): void {
    const { exporters, pipelines } = this.#pipeline.telemetry.balance()
    this.#uncertain ||= this.#pipeline.telemetry.queues()[DELTAS].problem !== undefined
    const dropped = (balance: ExporterBalance | PipelineBalance | undefined): number => total(balance?.dropped ?? {})
    for (const signal of SIGNALS) {
      const [disk, memory] = [deliveryId(DISK, signal), deliveryId(MEMORY, signal)]
      this.#excuse('disk', signal, exporters[disk]?.dropped.shutdown ?? 0)
      if (this.#hadProblem(disk)) this.#excuse('disk', signal, waitsIn(exporters[disk]))
      this.#excuse('memory', signal, dropped(exporters[memory]) + dropped(pipelines[`${signal}/memory`]))
      this.#excuse('fan', signal, dropped(exporters[disk]) + dropped(pipelines[`${signal}/fan`]))
    }
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
    for (const [id, sheet] of telemetry.pipelines) {
      const { accepted, created, dropped, ...rest } = sheet.balance()
      const holds = accepted + created === total(rest) + total(dropped)
      if (!holds || !isPositive(rest)) broken(`the balance does not hold: pipeline ${id}: ${sheet.equation()}`)
    }
    for (const sheet of telemetry.exporters) {
      const { handed_in, restored, created, dropped, ...rest } = sheet.balance()
      const holds = handed_in + restored + created === total(rest) + total(dropped)
      const id = deliveryId(sheet.exporter, sheet.signal)
      if (!holds || !isPositive(rest)) broken(`the balance does not hold: exporter ${id}: ${sheet.equation()}`)
      const destination = Object.entries(this.#destinations).find(
        ([name]) => sheet.exporter === `otlp_http/${name}`,
      )?.[1]
      const answered = destination?.answered[sheet.signal] ?? rest.sent
      expect(rest.sent === answered, `${rest.sent} items count as sent by ${id}, and ${answered} were answered for`)
    }
    this.#checkShared()
  }

  /** The signals of an exporter share its consumers and its room on disk. */
  #checkShared(): void {
    const { consumers, diskSize } = this.#limits
    for (const name of Object.keys(this.#destinations)) {
      const open = this.#network.open(`${name}.test`, this.#life)
      expect(open <= consumers, `${open} requests to ${name} at once, where num_consumers is ${consumers}`)
    }
    const bytesOf = ({ queueStatus }: ExporterSheet): number => queueStatus?.().bytes_on_disk ?? 0
    const onDisk = new Map(this.#pipeline.telemetry.sheetsOf(DISK).map((sheet) => [sheet.signal, bytesOf(sheet)]))
    const before = this.#onDisk
    this.#onDisk = onDisk
    const bytes = total([...onDisk.values()])
    // A queue that was just opened holds what an earlier one left.
    const isOpened = [...onDisk].some(([signal, bytes]) => bytes > LARGEST_BATCH && (before.get(signal) ?? 0) === 0)
    if (isOpened) this.#found = Math.max(this.#found, bytes)
    const most = Math.max(diskSize, this.#found) + SIGNALS.length * LARGEST_BATCH
    expect(bytes <= most || this.#disk.failed, `${bytes} bytes on disk, where max_disk_size is ${diskSize}`)
  }

  #repeated(id: number, before: Arrival): void {
    // What a failing disk did not flush was written again elsewhere, and both may be there after the power was lost.
    const isTwice = this.#powerLost && !this.#calm
    const mayRepeat = isTwice || !before.answered || before.life <= this.#lastUnclean || this.#resent.has(id)
    if (!mayRepeat) this.#failure ??= new Error(`item ${id} was sent twice without a reason`)
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
    // Signals that no pipeline has now may have left something on disk.
    if (this.#signals.size < SIGNALS.length) {
      await this.#restart({ all: true })
      await this.#drained()
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
    for (const signal of SIGNALS) {
      for (const [route, destination, excuses] of [
        ['disk', disk, ['disk']],
        ['memory', memory, ['memory']],
        ['fan', disk, ['disk', 'fan']],
        ['fan', memory, ['memory', 'fan']],
      ] as const) {
        const acknowledged = [...(this.#acknowledged.get(`${route} ${signal}`) ?? [])]
        const lost = acknowledged.filter((id) => !destination.taken.has(id) && !destination.refused.has(id))
        const excused = total(excuses.map((excuse) => this.#excused.get(`${excuse} ${signal}`) ?? 0))
        expect(
          lost.length <= excused,
          `of ${route}, ${lost.length} acknowledged items of ${signal} neither arrived nor were counted (${excused} were): ${lost.join(', ')}`,
        )
      }
    }
    for (const [index, { count }] of this.#counters.entries()) {
      const delivered = this.#datadog.sum(`counter:${index}`)
      const counted = count - FIRST
      const exact = this.#calm && !this.#powerLost && !this.#wasLate
      expect(
        this.#uncertain || delivered <= counted,
        `the counter ${index} counted ${counted}, and ${delivered} arrived`,
      )
      expect(!exact || delivered === counted, `the counter ${index} counted ${counted}, and only ${delivered} arrived`)
    }
  }

  async #newPlan(options?: PlanOptions): Promise<Plan> {
    const plan = await planOf(this.#random, this.#components, options)
    this.#splits ||= plan.splits
    this.#limits = {
      consumers: Math.max(this.#limits.consumers, plan.consumers),
      diskSize: Math.max(this.#limits.diskSize, plan.diskSize),
    }
    return plan
  }

  #did(what: string): void {
    this.#life.note(what)
    this.#done[what] = (this.#done[what] ?? 0) + 1
  }
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

function waitsIn(balance: ExporterBalance | undefined): number {
  return (balance?.queued ?? 0) + (balance?.in_flight ?? 0)
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
