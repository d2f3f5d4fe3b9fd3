import { systemClock } from '../../time/clock.ts'
import type { ExporterSheet } from './telemetry.ts'

/** The status of a component, in the words of the Collector (component/componentstatus/status.go, 2026). */
type Status =
  'StatusStarting' | 'StatusOK' | 'StatusRecoverableError' | 'StatusPermanentError' | 'StatusStopping' | 'StatusStopped'

interface ComponentStatus {
  readonly status: Status
  readonly since: Date
  /** The problem, if it is not healthy. */
  readonly error?: string
}

type Phase = 'starting' | 'ready' | 'stopping'

/** The status of each component of a process, by its path in the YAML, such as `exporters.debug`. */
export class Health {
  readonly #components = new Map<string, ComponentStatus>()
  readonly #exporters = new Map<string, () => readonly ExporterSheet[]>()
  readonly #problems = new Map<string, { readonly since: Date; readonly message: string }>()
  /** When the last of those problems ended. */
  readonly #solved = new Map<string, Date>()
  /** Why receivers wait for their ports. */
  readonly #waits = new Map<string, { readonly since: Date; readonly message: string }>()
  #phase: Phase = 'starting'

  constructor(private readonly clock = systemClock) {}

  /** `ready` from the end of the start until the stop begins, but `unavailable` while a receiver cannot serve. */
  get phase(): Phase | 'unavailable' {
    if (this.#phase !== 'ready') return this.#phase
    const failed = [...this.#components].some(([path, { status }]) => {
      return path.startsWith('receivers.') && status === 'StatusPermanentError'
    })
    return failed || this.#waits.size > 0 ? 'unavailable' : 'ready'
  }

  /** `sheets`: for an exporter, those of its signals. */
  starting(path: string, sheets?: () => readonly ExporterSheet[]): void {
    this.#set(path, 'StatusStarting')
    if (sheets !== undefined) this.#exporters.set(path, sheets)
  }

  /** All components have been started. */
  started(): void {
    if (this.#phase === 'stopping') return
    this.#phase = 'ready'
    for (const [path, { status }] of this.#components) if (status === 'StatusStarting') this.#set(path, 'StatusOK')
  }

  /** The component has ended by itself: permanently, with an error, or because it had nothing left to do. */
  ended(path: string, error?: string): void {
    if (error === undefined) this.#set(path, 'StatusStopped')
    else this.#set(path, 'StatusPermanentError', error)
  }

  /** The component reports why it does not work as it should at the moment, or that it does again. */
  reported(path: string, problem: string | undefined): void {
    if (problem === undefined) {
      if (this.#problems.delete(path)) this.#solved.set(path, new Date(this.clock.now()))
    } else
      this.#problems.set(path, {
        since: this.#problems.get(path)?.since ?? new Date(this.clock.now()),
        message: problem,
      })
  }

  /** The receiver reports why it waits for a port, or that it no longer waits. */
  waiting(path: string, why: string | undefined): void {
    if (why !== undefined)
      this.#waits.set(path, { since: this.#waits.get(path)?.since ?? new Date(this.clock.now()), message: why })
    else if (this.#waits.delete(path)) this.#solved.set(path, new Date(this.clock.now()))
  }

  /** The component was removed, and is draining. */
  leaving(path: string): void {
    this.#set(path, 'StatusStopping')
  }

  gone(path: string): void {
    this.#components.delete(path)
    this.#exporters.delete(path)
    this.#problems.delete(path)
    this.#waits.delete(path)
    this.#solved.delete(path)
  }

  stopping(): void {
    this.#phase = 'stopping'
    for (const [path, { status }] of this.#components) if (status !== 'StatusStopped') this.#set(path, 'StatusStopping')
  }

  stopped(): void {
    for (const path of this.#components.keys()) this.#set(path, 'StatusStopped')
  }

  /**
   * Every component, in the order of creation. A component that reported a problem has a recoverable error; so has an
   * exporter that could not send lately, or whose queue is not on disk where it should be.
   */
  components(): Readonly<Record<string, ComponentStatus>> {
    for (const [path, { status, since }] of this.#components) {
      if (status !== 'StatusOK' && status !== 'StatusRecoverableError') continue
      const sheets = this.#exporters.get(path)?.() ?? []
      const queues = sheets.flatMap((sheet) => sheet.queueStatus?.() ?? [])
      const own = this.#waits.get(path) ?? this.#problems.get(path)
      const [problem] = [own, ...queues.map((queue) => queue.problem), ...sheets.map((sheet) => sheet.failure)].filter(
        (one) => one !== undefined,
      )
      if (problem === undefined) {
        const times = [since, this.#solved.get(path), ...[...sheets, ...queues].map(({ recovered }) => recovered)]
        const last = Math.max(...times.map((time) => Number(time ?? 0)))
        this.#components.set(path, { status: 'StatusOK', since: new Date(last) })
      } else {
        this.#components.set(path, { status: 'StatusRecoverableError', since: problem.since, error: problem.message })
      }
    }
    return Object.fromEntries(this.#components)
  }

  #set(path: string, status: Status, error?: string): void {
    if (this.#components.get(path)?.status === status) return
    this.#components.set(path, { status, since: new Date(this.clock.now()), ...(error !== undefined && { error }) })
  }
}
