import { closeSync, writeSync } from 'node:fs'
import { Session } from 'node:inspector'
import { createRequire } from 'node:module'
import { parentPort, workerData } from 'node:worker_threads'
import { isOwn, placesOf } from '../process_exit.ts'
import { visible } from '../text/terminal.ts'
import { ExitCode } from './exit.ts'

/*
 * The thread of the watchdog. It imports little, because it takes memory as long as the process lives.
 */

/** Milliseconds that the process has after `service.shutdown_timeout`; it needs less than three. */
const GRACE = 5000

/** Milliseconds that the main thread has to answer. */
const PATIENCE = 2000

const port = parentPort!
let timeout = 0
let came: number | undefined
let answered = (): void => undefined

port.on('message', (message: number | undefined) => {
  if (message === undefined) answered()
  else timeout = message
})

/**
 * Node passes signals to the main thread alone; its mechanism works in any thread, and is there in one that is started with
 * `--expose-internals`.
 */
const { internalBinding } = createRequire(import.meta.url)('internal/test/binding') as {
  internalBinding: (name: 'signal_wrap') => { Signal: new () => SignalHandle }
}
const { Signal } = internalBinding('signal_wrap')

interface SignalHandle {
  onsignal: () => void
  start(number: number): void
}

for (const number of [2, 15]) {
  const handle = new Signal()
  handle.onsignal = () => {
    // A second one ends the process at once.
    wait(came === undefined ? timeout + GRACE : 0, ask)
    came ??= now()
  }
  handle.start(number)
}

// From now on signals are received.
port.postMessage(undefined)

/** Ends the process unless the main thread makes progress, until that has ended it. */
function ask(): void {
  const late = wait(PATIENCE, end)
  answered = () => {
    stopWaiting(late)
    answered = () => undefined
    wait(PATIENCE, ask)
  }
  port.postMessage(undefined)
}

/** Makes the main thread report its position and end the process; if it cannot even do that, as in a system call, kills the process. */
function end(): void {
  let said = false
  const say = (stack = ''): void => {
    if (said) return
    said = true
    const since = Math.round((now() - came!) / 1000)
    const message = `A signal came ${since} s ago, and a call that does not end keeps the process from stopping${whereIn(stack)}. The process ends now; data that waits only in memory is lost.`
    writeSync(2, `heka-pipeline: ${visible(message)}\n`)
  }
  wait(PATIENCE, () => {
    say()
    process.kill(process.pid, 'SIGKILL')
  })
  const session = new Session()
  session.connectToMainThread()
  session.post('Runtime.evaluate', { expression: 'new Error().stack' }, (_error, answer) => {
    say(String(answer?.result.value))
    // Node would print there that it waits for the debugger.
    closeSync(2)
    session.post('Runtime.evaluate', { expression: `process.reallyExit(${ExitCode.software})` })
  })
}

/** The position in a component, if the stack has one; otherwise the component that was called last, which may not be the cause. */
function whereIn(stack: string): string {
  const places = placesOf(stack)
  const place = places.find((each) => !isOwn(each))
  if (place !== undefined) return `: ${place.file}${place.position}`
  const called = new Uint8Array(workerData as SharedArrayBuffer)
  const name = new TextDecoder().decode(called.slice(0, called.indexOf(0)))
  if (name !== '') return `; the component that was called last is ${name}`
  return places.length === 0 ? '' : `: ${places[0].file}${places[0].position}`
}

/* The movable clock would load RxJS here, and no test moves the time in this thread. */
/* eslint-disable no-restricted-globals, no-restricted-properties */

function wait(milliseconds: number, act: () => void): NodeJS.Timeout {
  return setTimeout(act, milliseconds)
}

function stopWaiting(timer: NodeJS.Timeout): void {
  clearTimeout(timer)
}

function now(): number {
  return performance.now()
}
