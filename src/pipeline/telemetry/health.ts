import { systemClock } from '../../time/clock.ts'
import type { ExporterSheet } from './telemetry.ts'

/** How a component is, in the words of the collector (component/componentstatus/status.go, 2026). */
export type Status =
  'StatusStarting' | 'StatusOK' | 'StatusRecoverableError' | 'StatusPermanentError' | 'StatusStopping' | 'StatusStopped'

export interface ComponentStatus {
  readonly status: Status
  readonly since: Date
  /** Why it is not well. */
  readonly error?: string
}

type Phase = 'starting' | 'ready' | 'stopping'

/** How each component of a process is, by its path in the YAML, like `exporters.debug`. */
export class Health {
  readonly #components = new Map<string, ComponentStatus>()
  readonly #exporters = new Map<string, () => readonly ExporterSheet[]>()
  readonly #problems = new Map<string, { readonly since: Date; readonly message: string }>()
  /** When the last of those ended. */
  readonly #solved = new Map<string, Date>()
  /** Why receivers wait for their ports. */
  readonly #waits = new Map<string, { readonly since: Date; readonly message: string }>()
  #phase: Phase = 'starting'

  constructor(private readonly clock = systemClock) {}

  /** `ready` from the time when all is started until the stop begins, but `unavailable` while a receiver cannot serve. */
  get phase(): Phase | 'unavailable' {
    if (this.#phase !== 'ready') return this.#phase
    const failed = [...this.#components].some(([path, { status }]) => {
      return path.startsWith('receivers.') && status === 'StatusPermanentError'
    })
    return failed || this.#waits.size > 0 ? 'unavailable' : 'ready'
  }

  /** `sheets`: of an exporter, those of its signals. */
  starting(path: string, sheets?: () => readonly ExporterSheet[]): void {
    this.#set(path, 'StatusStarting')
    if (sheets !== undefined) this.#exporters.set(path, sheets)
  }

  /** Everything there is has been started. */
  started(): void {
    if (this.#phase === 'stopping') return
    this.#phase = 'ready'
    for (const [path, { status }] of this.#components) if (status === 'StatusStarting') this.#set(path, 'StatusOK')
  }

  /** The component has ended by itself: with an error for good, or because it had nothing more to do. */
  ended(path: string, error?: string): void {
    if (error === undefined) this.#set(path, 'StatusStopped')
    else this.#set(path, 'StatusPermanentError', error)
  }

  /** The component says why it does not do what it should just now, or that it does again. */
  reported(path: string, problem: string | undefined): void {
    if (problem === undefined) {
      if (this.#problems.delete(path)) this.#solved.set(path, new Date(this.clock.now()))
    } else
      this.#problems.set(path, {
        since: this.#problems.get(path)?.since ?? new Date(this.clock.now()),
        message: problem,
      })
  }

  /** The receiver says why it waits for a port, or that it does no more. */
  waiting(path: string, why: string | undefined): void {
    if (why !== undefined)
      this.#waits.set(path, { since: this.#waits.get(path)?.since ?? new Date(this.clock.now()), message: why })
    else if (this.#waits.delete(path)) this.#solved.set(path, new Date(this.clock.now()))
  }

  /** The component is taken out, and gives away what it holds. */
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
   * Every component, in the order of their creation. One that reported a problem, and an exporter that could not send lately, or whose
   * queue is not on disk where it should be, has a recoverable error.
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
