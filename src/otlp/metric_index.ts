import type { Metric } from './metrics.ts'
import type { Resource, Scope } from './resource.ts'

interface Known {
  readonly number: number
  seen: number
}

/**
 * Numbers metrics by what `identify` says of them. A metric that came as bytes is found again by those of its resource,
 * scope, name, description and unit, of which no text is made then.
 */
export class MetricIndex {
  readonly #identify: (metric: Metric, resource: Resource, scope: Scope) => string
  readonly #byIdentity = new Map<string, Known>()
  readonly #byBytes = new Map<string, Map<string, Known>>()
  readonly #free: number[] = []
  /** The resource and scope that were asked for last, and what is known below them. */
  #resource: Resource | undefined
  #scope: Scope | undefined
  #below = new Map<string, Known>()

  constructor(identify: (metric: Metric, resource: Resource, scope: Scope) => string) {
    this.#identify = identify
  }

  /** `now` is what `forget` asks for later. */
  numberOf(metric: Metric, resource: Resource, scope: Scope, now: number): number {
    const { encoded, shape } = metric
    if (encoded === undefined || shape === undefined) return this.#identified(metric, resource, scope, now).number
    if (resource !== this.#resource || scope !== this.#scope) {
      this.#resource = resource
      this.#scope = scope
      const above = `${resourceKey(resource)}\n${scopeKey(scope)}`
      this.#below = this.#byBytes.get(above) ?? new Map<string, Known>()
      this.#byBytes.set(above, this.#below)
    }
    const header = encoded.source.bytes.toString('latin1', encoded.start, shape.headerEnd)
    const key = metric.renamed === undefined ? header : `${metric.renamed}\n${header}`
    let known = this.#below.get(key)
    if (known === undefined) this.#below.set(key, (known = this.#identified(metric, resource, scope, now)))
    known.seen = now
    return known.number
  }

  /** Forgets what was not asked for since `before`. The numbers will be given anew. */
  forget(before: number): void {
    this.#resource = this.#scope = undefined
    for (const [above, below] of this.#byBytes) {
      for (const [key, { seen }] of below) if (seen < before) below.delete(key)
      if (below.size === 0) this.#byBytes.delete(above)
    }
    for (const [key, { number, seen }] of this.#byIdentity) {
      if (seen >= before) continue
      this.#byIdentity.delete(key)
      this.#free.push(number)
    }
  }

  #identified(metric: Metric, resource: Resource, scope: Scope, now: number): Known {
    const key = this.#identify(metric, resource, scope)
    let known = this.#byIdentity.get(key)
    if (known === undefined) {
      known = { number: this.#free.pop() ?? this.#byIdentity.size, seen: now }
      this.#byIdentity.set(key, known)
    }
    known.seen = now
    return known
  }
}

function resourceKey({ encoded, attributes }: Resource): string {
  return encoded === undefined ? attributes.identity : latin1(encoded)
}

function scopeKey(scope: Scope): string {
  return scope.encoded === undefined ? `${scope.name}\n${scope.version}` : latin1(scope.encoded)
}

function latin1({ source, start, end }: { source: { bytes: Buffer }; start: number; end: number }): string {
  return source.bytes.toString('latin1', start, end)
}
