import { Worker } from 'node:worker_threads'
import type { Context } from '../../component/context.ts'
import { errorMessage } from '../../errors.ts'
import type { Batch, Signal } from '../../otlp/signal.ts'
import { signals } from '../../otlp/signals.ts'
import { MalformedError } from '../../otlp/wire/check.ts'
import type { Timer } from '../../time/clock.ts'
import { busy } from './refusal.ts'

/** A body in OTLP/JSON, and the most messages that it may hold. */
export interface Question {
  readonly signal: Signal
  readonly body: Uint8Array
  readonly maxMessages: number
}

/** The same in protobuf, or the reason why it cannot be read. */
export type Answer = { readonly bytes: Uint8Array } | { readonly message: string; readonly isMalformed: boolean }

interface Asked {
  readonly resolve: (bytes: Uint8Array) => void
  readonly reject: (error: unknown) => void
}

/** The size in bytes from which a body is large: reading that much takes some 10 ms, and 30 MB take 250. */
export const LARGE = 1024 * 1024

/** Milliseconds without a large body after which the thread ends. */
const IDLE = 30_000

/**
 * Reads large bodies of OTLP/JSON in a thread, in order of arrival, so that other work has turns meanwhile. The thread
 * starts with the first such body, takes some 20 MiB and does not keep the process alive.
 */
export class LargeJson {
  #thread: Worker | undefined
  /** Questions that the thread has not answered, oldest first. */
  readonly #asked: Asked[] = []
  #idle: Timer | undefined

  /** @param file that of the thread, once built */
  constructor(
    private readonly file: URL,
    private readonly context: Pick<Context, 'clock' | 'log'>,
  ) {}

  /**
   * The body must not be used any more: if it has a buffer of its own, that moves to the thread.
   * @throws MalformedError @throws Refusal if the thread ends
   */
  async read(signal: Signal, body: Buffer, maxMessages: number): Promise<Batch> {
    this.context.clock.clearTimeout(this.#idle)
    const buffer = body.buffer as ArrayBuffer
    const question: Question = { signal, body, maxMessages }
    const answered = new Promise<Uint8Array>((resolve, reject) => this.#asked.push({ resolve, reject }))
    try {
      this.#thread ??= this.#start()
      this.#thread.postMessage(question, buffer.byteLength === body.length ? [buffer] : [])
    } catch (error) {
      this.#fail(error)
    }
    return signals[signal].fromOtlp(await answered)
  }

  /** Ends the thread. Called when everything is answered; may be called again. */
  async end(): Promise<void> {
    this.context.clock.clearTimeout(this.#idle)
    const thread = this.#thread
    this.#thread = undefined
    await thread?.terminate()
  }

  #start(): Worker {
    const thread = new Worker(this.file, { execArgv: [], env: {} })
    thread.unref()
    thread.on('message', (answer: Answer) => this.#answer(answer))
    const fail = (error: unknown): void => {
      if (this.#thread === thread) this.#fail(error)
    }
    thread.on('error', fail).on('exit', (code) => fail(new Error(`it exited with ${code}`)))
    return thread
  }

  #answer(answer: Answer): void {
    const { resolve, reject } = this.#asked.shift()!
    if ('bytes' in answer) resolve(answer.bytes)
    else reject(new (answer.isMalformed ? MalformedError : Error)(answer.message))
    if (this.#asked.length > 0) return
    this.#idle = this.context.clock.setTimeout(() => void this.end(), IDLE).unref()
  }

  /** The thread cannot go on; the next body gets another one. */
  #fail(error: unknown): void {
    void this.end()
    this.context.log.error('The thread that reads large OTLP/JSON requests failed; its requests are refused.', {
      error: errorMessage(error),
    })
    for (const { reject } of this.#asked.splice(0)) reject(busy('The request cannot be read at the moment.'))
  }
}
