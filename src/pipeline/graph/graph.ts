import { setMaxListeners } from 'node:events'
import { isDeepStrictEqual } from 'node:util'
import { deadline } from '../../time/clock.ts'
import type { Component } from '../../component/define.ts'
import { ConfigError } from '../../errors.ts'
import type { SourcePosition } from '../../errors.ts'
import { Chain } from './chain.ts'
import type { Stage } from './chain.ts'
import { compare } from './changes.ts'
import type { Changes } from './changes.ts'
import { inOrder } from '../config/input.ts'
import type { PipelineConfig } from '../config/config.ts'
import { deliveryOf } from '../config/settings.ts'
import type { Leftovers } from '../delivery/counting.ts'
import type { Delivery } from '../delivery/delivery.ts'
import { deliveryId } from '../delivery/id.ts'
import type { Lifetime } from './lifetime.ts'
import { createPlan } from './plan.ts'
import type { Plan, PlanOptions } from './plan.ts'
import { Ports } from './ports.ts'
import { findQueues } from '../queue/stored.ts'
import type { Receiver } from './receiver.ts'
import type { ExporterSheet } from '../telemetry/telemetry.ts'

export type GraphOptions = Omit<PlanOptions, 'ports' | 'ended'>

/** The components that no longer belong to the graph. */
interface Gone {
  readonly receivers: readonly Receiver[]
  /** The stages of each pipeline, in the order in which batches pass. */
  readonly stages: readonly (readonly Stage[])[]
  /** By the path of the exporter, with the signal as in `deliveryId`. */
  readonly deliveries: ReadonlyMap<string, Delivery>
  /** Resolves when the exporters that were replaced have nothing in hand, and heirs have what they inherit. */
  readonly renewed: Promise<unknown>
  /** Of exporters. */
  readonly lifetimes: readonly Lifetime[]
}

/**
 * The configured components, wired into Observables: each receiver is one shared source, each pipeline one chain of
 * operators, and each exporter one sink for each signal. Building the graph creates every component that a pipeline
 * uses and opens nothing; it throws a ConfigError about all components that cannot be created.
 */
export class Graph {
  /** Resolves when every receiver has ended by itself, with whether one failed, or when the graph has stopped. */
  readonly ended: Promise<{ failed: boolean }>
  #end: (end: { failed: boolean }) => void = () => undefined
  #plan: Plan
  readonly #chains = new Map<string, Chain>()
  readonly #planOptions: PlanOptions
  readonly #stopping = new AbortController()
  readonly #stopped = rejectedBy(this.#stopping.signal)
  #reloading: Promise<unknown> = Promise.resolve()
  /** Aborted when the time of the components that a reload removed is over. */
  #patience = new AbortController()
  /** Components that were removed and have not finished. */
  readonly #lingering = new Set<Lifetime>()
  /** The work that a stop waits for. */
  readonly #stoppingParts = new Map<Promise<unknown>, string>()

