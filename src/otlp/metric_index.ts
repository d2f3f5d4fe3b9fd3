import type { Encoded } from './message.ts'
import type { Metric } from './metrics.ts'
import { scopeIdentity } from './resource.ts'
import type { Resource, Scope } from './resource.ts'
import { Spellings } from './spellings.ts'

/** The text that two metrics share exactly when they are to have one number. `schemaUrl` is that of the scope. */
export type Identify = (metric: Metric, resource: Resource, scope: Scope, schemaUrl: string) => string

const TOP = 0
const NONE = -1

/**
 * Numbers metrics by what `identify` says of them. Those that came as bytes are found again by the bytes of their resource, of
 * their scope, and of their name, description and unit, so that no text is made of them.
 */
export class MetricIndex {
  readonly #identify: Identify
  readonly #resources = new Spellings()
  /** By the resource, schema URLs too, since they stand behind the metrics and not in the scope. */
  readonly #scopes = new Spellings()
  readonly #metrics = new Spellings()
  /** The resource and scope that were asked for last, and the number of the scope. */
  #resource: Resource | undefined
  #scope: Scope | undefined
  #schemaUrl = ''
  #above = NONE
  /** When: each part must be known as asked for again. */
  #now = NaN

  constructor(identify: Identify) {
    this.#identify = identify
  }

  /** `now` is what `forget` asks for later. */
  numberOf(metric: Metric, resource: Resource, scope: Scope, schemaUrl: string, now: number): number {
    const { encoded, shape, renamed } = metric
    if (encoded === undefined || shape === undefined) {
      return this.numberOfIdentity(this.#identify(metric, resource, scope, schemaUrl), now)
    }
    if (resource !== this.#resource || scope !== this.#scope || schemaUrl !== this.#schemaUrl || now !== this.#now) {
      this.#above = this.#scopeOf(resource, scope, schemaUrl, now)
      this.#resource = resource
      this.#scope = scope
      this.#schemaUrl = schemaUrl
      this.#now = now
    }
    const owner = renamed === undefined ? this.#above : this.#owner(`${this.#above}\nname\n${renamed}`, now)
    const { view } = encoded.source
    const known = this.#metrics.find(owner, view, encoded.start, shape.headerEnd, now)
    if (known >= 0) return known
    const identity = this.#identify(metric, resource, scope, schemaUrl)
    return this.#metrics.add(owner, view, encoded.start, shape.headerEnd, identity, now)
  }

  /** Lets go of the request of the last metric. */
  end(): void {
    this.#resource = this.#scope = undefined
  }

  /** What `identify` said of the metric with a number. */
  identity(number: number): string {
    return this.#metrics.text(number)
  }

  /** The number of the metric of which `identify` says so. */
  numberOfIdentity(identity: string, now: number): number {
    return this.#metrics.numberOfText(identity, now)
  }

  /** Forgets what was not asked for since `before`. The numbers will be used again. */
  forget(before: number): void {
    this.end()
    this.#resources.forget(before)
    this.#scopes.forget(before)
    this.#metrics.forget(before)
  }

  #scopeOf(resource: Resource, scope: Scope, schemaUrl: string, now: number): number {
    const ofResource = find(this.#resources, TOP, resource.encoded, () => resource.attributes.identity, now)
    const owner = schemaUrl === '' ? ofResource : this.#owner(`${ofResource}\nschema\n${schemaUrl}`, now)
    return find(this.#scopes, owner, scope.encoded, () => `${ofResource}\n${scopeIdentity(scope, schemaUrl)}`, now)
  }

  /** An owner that is no resource or scope: none of those has a negative number. */
  #owner(text: string, now: number): number {
    return -1 - this.#scopes.numberOfText(text, now)
  }
}

function find(
  spellings: Spellings,
  owner: number,
  encoded: Encoded<object> | undefined,
  text: () => string,
  now: number,
): number {
  if (encoded === undefined) return spellings.numberOfText(text(), now)
  const { source, start, end } = encoded
  const known = spellings.find(owner, source.view, start, end, now)
  return known >= 0 ? known : spellings.add(owner, source.view, start, end, text(), now)
}
