import type { Logger } from '../../component/logger.ts'
import { errorMessage } from '../../errors.ts'
import type { Clock, Timer } from '../../time/clock.ts'
import type { QueueEntry } from './entry.ts'
import { RETRY_INTERVAL } from './files.ts'
import type { GroupWriter } from './group_writer.ts'
import type { QueueStatus } from './queue.ts'
import type { StateLog } from './state_log.ts'

interface FallbackOptions {
  readonly folder: string
  readonly writer: GroupWriter
  readonly state: StateLog
  readonly log: Logger
  readonly clock: Clock
  /** Does what failed again, but for the batches. @throws what the file system says */
  readonly tryAgain: () => Promise<void>
  /** Makes sure that the folder takes a batch. @throws what the file system says */
  readonly probe: () => Promise<void>
  /** There may be something to take out. */
  readonly changed: () => void
  /** The disk takes batches again. */
  readonly recovered: () => void
}

/** Batches that the disk could not take: they wait in memory, and are written as soon as it takes them again. */
export class Fallback {
  #entries: QueueEntry[] = []
  #items = 0
  #problem: QueueStatus['problem']
  #retry: Timer | undefined
  #closed = false

  constructor(private readonly options: FallbackOptions) {}

  /** Why batches have to wait here. */
  get problem(): QueueStatus['problem'] {
    return this.#problem
  }

  get length(): number {
    return this.#entries.length
  }

  get items(): number {
    return this.#items
  }

  get oldest(): QueueEntry | undefined {
    return this.#entries[0]
  }

  push(entry: QueueEntry): void {
    this.#entries.push(entry)
    this.#items += entry.items
    this.options.changed()
  }

  shift(): QueueEntry | undefined {
    const entry = this.#entries.shift()
    if (entry === undefined) return undefined
    this.options.state.abandon()
    this.#items -= entry.items
    return entry
  }

  /** The disk failed: what was to be written waits here. */
  failed(error: unknown): void {
    const { folder, writer, state, log, clock, changed } = this.options
    const message = errorMessage(error)
    if (this.#problem === undefined) {
      log.error(
        'The queue cannot use its directory. Until it can, batches wait in memory and do not survive a crash.',
        { event: 'queue_disk_failed', directory: folder, error: message },
      )
    }
    this.#problem = { since: this.#problem?.since ?? new Date(clock.now()), message }
    const unwritten = writer.takeAll()
    const entries = unwritten.filter(({ items }) => items > 0)
    if (entries.length < unwritten.length) state.abandon()
    // They are older than what came since the disk fails, and what is remembered is written in that order.
    this.#entries = [...entries, ...this.#entries]
    this.#items += entries.reduce((sum, { items }) => sum + items, 0)
    if (entries.length > 0) changed()
    if (!this.#closed) this.#retry ??= clock.setTimeout(() => void this.#tryAgain(), RETRY_INTERVAL)
  }

  /** The disk has taken something. */
  recovered(): void {
    if (this.#problem === undefined) return
    const { folder, log, recovered } = this.options
    this.#problem = undefined
    log.info('The queue uses its directory again.', { event: 'queue_disk_recovered', directory: folder })
    this.rewrite()
    recovered()
  }

  /** Has all that waits written. */
  rewrite(): void {
    this.#items = 0
    this.options.writer.rewrite(this.#entries.splice(0))
  }

  /** Makes no more attempts on the disk. */
  close(): void {
    this.#closed = true
    this.options.clock.clearTimeout(this.#retry)
  }

  async #tryAgain(): Promise<void> {
    const { tryAgain, probe, writer } = this.options
    this.#retry = undefined
    try {
      await tryAgain()
      await writer.settled()
      if (this.#entries.length === 0) {
        await probe()
        this.recovered()
      }
    } catch (error) {
      return this.failed(error)
    }
    // A stop has made its own last attempt, and counted what it did not take.
    if (!this.#closed) this.rewrite()
  }
}