  constructor(
    config: PipelineConfig,
    private readonly options: GraphOptions,
  ) {
    this.#stopped.catch(() => undefined)
    this.ended = new Promise((resolve) => (this.#end = resolve))
    this.#planOptions = {
      ...options,
      ports: new Ports(options.log),
      ended: (receiver) => this.#receiverEnded(receiver),
    }
    this.#plan = createPlan(config, undefined, this.#planOptions)
    for (const path of pathsOf(this.#plan)) this.#starting(path)
  }

  /** Whether its configuration has the component. */
  runs(component: Component): boolean {
    const { receivers, processors, exporters } = this.#plan.config
    return [receivers, processors, exporters].some((all) =>
      [...all.values()].some((configured) => configured.component === component),
    )
  }

  /** Opens the queues. @throws ConfigError when another process has the directory of one */
  open(): Promise<void> {
    void this.#tellStranded(this.#plan)
    return this.#openQueues(this.#plan)
  }

  /**
   * Starts the receivers once the queues are open. Resolves when each has started, failed to start, or waits for a port
   * while the others go on. The graph ends if one of them has not started within `service.start_timeout`.
   */
  async start(): Promise<void> {
    const plan = this.#plan
    if (this.#stopping.signal.aborted) return
    this.#take(plan)
    const { ports } = this.#planOptions
    ports.patient = true
    const { start_timeout: timeout } = plan.config.service
    const { clock } = this.options
    const timer = clock.setTimeout(() => this.#checkStart(timeout), timeout).unref()
    this.#stopping.signal.addEventListener('abort', () => clock.clearTimeout(timer), { once: true })
    const started = Array.from(plan.receivers.values(), (receiver) => receiver.start())
    this.#checkEnd()
    await Promise.all(started)
    this.options.health.started()
  }

  #checkStart(timeout: number): void {
    const late = [...this.#plan.receivers].filter(([, { hasStarted }]) => !hasStarted)
    if (late.length === 0) return
    const paths = late.map(([id]) => `receivers.${id}`).join(', ')
    const message = `A receiver could not start within service.start_timeout, ${timeout / 1000} s; the pipeline stops.`
    this.options.log.error(message, { event: 'start_timeout', receivers: paths })
    this.#end({ failed: true })
  }

  /**
   * Replaces this configuration by another one: creates and opens its new components, or throws and leaves everything
   * as it was; then leads the data there and drains removed components within the new `shutdown_timeout`. Runs one at a
   * time, after the start. @throws ConfigError
   */
  reload(config: PipelineConfig): Promise<Changes> {
    const reload = this.#reload(config)
    this.#reloading = reload.catch(() => undefined)
    return reload
  }

  async #reload(config: PipelineConfig): Promise<Changes> {
    const before = this.#plan
    // All or nothing: a receiver that cannot listen at once fails the reload.
    this.#planOptions.ports.patient = false
    const next = createPlan(config, before, this.#planOptions)
    const leaving = [...before.receivers.values()].filter((receiver) => !isIn(next.receivers, receiver))
    for (const { lifetime } of leaving) lifetime.leaving = true
    try {
      const opened = this.#openQueues(next, before).then(() => this.#startReceivers(next, before))
      await Promise.race([opened, this.#stopped])
    } catch (error) {
      for (const { lifetime } of leaving) lifetime.leaving = false
      await this.#undo(next, before)
      throw error
    }
    const gone = this.#take(next, before)
    const removed = [...pathsOf(before)].filter((path) => !pathsOf(next).has(path))
    this.options.health.started()
    for (const path of removed) this.options.health.leaving(path)
    const left = await this.#giveAway(gone, config.service.shutdown_timeout)
    for (const path of removed) this.options.health.gone(path)
    this.#forgetQueues(before)
    const { prefix } = config.service.telemetry.metrics
    const atNextStart = prefix === this.options.telemetry.prefix ? [] : ['service.telemetry.metrics.prefix']
    return { ...compare(before.config, config), atNextStart, ...left }
  }

  /**
   * Stops receivers, lets processors release their data, then drains the queues; data that is not delivered when
   * `deadline` aborts is dropped and counted. Resolves when everything has stopped; until then, `hanging` names the
   * components that have not. May be called without `start` and more than once.
   */
  async stop(deadline: AbortSignal): Promise<void> {
    this.#stopping.abort()
    const hurry = (): void => this.#patience.abort()
    deadline.addEventListener('abort', hurry, { once: true })
    if (deadline.aborted) hurry()
    const within = (work: Promise<unknown>): Promise<unknown> => Promise.race([work, abortOf(deadline)])
    await within(this.#stop('the reload', this.#reloading))
    const stages = [...this.#plan.stages.values()]
    const destinations = [...this.#plan.destinations]
    const all = <T>(items: Iterable<T>, act: (item: T) => Promise<unknown>): Promise<unknown> =>
      Promise.all(Array.from(items, act))
    await within(all(this.#plan.receivers, ([id, receiver]) => this.#stop(`receivers.${id}`, receiver.stop())))
    await within(
      all(stages, async (inOrder) => {
        for (const stage of inOrder) await this.#stop(`processors.${stage.configured.id}`, stage.release())
      }),
    )
    await within(
      all(stages.flat(), ({ configured, lifetime }) => this.#stop(`processors.${configured.id}`, lifetime.stop())),
    )
    const deliveries = destinations.flatMap(([id, { deliveries }]) =>
      Array.from(deliveries, ([signal, delivery]) => [deliveryId(id, signal), delivery] as const),
    )
    await all(deliveries, ([id, delivery]) =>
      this.#stop(`the sending queue of exporters.${id}`, delivery.drain(deadline)),
    )
    for (const [id, { lifetime }] of destinations) void this.#stop(`exporters.${id}`, lifetime.stop())
    for (const lifetime of this.#lingering) void this.#stop('a component that a reload took out', lifetime.stop())
    await Promise.all(this.#stoppingParts.keys())
    // Receivers needed no destination to finish their requests, so the queues were drained meanwhile.
    await within(all(this.#plan.receivers, ([id, { lifetime }]) => this.#stop(`receivers.${id}`, lifetime.ended())))
    this.#end({ failed: this.#hasFailed })
  }

  /** The components that were asked to stop and have not. */
  get hanging(): string[] {
    return [...new Set(this.#stoppingParts.values())]
  }

  async #stop(part: string, work: Promise<unknown>): Promise<void> {
    this.#stoppingParts.set(work, part)
    await work.finally(() => this.#stoppingParts.delete(work))
  }

  /** Opens the queues that are not open yet. @throws ConfigError when another process has the directory of one */
  async #openQueues({ destinations }: Plan, before?: Plan): Promise<void> {
    const problems = new Map<string, { place: SourcePosition; message: string }>()
    const opened = [...destinations].flatMap(([id, { configured, deliveries }]) =>
      Array.from(deliveries, async ([signal, delivery]) => {
        if (before?.destinations.get(id)?.deliveries.get(signal) === delivery) return
        const path = `exporters.${id}.sending_queue.directory`
        await delivery.open().catch(({ message }: Error) => problems.set(path, { place: configured.place, message }))
      }),
    )
    await Promise.all(opened)
    throwProblems(problems)
  }

  /** Reports data in queues of exporters that are not configured, which nobody would notice otherwise. */
  async #tellStranded({ destinations }: Plan): Promise<void> {
    const directoryOf = (id: string): string | undefined =>
      destinations.get(id)?.configured.delivery.sending_queue.directory
    for (const directory of new Set([...destinations.keys()].map(directoryOf))) {
      const found = directory === undefined ? [] : await findQueues(directory, this.options.disk).catch(() => [])
      for (const { exporter, signal, inUse, waiting } of found) {
        const isNamed =
          destinations.get(exporter)?.deliveries.has(signal) === true && directoryOf(exporter) === directory
        if (isNamed || inUse || waiting.records === 0) continue
        this.options.log.warn(
          'A queue on disk belongs to an exporter that no pipeline uses. Its batches are not sent; `heka-pipeline queue` shows, exports or drops them.',
          { event: 'queue_unclaimed', exporter, signal, directory, items: waiting.items },
        )
      }
    }
  }

  /** Starts the receivers that are new. @throws ConfigError when one fails */
  async #startReceivers({ receivers, config }: Plan, before: Plan): Promise<void> {
    const fresh = [...receivers.values()].filter((receiver) => !isIn(before.receivers, receiver))
    const late = new Set(fresh)
    const { start_timeout: timeout } = config.service
    const starts = fresh.map((receiver) => receiver.start().then(() => late.delete(receiver)))
    await Promise.race([Promise.all(starts), abortOf(deadline(this.options.clock, timeout))])
    const problems = new Map<string, { place: SourcePosition; message: string }>()
    for (const receiver of fresh) {
      const { id, place } = receiver.configured
      const message =
        receiver.over?.failure ?? (late.has(receiver) ? `has not started within ${timeout / 1000} s` : undefined)
      if (message !== undefined) problems.set(`receivers.${id}`, { place, message })
    }
    throwProblems(problems)
  }

  /** Removes the new components of a plan that is not carried out. */
  async #undo(next: Plan, before: Plan): Promise<void> {
    const receivers = [...next.receivers.values()].filter((receiver) => !isIn(before.receivers, receiver))
    await Promise.all(receivers.map((receiver) => receiver.stop()))
    await Promise.all(next.lifetimes.map((lifetime) => lifetime.stop()))
    for (const [id, { deliveries }] of next.destinations) {
      for (const [signal, delivery] of deliveries) {
        const old = before.destinations.get(id)?.deliveries.get(signal)
        if (old === delivery) continue
        await delivery.drain(AbortSignal.abort())
      }
    }
    for (const sheet of next.sheets) this.options.telemetry.forget(sheet)
  }

  /** Leads the data through the components of a plan, all at once. Returns the components that it no longer reaches. */
  #take(
    next: Plan,
    before: Plan = { ...next, receivers: new Map(), stages: new Map(), destinations: new Map() },
  ): Gone {
    const { config } = next
    const { telemetry } = this.options
    this.#plan = next
    for (const lifetime of next.lifetimes) lifetime.begin()
    const renewals: Promise<void>[] = []
    for (const [id, { configured, deliveries, exporter }] of next.destinations) {
      const old = before.destinations.get(id)
      const isSame = old?.exporter === exporter && isDeepStrictEqual(old.configured.delivery, configured.delivery)
      for (const [signal, delivery] of deliveries) {
        const predecessor = old?.deliveries.get(signal)
        if (predecessor === undefined) delivery.begin()
        else if (predecessor !== delivery) renewals.push(predecessor.bequeath(delivery))
        else if (!isSame) renewals.push(delivery.renew(exporter, deliveryOf(configured, signal)))
      }
    }
    const chains = new Map<string, Chain>()
    for (const [id, { exporters, signal }] of config.pipelines) {
      const chain = this.#chains.get(id) ?? new Chain(telemetry.pipeline(id, signal))
      const stages = next.stages.get(id)!
      for (const stage of stages) {
        stage.join(chain.sheet, telemetry.processor(stage.configured.id, id, signal), config.service.processor_timeout)
      }
      chain.lead(
        stages,
        exporters.map((exporter) => next.destinations.get(exporter)!.deliveries.get(signal)!),
      )
      chains.set(id, chain)
    }
    this.#chains.clear()
    for (const [id, chain] of chains) this.#chains.set(id, chain)
    for (const path of pathsOf(next)) if (!pathsOf(before).has(path)) this.#starting(path)
    for (const [id, receiver] of next.receivers) {
      const fed = [...config.pipelines].filter(([, { receivers }]) => receivers.includes(id))
      receiver.feed(fed.map(([pipeline]) => chains.get(pipeline)!))
      if (isIn(before.receivers, receiver)) continue
      this.#starting(`receivers.${id}`)
      if (receiver.over !== undefined) this.#receiverEnded(receiver)
    }
    return goneOf(before, next, Promise.all(renewals))
  }

  /** Returns the rest when the time is over. */
  async #giveAway(gone: Gone, patience: number): Promise<Pick<Changes, 'unreleased' | 'leftovers'>> {
    this.#patience = new AbortController()
    const { signal } = this.#patience
    // Each delivery listens, and each wait for a part of it.
    setMaxListeners(0, signal)
    const timer = this.options.clock.setTimeout(() => this.#patience.abort(), patience)
    const within = (work: Promise<unknown>): Promise<unknown> => Promise.race([work, abortOf(signal)])
    const retire = async (lifetime: Lifetime): Promise<void> => {
      await lifetime.stop()
      this.#lingering.delete(lifetime)
    }
    for (const lifetime of [...gone.lifetimes, ...gone.stages.flat().map((stage) => stage.lifetime)]) {
      this.#lingering.add(lifetime)
    }
    await within(Promise.all(gone.receivers.map((receiver) => receiver.stop())))
    const unreleased = new Set(gone.stages.flat())
    const released = gone.stages.map(async (stages) => {
      for (const stage of stages) {
        await stage.release()
        unreleased.delete(stage)
        await retire(stage.lifetime)
      }
    })
    await within(Promise.all(released))
    const paths = new Set(Array.from(unreleased, ({ configured }) => `processors.${configured.id}`))
    const leftovers: Record<string, Leftovers> = {}
    const drains = Array.from(gone.deliveries, async ([path, delivery]) => {
      leftovers[path] = await delivery.drain(signal)
    })
    await Promise.all(drains)
    await within(gone.renewed.then(() => Promise.all(gone.lifetimes.map(retire))))
    this.options.clock.clearTimeout(timer)
    return { unreleased: [...paths], leftovers }
  }

  #starting(path: string): void {
    const [section, id] = split(path)
    const sheets = (): readonly ExporterSheet[] => this.options.telemetry.sheetsOf(id)
    this.options.health.starting(path, section === 'exporters' ? sheets : undefined)
  }

  /** Forgets a removed component; its counts stay. */
  #forgetQueues(before: Plan): void {
    for (const [id, { deliveries }] of before.destinations) {
      for (const signal of deliveries.keys()) {
        if (this.#plan.destinations.get(id)?.deliveries.has(signal) === true) continue
        this.options.telemetry.exporter(id, signal).queueStatus = undefined
      }
    }
  }

  get #hasFailed(): boolean {
    return [...this.#plan.receivers.values()].some(({ over }) => over?.failure !== undefined)
  }

  #receiverEnded(receiver: Receiver): void {
    const { configured, log, over } = receiver
    if (this.#plan.receivers.get(configured.id) !== receiver) return
    if (over?.failure !== undefined) {
      const isLast = [...this.#plan.receivers.values()].every(({ over }) => over !== undefined)
      const rest = isLast ? 'no other receiver is left, so the pipeline stops' : 'the others go on'
      log.error(`The receiver failed and has ended; ${rest}.`, { event: 'receiver_failed', error: over.failure })
    }
    this.options.health.ended(`receivers.${configured.id}`, over?.failure)
    this.#checkEnd()
  }

  #checkEnd(): void {
    const receivers = [...this.#plan.receivers.values()]
    if (receivers.every(({ over }) => over !== undefined)) this.#end({ failed: this.#hasFailed })
  }
}

/** By their paths in the YAML, like `exporters.debug`. */
function pathsOf({ receivers, stages, destinations }: Plan): Set<string> {
  const processors = [...stages.values()].flat().map(({ configured }) => configured.id)
  return new Set([
    ...Array.from(destinations.keys(), (id) => `exporters.${id}`),
    ...Array.from(receivers.keys(), (id) => `receivers.${id}`),
    ...processors.map((id) => `processors.${id}`),
  ])
}

/** An id may hold dots. */
function split(path: string): [section: string, id: string] {
  const dot = path.indexOf('.')
  return [path.slice(0, dot), path.slice(dot + 1)]
}

function isIn(receivers: Plan['receivers'], receiver: Receiver): boolean {
  return receivers.get(receiver.configured.id) === receiver
}

function goneOf(before: Plan, next: Plan, renewed: Promise<unknown>): Gone {
  const destinations = [...next.destinations.values()]
  const old = [...before.destinations]
  const staying = new Set(destinations.flatMap(({ deliveries }) => [...deliveries.values()]))
  const isUsed = (lifetime: Lifetime): boolean => destinations.some((other) => other.lifetime === lifetime)
  const deliveries = old.flatMap(([id, { deliveries }]) =>
    Array.from(deliveries, ([signal, delivery]) => [`exporters.${deliveryId(id, signal)}`, delivery] as const),
  )
  return {
    receivers: [...before.receivers.values()].filter((receiver) => !isIn(next.receivers, receiver)),
    stages: Array.from(before.stages, ([id, stages]) => {
      return stages.filter((stage) => next.stages.get(id)?.includes(stage) !== true)
    }),
    deliveries: new Map(deliveries.filter(([, delivery]) => !staying.has(delivery))),
    renewed,
    lifetimes: old.map(([, { lifetime }]) => lifetime).filter((lifetime) => !isUsed(lifetime)),
  }
}

function throwProblems(
  problems: ReadonlyMap<string, { readonly place: SourcePosition; readonly message: string }>,
): void {
  if (problems.size === 0) return
  const all = Array.from(problems, ([path, problem]) => ({ severity: 'error', path, ...problem }) as const)
  throw new ConfigError(inOrder(all, []))
}

/** Resolves when `signal` is aborted. */
function abortOf(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
}

async function rejectedBy(signal: AbortSignal): Promise<never> {
  await abortOf(signal)
  throw new Error('The pipeline is stopping.')
}
