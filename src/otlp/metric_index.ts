import { BytesIndex, grown } from './bytes_index.ts'
import { viewOf } from './message.ts'
import type { Encoded } from './message.ts'
import type { Metric } from './metrics.ts'
import type { Resource, Scope } from './resource.ts'

interface Known {
  readonly number: number
  seen: number
}

/** The owner of what has none above it. */
const TOP = -1
const UNKNOWN = -1

/**
 * Numbers metrics by what `identify` says of them. A metric that came as bytes is found again by those of its resource,
 * its scope, and its name, description and unit, so that no text is made of them.
 */
export class MetricIndex {
  readonly #identify: (metric: Metric, resource: Resource, scope: Scope) => string
  readonly #byIdentity = new Map<string, Known>()
  /** By number. */
  readonly #identities: string[] = []
  readonly #free: number[] = []
  /** Resources, scopes below them, and metrics below those, as their bytes. */
  readonly #parts = new BytesIndex()
  /** By part: the number of the metric it is, and when it was asked for. */
  #numbers = new Int32Array(64)
  #seen = new Float64Array(64)
  /** The resource and scope that were asked for last, and the part they are. */
  #resource: Resource | undefined
  #scope: Scope | undefined
  #above = UNKNOWN
  /** When: each of its parts must be known as asked for again. */
  #now = NaN

  constructor(identify: (metric: Metric, resource: Resource, scope: Scope) => string) {
    this.#identify = identify
  }

  /** `now` is what `forget` asks for later. */
  numberOf(metric: Metric, resource: Resource, scope: Scope, now: number): number {
    const { encoded, shape, renamed } = metric
    if (encoded === undefined || shape === undefined) return this.#identified(metric, resource, scope, now)
    if (resource !== this.#resource || scope !== this.#scope || now !== this.#now) {
      const ofResource = this.#partOf(TOP, resource.encoded, () => resource.attributes.identity, now)
      this.#above = this.#partOf(ofResource, scope.encoded, () => `${scope.name}\n${scope.version}`, now)
      this.#resource = resource
      this.#scope = scope
      this.#now = now
    }
    // No part has a negative number, so that a new name is not taken for a metric.
    const owner = renamed === undefined ? this.#above : this.#partOfText(TOP - 1 - this.#above, renamed, now)
    const part = this.#part(owner, encoded.source.view, encoded.start, shape.headerEnd, now)
    const number = this.#numbers[part]
    // Its identity must stay known as long as it does.
    if (number === UNKNOWN) return (this.#numbers[part] = this.#identified(metric, resource, scope, now))
    return number
  }

  /** Lets go of the request of the last metric. */
  end(): void {
    this.#resource = this.#scope = undefined
  }

  /** What `identify` said of the metric with a number. */
  identity(number: number): string {
    return this.#identities[number]
  }

  /** The number of the metric of which `identify` says so. */
  numberOfIdentity(identity: string, now: number): number {
    let known = this.#byIdentity.get(identity)
    if (known === undefined) {
      known = { number: this.#free.pop() ?? this.#byIdentity.size, seen: now }
      this.#byIdentity.set(identity, known)
      this.#identities[known.number] = identity
    }
    known.seen = now
    return known.number
  }

  /** Forgets what was not asked for since `before`. The numbers will be given anew. */
  forget(before: number): void {
    this.end()
    const alive = new Set<number>()
    this.#parts.forget((part) => {
      if (this.#seen[part] < before) return true
      alive.add(this.#numbers[part])
      return false
    })
    for (const [key, { number, seen }] of this.#byIdentity) {
      if (seen >= before || alive.has(number)) continue
      this.#byIdentity.delete(key)
      this.#free.push(number)
      this.#identities[number] = ''
    }
  }

  #partOf(owner: number, encoded: Encoded<object> | undefined, text: () => string, now: number): number {
    if (encoded === undefined) return this.#partOfText(owner, text(), now)
    return this.#part(owner, encoded.source.view, encoded.start, encoded.end, now)
  }

  #partOfText(owner: number, text: string, now: number): number {
    const bytes = Buffer.from(text)
    return this.#part(owner, viewOf(bytes), 0, bytes.length, now)
  }

  #part(owner: number, view: DataView, start: number, end: number, now: number): number {
    let part = this.#parts.find(owner, view, start, end)
    if (part < 0) {
      part = this.#parts.add(owner, view, start, end)
      if (part >= this.#numbers.length) {
        this.#numbers = grown(this.#numbers)
        this.#seen = grown(this.#seen)
      }
      this.#numbers[part] = UNKNOWN
    }
    this.#seen[part] = now
    return part
  }

  #identified(metric: Metric, resource: Resource, scope: Scope, now: number): number {
    return this.numberOfIdentity(this.#identify(metric, resource, scope), now)
  }
}
