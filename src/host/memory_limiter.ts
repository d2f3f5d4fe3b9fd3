import type { Timer } from '../time/clock.ts'
import type { Context } from '../component/context.ts'
import type { ConfigOf, Finding, Settings } from '../component/settings.ts'
import { rememberedBytes } from '../otlp/common/remembered_bytes.ts'
import { availableMemory, collect, heapFill, processMemory } from './memory.ts'
import type { Memory } from './memory.ts'

/** The settings of the service and of the processor, with the names of the Collector's processor (v0.165.0). */
export const memoryLimiterSettings = {
  check_interval: {
    doc: 'How often memory is measured. While data comes in, it is also measured each time a sixteenth of the spike limit has come in.',
    format: 'duration',
    default: '1s',
  },
  limit_mib: {
    doc: 'The hard limit: MiB of memory that the process may use.',
    format: 'nat',
    default: undefined,
  },
  spike_limit_mib: {
    doc: 'MiB between the soft limit, above which data is refused, and the hard one. Default: a fifth of `limit_mib`.',
    format: 'nat',
    default: undefined,
  },
  limit_percentage: {
    doc: "The hard limit in percent of the container's memory; everything in the container counts. If the container has no limit, in percent of the machine's memory; then only the process counts.",
    format: 'nat',
    default: undefined,
  },
  spike_limit_percentage: {
    doc: 'The same as `spike_limit_mib`, in percent of that memory. Default: a fifth of `limit_percentage`.',
    format: 'nat',
    default: undefined,
  },
} as const satisfies Settings

type MemoryLimiterConfig = ConfigOf<typeof memoryLimiterSettings>

const MIB = 2 ** 20

/** The last measurement, in bytes. */
export interface MemoryReading {
  readonly used: number
  readonly soft: number
  readonly hard: number
  readonly short: boolean
}

const SHORT = 'Memory is short: data is refused, or dropped and counted if its source cannot keep it.'

/** How often memory is measured while as much data as the spike limit comes in. */
const LOOKS = 16

/** Bytes that the process takes without any data, beyond those at its start; 8 to 15 MiB were measured. */
const ROOM = 16 * MIB

/** Check intervals without a shortage after which the shortage is over. */
const OVER = 10

/** The memory of the process when it read its first configuration: later, it holds data. */
let atStart: number | undefined

/** The rules that span the settings; a limit must also leave room for more than the process takes by itself. */
export function* memoryLimiterFindings(config: MemoryLimiterConfig): Generator<Finding> {
  const found = [...mistakes(config)]
  for (const [path, message] of found) yield { path, message }
  if (found.length > 0) return
  const { memory, soft } = limitsOf(config)
  const taken = (atStart ??= processMemory.resident())
  if (taken + ROOM <= soft) return
  const [path, of] =
    config.limit_mib === undefined ? ['limit_percentage', ` of the ${mib(memory.total)} there are`] : ['limit_mib', '']
  const message = `is too low: data is refused from ${mib(soft)}${of} on, and without any the process takes ${mib(taken)} and at least ${mib(ROOM)} for its work`
  yield { path, message }
}

function* mistakes(config: MemoryLimiterConfig): Generator<[path: string, message: string]> {
  if (config.check_interval === 0) yield ['check_interval', 'must be longer than 0s']
  if (config.limit_mib === undefined && config.limit_percentage === undefined) {
    yield ['', 'needs a limit: `limit_mib: 512`, or `limit_percentage: 80`']
  }
  if (config.limit_mib !== undefined && config.limit_percentage !== undefined) {
    yield ['limit_percentage', 'cannot be used together with limit_mib; keep one of them']
  }
  for (const unit of ['mib', 'percentage'] as const) {
    const [limit, spike] = [config[`limit_${unit}`], config[`spike_limit_${unit}`]]
    if (limit === 0) yield [`limit_${unit}`, 'must be at least 1']
    if (spike === 0) yield [`spike_limit_${unit}`, 'must be at least 1']
    if (unit === 'percentage' && limit !== undefined && limit > 100) yield ['limit_percentage', 'must be at most 100']
    if (spike === undefined) continue
    if (limit === undefined) yield [`spike_limit_${unit}`, `needs limit_${unit}; it is a part of that limit`]
    else if (spike >= limit) yield [`spike_limit_${unit}`, `must be less than limit_${unit}, ${limit}`]
  }
}

interface Limits {
  readonly memory: Memory
  /** Bytes. */
  readonly soft: number
  readonly hard: number
}

function limitsOf(config: MemoryLimiterConfig): Limits {
  const byPercentage = config.limit_mib === undefined
  const memory = byPercentage ? availableMemory() : processMemory
  const [limit = 0, spike = limit / 5, unit] = byPercentage
    ? [config.limit_percentage, config.spike_limit_percentage, memory.total / 100]
    : [config.limit_mib, config.spike_limit_mib, MIB]
  return { memory, soft: (limit - spike) * unit, hard: limit * unit }
}

/** The fraction of the memory that may be used for remembered data, and a number of bytes: the larger one counts. */
const REMEMBERED_PART = 0.1
const REMEMBERED = 64 * MIB

