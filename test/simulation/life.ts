import type { ReceiverContext } from '../../src/component/context.ts'
import { VirtualClock } from '../../src/time/virtual_clock.ts'

/** One process, from its start until it has ended or died. */
export class Life {
  readonly clock: VirtualClock
  /** Whether it has ended: nothing of it happens any more, because its time stands still. */
  over = false
  /** What its receivers hand their batches to, by id. */
  readonly inputs = new Map<string, ReceiverContext['deliver']>()

  /** @param trace takes the lines that it writes */
  constructor(
    readonly number: number,
    now: number,
    private readonly trace: (line: string) => void,
  ) {
    this.clock = new VirtualClock(now)
  }

  note(line: string): void {
    if (!this.over) this.trace(`${this.clock.monotonic()} ${line}`)
  }
}
