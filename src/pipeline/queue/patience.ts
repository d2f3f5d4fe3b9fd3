import type { Clock, Timer } from '../../time/clock.ts'

/** Milliseconds that the start and the stop wait for a disk that does not answer. */
const PATIENCE = 5000

/** Milliseconds that the stop waits for it once its time is over: less than the process takes for its end, so that all is counted. */
const LAST_PATIENCE = 500

/** Waits for work on a disk. A disk that hangs must not keep the process from starting or ending, so the work may go on after that. */
export function patiently(work: Promise<void>, clock: Clock, deadline?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    let timer: Timer | undefined
    const wait = (milliseconds: number): void => {
      clock.clearTimeout(timer)
      timer = clock.setTimeout(resolve, milliseconds)
    }
    const hurry = (): void => wait(LAST_PATIENCE)
    wait(deadline?.aborted ? LAST_PATIENCE : PATIENCE)
    deadline?.addEventListener('abort', hurry)
    const end = (): void => {
      clock.clearTimeout(timer)
      deadline?.removeEventListener('abort', hurry)
    }
    void work.then(resolve, reject).finally(end)
  })
}