/** How many bytes may be remembered unless a setting says otherwise. */
export function defaultRememberedSize(config: MemoryLimiterConfig | undefined): number {
  const memory = availableMemory()
  // A machine's memory is no limit, because everything else that runs on the machine shares it.
  const limit = config === undefined ? (memory === processMemory ? 0 : memory.total) : limitsOf(config).hard
  return Math.max(REMEMBERED, REMEMBERED_PART * limit)
}

function mib(bytes: number): string {
  return `${Math.round(bytes / MIB)} MiB`
}

/** Batches that are kept in memory and may be dropped. */
export interface Shedder {
  readonly held: Held
  /** Drops the oldest one. */
  shed(): void
}

export interface Held {
  readonly batches: number
  /** When the oldest one came, in milliseconds since 1970. */
  readonly oldest: number | undefined
}

/** The interface for components that accept or keep batches. */
export type MemoryGuard = Pick<MemoryLimiter, 'shedders' | 'isShort'>

export function unlimited(): MemoryGuard {
  return { shedders: new Set(), isShort: () => false }
}

/**
 * Detects when memory is short: when more than the soft limit is in use. While more than the hard limit is in use,
 * shedders drop batches. Measures by itself from the first call until `signal` aborts; never without limits.
 */
export class MemoryLimiter {
  readonly shedders = new Set<Shedder>()
  #limits: Limits | undefined
  #checkInterval = 0
  #used = 0
  #short = false
  #shortAt = 0
  /** Whether the shortage was logged. */
  #told = false
  /** Bytes that have come in since memory was last measured. */
  #come = 0
  #timer: Timer | undefined

  constructor(
    private readonly options: Pick<Context, 'clock' | 'log' | 'report' | 'signal'>,
    config?: MemoryLimiterConfig,
  ) {
    this.configure(config)
    options.signal.addEventListener('abort', () => this.configure(undefined), { once: true })
  }

  /** Takes other limits, or none. */
  configure(config: MemoryLimiterConfig | undefined): void {
    this.options.clock.clearTimeout(this.#timer)
    this.#timer = undefined
    this.#limits = config && limitsOf(config)
    this.#checkInterval = config?.check_interval ?? 0
    this.#short = false
    if (this.#told) this.options.report(undefined)
    this.#told = false
  }

  /** The last measurement; `undefined` without limits. */
  get reading(): MemoryReading | undefined {
    if (this.#limits === undefined) return undefined
    const { soft, hard } = this.#limits
    return { used: this.#used, soft, hard, short: this.#short }
  }

  /** Whether new data has to be refused. `bytes` have come in since the last call. */
  isShort(bytes = 0): boolean {
    const limits = this.#limits
    if (limits === undefined) return false
    this.#come += bytes
    if (this.#timer === undefined || this.#come > (limits.hard - limits.soft) / LOOKS) this.#look(limits)
    this.#timer ??= this.options.clock.setInterval(() => this.#check(limits), this.#checkInterval).unref()
    return this.#short
  }

  #check(limits: Limits): void {
    if (this.#short) limits.memory.doubt()
    this.#look(limits)
  }

  #look(limits: Limits): void {
    const { memory, soft, hard } = limits
    this.#come = 0
    let from = soft
    const look = (): void => {
      const { used, resident } = memory.look()
      // A heap as full as V8 allows counts as much as the hard limit.
      this.#used = Math.max(used, heapFill() * hard)
      // Resident memory beyond the soft limit did not fit into the freed memory: less has to be in use then.
      from = Math.max(soft / 2, soft - Math.max(0, resident - soft))
    }
    look()
    // The memory of ended series, and data that only saves time, goes first.
    if (this.#used >= from && !this.#short) rememberedBytes.shrink(0)
    if (this.#used >= from && collect(this.#used >= hard ? 'urgent' : 'usual')) {
      look()
      // Batches have to be dropped only if memory is still short after garbage collection.
      if (this.#used >= hard) this.#shed(1 - soft / this.#used)
    }
    this.#short = this.#used >= from
    this.#tell(limits)
  }

  /**
   * Drops a part of all batches that are held, oldest first; if none is held, a part of the remembered data. If that
   * was not enough, the next measurement shows it.
   */
  #shed(part: number): void {
    const shedders = [...this.shedders]
    const age = ({ held: { oldest = Infinity } }: Shedder): number => oldest
    let left = Math.ceil(part * shedders.reduce((sum, { held }) => sum + held.batches, 0))
    if (left === 0) rememberedBytes.shrink(part)
    for (; left > 0; left -= 1) shedders.reduce((first, other) => (age(other) < age(first) ? other : first)).shed()
  }

  /** Under overload, memory is short again and again: that counts as one shortage, which is over when it does not return. */
  #tell({ soft, hard }: Limits): void {
    const { log, report } = this.options
    const now = this.options.clock.monotonic()
    if (this.#short) this.#shortAt = now
    else if (now - this.#shortAt < OVER * this.#checkInterval) return
    if (this.#told === this.#short) return
    this.#told = this.#short
    const fields = { used: mib(this.#used), soft_limit: mib(soft), limit: mib(hard) }
    if (this.#short) log.warn(SHORT, { event: 'memory_short', ...fields })
    else log.info('Memory is sufficient again.', { event: 'memory_recovered', ...fields })
    report(
      this.#short ? `${fields.used} of memory are in use; data is refused from ${fields.soft_limit} on` : undefined,
    )
  }
}
