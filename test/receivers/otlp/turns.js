import { performance, PerformanceObserver } from 'node:perf_hooks'
import { clearInterval, setInterval } from 'node:timers'
import { appendFileSync, readFileSync } from 'node:fs'
import { defineComponent } from 'heka-pipeline'

/** Milliseconds between two looks. */
const INTERVAL = 5
/** Milliseconds below which a turn is not worth a line. */
const SHORT = 20

/**
 * Writes how long turns of the event loop take to a file, a line for each long one: when it ended, its milliseconds, and how many of them the
 * garbage collector took. The time in which the system gave the processor to others does not count.
 */
export default defineComponent({
  kind: 'processor',
  type: 'turns',
  summary: 'Measures the event loop.',
  config: { file: { doc: 'Where to write.', format: 'string', default: null } },
  examples: [{ title: 'One', yaml: 'turns: { file: /tmp/turns }' }],
  create: ({ config, onStop }) => {
    // Linux, fs/proc: nanoseconds that the thread has run.
    const running = () => Number(readFileSync('/proc/thread-self/schedstat', 'utf8').split(' ', 1)[0]) / 1e6
    let collected = 0
    const collections = new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) collected += duration
    })
    let [before, ran] = [performance.now(), running()]
    const look = () => {
      const [now, runs] = [performance.now(), running()]
      const turn = Math.min(now - before - INTERVAL, runs - ran)
      for (const { duration } of collections.takeRecords()) collected += duration
      if (turn > SHORT) appendFileSync(config.file, `${Date.now()} ${Math.round(turn)} ${Math.round(collected)}\n`)
      collected = 0
      ;[before, ran] = [now, runs]
    }
    let timer
    return (batch) => {
      if (timer === undefined) {
        collections.observe({ entryTypes: ['gc'] })
        timer = setInterval(look, INTERVAL)
        onStop(() => {
          clearInterval(timer)
          collections.disconnect()
        })
        ;[before, ran] = [performance.now(), running()]
      }
      return batch
    }
  },
})
