import type { ReceiverContext } from '../../component/context.ts'
import { Linked, LinkedList } from '../../linked_list.ts'
import { busy } from './refusal.ts'
import type { Refusal } from './refusal.ts'

/** Seconds that a client may take to read its answer. */
const ANSWER_TIMEOUT = 10

/** The factor by which a byte of a body counts: when memory comes and goes in pieces, the allocator and the garbage collector keep more. */
const BYTE = 1.5

/** A request in progress. */
export class Admitted extends Linked<Admitted> {
  /** Bytes that are counted for it. */
  counted = 0
  /** When it was answered, in seconds of the admission. */
  answeredAt: number | undefined
  hasLeft = false
  /** Whether it had to give way before its body was complete. */
  gaveWay = false
  /** Called when it has to give way before its body is complete. Set by the code that reads the body. */
  giveWay: (refusal: Refusal) => void = () => undefined
  /** Closes the stream or connection whose client does not take the answer. Called again if it is still there a second later. */
  giveUp: () => void = () => undefined

  /** @param overhead bytes that it takes in addition to its body until it has left */
  constructor(readonly overhead: number) {
    super()
  }
}

/**
 * Limits the bytes of all requests in memory. A body counts from its first byte until the fate of its data is known,
 * the rest of a request until its answer has been sent. If there is no room, the request that has waited longest for
 * its client gives way, whether for the rest of a body or for an answer to be taken: slow clients never keep the others
 * out. While the memory of the process is short, all requests with incomplete bodies give way.
 */
export class Admission {
  #counted = 0
  /** The number of requests that have not been answered. */
  #unanswered = 0
  /** The number of requests that were answered and whose answers have not been sent. */
  #answered = 0
  /** The requests that wait for their clients. */
  readonly #waiting = new LinkedList<Admitted>()
  #whenAnswered: (() => void) | undefined
  #whenIdle: (() => void) | undefined
  #seconds = 0

  /** @param limit bytes */
  constructor(
    private readonly limit: number,
    private readonly memoryIsShort: ReceiverContext['memoryIsShort'],
  ) {}

  /** A request has begun. Every admitted request has to be `answered` and to `leave`, in either order. */
  admit(overhead: number): Admitted {
    const admitted = new Admitted(overhead)
    this.#unanswered += 1
    this.#waiting.add(admitted)
    return admitted
  }

  /**
   * The body of the request now takes this many bytes, none at first; the requests that have waited longest make room
   * for it. A request that is alone always has room.
   * @throws Refusal if there is none
   */
  hold(admitted: Admitted, bytes: number): void {
    const before = admitted.counted
    this.#count(admitted, admitted.overhead + bytes * BYTE)
    if (this.memoryIsShort(admitted.counted - before)) {
      this.#count(admitted, 0)
      this.#waiting.remove(admitted)
      this.refuseIncoming(short())
      throw short()
    }
    if (this.#counted <= this.limit || this.#makeRoom(admitted) || this.#counted === admitted.counted) return
    this.#count(admitted, 0)
    throw full()
  }

  /** Bytes of a refused request have come, and are discarded: garbage is memory, too. */
  discard(bytes: number): void {
    this.memoryIsShort(bytes)
  }

  /** The body is complete: the request no longer gives way. */
  arrived(admitted: Admitted): void {
    this.#waiting.remove(admitted)
  }

  /** The fate of its data is known, and only its answer is left. May be called again. */
  answered(admitted: Admitted): void {
    if (admitted.answeredAt !== undefined) return
    admitted.answeredAt = this.#seconds
    this.#waiting.remove(admitted)
    if (admitted.hasLeft) this.#count(admitted, 0)
    else {
      this.#count(admitted, admitted.overhead)
      this.#waiting.add(admitted)
      this.#answered += 1
    }
    this.#unanswered -= 1
    if (this.#unanswered === 0) this.#whenAnswered?.()
  }

  /** Its answer has been sent, or its client is gone; then its data counts until its fate is known. May be called again. */
  leave(admitted: Admitted): void {
    if (admitted.hasLeft) return
    admitted.hasLeft = true
    if (admitted.answeredAt === undefined) return
    this.#count(admitted, 0)
    this.#waiting.remove(admitted)
    this.#answered -= 1
    if (this.#answered === 0) this.#whenIdle?.()
  }

  /** To be called every second: abandons answers that were not taken within `timeout` seconds. */
  tick(timeout = ANSWER_TIMEOUT): void {
    this.#seconds += 1
    for (const waiting of this.#waiting) {
      if (waiting.answeredAt !== undefined && this.#seconds - waiting.answeredAt >= timeout) this.#giveUp(waiting)
    }
  }

  /** Refuses every request whose body is not complete. */
  refuseIncoming(refusal: Refusal): void {
    for (const waiting of this.#waiting) if (waiting.answeredAt === undefined) this.#refuse(waiting, refusal)
  }

  /** Resolves when the fate of every request is known. */
  allAnswered(): Promise<void> {
    return new Promise((resolve) => {
      this.#whenAnswered = resolve
      if (this.#unanswered === 0) resolve()
    })
  }

  /** Resolves when every answer has been sent. */
  idle(): Promise<void> {
    return new Promise((resolve) => {
      this.#whenIdle = resolve
      if (this.#answered === 0) resolve()
    })
  }

  /** Returns whether there is room now. */
  #makeRoom(admitted: Admitted): boolean {
    for (const oldest of this.#waiting) {
      if (oldest === admitted) break
      if (oldest.answeredAt === undefined) this.#refuse(oldest, full())
      else if (oldest.counted > 0) this.#giveUp(oldest)
      if (this.#counted <= this.limit) return true
    }
    return false
  }

  #count(admitted: Admitted, bytes: number): void {
    this.#counted += bytes - admitted.counted
    admitted.counted = bytes
  }

  #refuse(incoming: Admitted, refusal: Refusal): void {
    this.#waiting.remove(incoming)
    this.#count(incoming, 0)
    incoming.gaveWay = true
    incoming.giveWay(refusal)
  }

  #giveUp(answered: Admitted): void {
    this.#count(answered, 0)
    answered.giveUp()
  }
}

function short(): Refusal {
  return busy('Memory is short.')
}

function full(): Refusal {
  return busy('Too many requests are in memory already.')
}
