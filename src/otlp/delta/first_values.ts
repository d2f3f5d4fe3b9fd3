import type { PointCursor } from '../metrics/point_cursor.ts'
import type { ExportTimes } from './export_times.ts'

/**
 * The treatment of the first value of a series, and of the first one after a reset: `keep` passes it on as if counted
 * from zero, `drop` withholds it, and `auto` passes it on only if the series says that it began after this process did,
 * so that nothing was counted before.
 */
export type InitialValue = 'auto' | 'keep' | 'drop'

/** Decides whether the first value of a series is passed on, and notes the data for that decision. Times in nanoseconds since 1970. */
export class FirstValues {
  /** Whether such data has to be noted. */
  readonly areNoted: boolean

  /** `processStart`: when this process began. */
  constructor(
    private readonly initialValue: InitialValue,
    private readonly processStart: bigint,
    private readonly exports: ExportTimes,
  ) {
    this.areNoted = initialValue === 'auto'
  }

  /** Whether the first value of a series with this start and time is passed on. */
  keeps(start: bigint, time: bigint): boolean {
    if (!this.areNoted) return this.initialValue === 'keep'
    return start > this.processStart && start < time
  }

  /** `keeps` for the point at a cursor, whose times are read as numbers only if they matter. */
  keepsAt(cursor: PointCursor): boolean {
    return this.areNoted ? this.keeps(cursor.start(), cursor.time()) : this.initialValue === 'keep'
  }

  /** Notes the latest time of points that came together. */
  note(owner: number, latest: bigint): void {
    if (this.areNoted) this.exports.note(owner, latest)
  }

  /** Notes the start of a series that was known before. */
  noteStart(owner: number, start: bigint): void {
    if (this.areNoted) this.exports.noteStart(owner, start)
  }

  /** Whether the start is the one that was noted last. */
  isNoted(owner: number, start: bigint): boolean {
    return this.exports.lastStart(owner) === start
  }

  /** Whether a series that was not seen before may be known to be new, if its start says so. */
  mayBeNew(owner: number, time: bigint): boolean {
    return this.lastWithout(owner, time, time) !== undefined
  }

  /** The last complete export that did not have a series, if the series must be new: `start` and `time` of its first point. */
  lastWithout(owner: number, start: bigint, time: bigint): bigint | undefined {
    return this.areNoted ? this.exports.lastWithout(owner, start, time) : undefined
  }
}
