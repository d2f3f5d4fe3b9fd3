import type { Context } from '../../component.ts'
import { Linked, LinkedList } from '../../linked_list.ts'
import { busy } from './refusal.ts'
import type { Refusal } from './refusal.ts'

/** A request in hand. */
export class Admitted extends Linked<Admitted> {
  /** Bytes that are counted for it. */
  held = 0
  hasLeft = false
  /** Called when it has to go before its body is complete. Set by who reads the body. */
  giveWay: (refusal: Refusal) => void = () => undefined
}

/**
 * Bounds the bytes of all requests in memory, from the first byte of a body until the request is answered. Where there is
 * no room, the body that has been on its way longest gives way: clients that trickle never keep the others out. While the memory of
 * the process is short, all of them do.
 */
export class Admission {
  #held = 0
  /** How many there are. */
  #admitted = 0
  /** Those whose bodies are not complete. */
  readonly #incoming = new LinkedList<Admitted>()
  #whenIdle: (() => void) | undefined

  /** @param limit bytes */
  constructor(
    private readonly limit: number,
    private readonly memoryIsShort: Context['memoryIsShort'],
  ) {}

  /** A request has begun. Every one that is admitted has to `leave`. */
  admit(): Admitted {
    const admitted = new Admitted()
    this.#admitted += 1
    this.#incoming.add(admitted)
    return admitted
  }

  /**
   * The request holds that many bytes now, at first none; those that are on their way longest make room for it.
   * @throws Refusal when there is none
   */
  hold(admitted: Admitted, bytes: number): void {
    if (this.memoryIsShort(bytes - admitted.held)) {
      this.#count(admitted, 0)
      this.#incoming.remove(admitted)
      this.refuseIncoming(short())
      throw short()
    }
    this.#count(admitted, bytes)
    for (const oldest of this.#incoming) {
      if (this.#held <= this.limit || oldest === admitted) break
      this.#refuse(oldest, full())
    }
    if (this.#held <= this.limit) return
    this.#count(admitted, 0)
    throw full()
  }

  /** Bytes of a refused request have come, and are thrown away: garbage is memory, too. */
  discard(bytes: number): void {
    this.memoryIsShort(bytes)
  }

  /** The body is complete: the request no longer gives way. */
  arrived(admitted: Admitted): void {
    this.#incoming.remove(admitted)
  }

  /** The request has been answered, or its client is gone. May be called again. */
  leave(admitted: Admitted): void {
    this.#count(admitted, 0)
    this.#incoming.remove(admitted)
    if (admitted.hasLeft) return
    admitted.hasLeft = true
    this.#admitted -= 1
    if (this.#admitted === 0) this.#whenIdle?.()
  }

  /** Refuses every request whose body is not complete. */
  refuseIncoming(refusal: Refusal): void {
    for (const incoming of this.#incoming) this.#refuse(incoming, refusal)
  }

  /** Resolves when every request has left. */
  idle(): Promise<void> {
    return new Promise((resolve) => {
      this.#whenIdle = resolve
      if (this.#admitted === 0) resolve()
    })
  }

  #count(admitted: Admitted, bytes: number): void {
    this.#held += bytes - admitted.held
    admitted.held = bytes
  }

  #refuse(incoming: Admitted, refusal: Refusal): void {
    this.#incoming.remove(incoming)
    this.#count(incoming, 0)
    incoming.giveWay(refusal)
  }
}

function short(): Refusal {
  return busy('Memory is short.')
}

function full(): Refusal {
  return busy('Too many requests are in memory already.')
}
