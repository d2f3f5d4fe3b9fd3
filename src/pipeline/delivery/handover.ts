import type { ExporterState, StateRecord } from '../../component/exporter.ts'
import type { Logger } from '../../component/logger.ts'
import { errorMessage } from '../../errors.ts'
import { changesOf } from '../queue/state_log.ts'

/*
 * The memory of an exporter, on its way to another exporter or to the queue.
 */

const NOTHING = new Uint8Array()

/** Gives an exporter the memory of the previous one. */
export function passOn(from: ExporterState | undefined, to: ExporterState | undefined, log: Logger): void {
  if (from === undefined || to === undefined || from === to) return
  try {
    from.beginCheckpoint()
    const records: StateRecord[] = []
    const checkpoint = { parts: 0 }
    for (let all = false; !all;) {
      const part = changesOf(from, checkpoint)
      all = part.all
      if (part.bytes.length > 0) records.push({ bytes: part.bytes, age: 0 })
    }
    from.forget?.()
    to.restore([records])
  } catch (error) {
    log.warn('The new exporter does not accept the state of the previous one.', {
      event: 'state_not_restored',
      error: errorMessage(error),
    })
  }
}

/** The memory as a queue may keep it: while a batch is being worked on, nothing of it. */
export function betweenBatches(state: ExporterState, isWithin: () => boolean): ExporterState {
  /** Whether everything was returned since `beginCheckpoint`: changes made meanwhile come later. */
  let all = false
  return {
    beginCheckpoint() {
      all = false
      state.beginCheckpoint()
    },
    changes() {
      if (isWithin()) return { bytes: NOTHING, all }
      const changes = state.changes()
      all = (changes as Partial<typeof changes> | undefined)?.all === true
      return changes
    },
    restore: (checkpoints) => state.restore(checkpoints),
  }
}
