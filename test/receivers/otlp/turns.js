import { performance } from 'node:perf_hooks'
import { clearInterval, setInterval } from 'node:timers'
import { appendFileSync, readFileSync } from 'node:fs'
import { defineComponent } from 'heka-pipeline'

/** Milliseconds between two looks. */
const INTERVAL = 5
/** Milliseconds below which a turn is not worth a line. */
const SHORT = 20

/**
 * Writes how long turns of the event loop take to a file, a line for each long one: when it ended, and its milliseconds. The time in which the
 * system gave the processor to others does not count.
 */
export default defineComponent({
  kind: 'processor',
  type: 'turns',
  signals: ['metrics', 'logs', 'traces'],
  summary: 'Measures the event loop.',
  config: { file: { doc: 'Where to write.', format: 'string', default: null } },
  examples: [{ title: 'One', yaml: 'turns: { file: /tmp/turns }' }],
  create: ({ config, onStop }) => {
    // Linux, fs/proc: nanoseconds that the thread has run.
    const running = () => Number(readFileSync('/proc/thread-self/schedstat', 'utf8').split(' ', 1)[0]) / 1e6
    let [before, ran] = [performance.now(), running()]
    const look = () => {
      const [now, runs] = [performance.now(), running()]
      const turn = Math.min(now - before - INTERVAL, runs - ran)
      if (turn > SHORT) appendFileSync(config.file, `${Date.now()} ${Math.round(turn)}\n`)
      ;[before, ran] = [now, runs]
    }
    let timer
    return (batch) => {
      if (timer === undefined) {
        timer = setInterval(look, INTERVAL)
        onStop(() => clearInterval(timer))
        ;[before, ran] = [performance.now(), running()]
      }
      return batch
    }
  },
})
