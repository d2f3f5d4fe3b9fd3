import type { Worker } from 'node:worker_threads'
import { lastCalled } from '../pipeline/modules/last_called.ts'
import { customModules } from '../pipeline/modules/load.ts'
import type { ServiceConfig } from '../pipeline/config/settings.ts'

/**
 * Makes a watchdog that ends the process after a signal to stop although a component blocks it, for example with an
 * endless loop: a thread that also receives the signals. It takes 10 MiB, so it only runs if a component is not of this
 * package. Resolves when the thread can receive signals, or if it never will.
 */
export function watchdog(): (service: Pick<ServiceConfig, 'shutdown_timeout'>) => Promise<void> {
  let thread: Worker | undefined
  let hears = Promise.resolve()
  return async ({ shutdown_timeout: timeout }) => {
    if (thread === undefined && customModules().length > 0) {
      // It takes 2 MiB, which most processes do not need.
      const { Worker } = await import('node:worker_threads')
      const started = new Worker(new URL('../cli/watchdog_thread.js', import.meta.url), {
        // Node would warn that its internals are for tests.
        ...{ execArgv: ['--expose-internals', '--no-warnings'], env: {} },
        workerData: lastCalled,
      })
      thread = started
      hears = new Promise<void>((resolve) => started.once('message', () => resolve()).once('error', () => resolve()))
      // From now on it checks whether this thread makes progress.
      started.on('message', () => started.postMessage(undefined))
      void hears.then(() => started.unref())
    }
    thread?.postMessage(timeout)
    await hears
  }
}
