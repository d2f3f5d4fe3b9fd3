import type { Encoded } from '../wire/lazy_message.ts'
import type { Metric } from './metric.ts'
import { MAX_ATTRIBUTES, NO_ROOM, TOO_LARGE } from '../common/remembered_bytes.ts'
import type { RememberedBytes } from '../common/remembered_bytes.ts'
import { scopeIdentity } from '../common/resource.ts'
import type { Resource, Scope } from '../common/resource.ts'
import { Spellings } from '../common/spellings.ts'

/** The resource and scope that metrics of a batch stand under. One index may look them up, once for all of the metrics. */
export interface Enclosing {
  readonly resource: Resource
  readonly scope: Scope
  /** That of the scope. */
  readonly schemaUrl: string
  /** As of the index, once it was asked. */
  number?: number
}

/** The text that two metrics share exactly when they are to have one number. */
export type Identify = (metric: Metric, enclosing: Enclosing) => string

const TOP = 0
const NONE = -1

/**
 * Numbers metrics by the result of `identify`. Metrics that came as bytes are found again by the bytes of their
 * resource, of their scope, and of their name, description and unit, so that no text is made of them.
 *
 * An owner whose bytes precede the key is a number of the level above; a negative one is the number of a part between
 * the two: the schema URL of a scope, which is not in its bytes but behind the metrics, or the other name of a metric.
 */
export class MetricIndex {
  readonly #identify: Identify
  readonly #resources: Spellings
  /** By resource, together with a schema URL. */
  readonly #schemas: Spellings
  readonly #scopes: Spellings
  /** By scope, together with a name. */
  readonly #names: Spellings
  readonly #metrics: Spellings

  /** `beside`: bytes that the owner of the numbers takes for each. */
  constructor(identify: Identify, remembered: RememberedBytes, beside = 0) {
    this.#identify = identify
    this.#resources = new Spellings(remembered)
    this.#schemas = new Spellings(remembered)
    this.#scopes = new Spellings(remembered)
    this.#names = new Spellings(remembered)
    this.#metrics = new Spellings(remembered, beside)
  }

  /** The number of a metric; `TOO_LARGE` or `NO_ROOM` where it is not known and is not to be remembered. */
  numberOf(metric: Metric, enclosing: Enclosing): number {
    // Name and unit are read only of what is new: that takes far longer than to look up their bytes.
    const { encoded, layout, renamed } = metric
    if (encoded === undefined || layout === undefined) {
      const { resource, scope, schemaUrl } = enclosing
      const texts = [metric.name, metric.unit, schemaUrl, resource.attributes.identity, ...textsOf(scope)]
      return isTooLarge(...texts) ? TOO_LARGE : this.numberOfIdentity(this.#identify(metric, enclosing))
    }
    enclosing.number ??= this.#scopeOf(enclosing)
    const above = renamed === undefined ? enclosing.number : between(this.#names, enclosing.number, renamed)
    // What has no room for its resource may be known all the same.
    if (above === NO_ROOM) return this.numberOfIdentity(this.#identify(metric, enclosing))
    if (above < 0) return above
    const owner = renamed === undefined ? above : -1 - above
    const { view } = encoded.source
    const known = this.#metrics.find(owner, view, encoded.start, layout.headerEnd)
    if (known >= 0) return known
    if (isTooLarge(metric.name, metric.unit)) return TOO_LARGE
    const identity = this.#identify(metric, enclosing)
    return this.#metrics.add(owner, view, encoded.start, layout.headerEnd, identity)
  }

  /** What `identify` said of the metric with a number. */
  identity(number: number): string {
    return this.#metrics.text(number)
  }

  /** The number of the metric with this result of `identify`; or `NO_ROOM`. */
  numberOfIdentity(identity: string): number {
    return this.#metrics.numberOfText(identity)
  }

  /** Forgets the metrics that are not among these. The numbers will be used again: not to be called within a batch. */
  keep(metrics: ReadonlySet<number>): void {
    const { above: scopes, between: names } = divided(this.#metrics.keep(metrics))
    this.#names.keep(names)
    for (const name of names) scopes.add(aboveIn(this.#names.text(name)))
    const { above: resources, between: schemas } = divided(this.#scopes.keep(scopes))
    this.#schemas.keep(schemas)
    for (const schema of schemas) resources.add(aboveIn(this.#schemas.text(schema)))
    for (const scope of scopes) resources.add(aboveIn(this.#scopes.text(scope)))
    this.#resources.keep(resources)
  }

  #scopeOf({ resource, scope, schemaUrl }: Enclosing): number {
    const ofResource = find(this.#resources, TOP, resource.encoded, () => [resource.attributes.identity])
    const above = schemaUrl === '' ? ofResource : between(this.#schemas, ofResource, schemaUrl)
    if (above < 0) return above
    const owner = schemaUrl === '' ? above : -1 - above
    const texts = (): string[] => textsOf(scope)
    return find(this.#scopes, owner, scope.encoded, texts, () => `${ofResource}\n${scopeIdentity(scope, schemaUrl)}`)
  }
}

/** The number of the bytes from `start` to `end`, below `owner`, whose `texts` are the parts of `text`. */
function find(
  spellings: Spellings,
  owner: number,
  encoded: Encoded<object> | undefined,
  texts: () => string[],
  text = () => texts().join('\n'),
): number {
  const known = encoded === undefined ? NONE : spellings.find(owner, encoded.source.view, encoded.start, encoded.end)
  if (known >= 0) return known
  if (isTooLarge(...texts())) return TOO_LARGE
  if (encoded === undefined) return spellings.numberOfText(text())
  return spellings.add(owner, encoded.source.view, encoded.start, encoded.end, text())
}

/** The number of a text below another number, which may say that there is none. */
function between(spellings: Spellings, above: number, text: string): number {
  if (above < 0) return above
  return isTooLarge(text) ? TOO_LARGE : spellings.numberOfText(`${above}\n${text}`)
}

/** The number with which a text begins. */
function aboveIn(text: string): number {
  return Number.parseInt(text, 10)
}

/** Owners by their identity. */
function divided(owners: ReadonlySet<number>): { above: Set<number>; between: Set<number> } {
  const all = [...owners]
  return {
    above: new Set(all.filter((owner) => owner >= 0)),
    between: new Set(all.filter((owner) => owner < 0).map((owner) => -1 - owner)),
  }
}

function textsOf({ name, version, attributes }: Scope): string[] {
  return [name, version, attributes.identity]
}

function isTooLarge(...texts: readonly string[]): boolean {
  return texts.some(({ length }) => length > MAX_ATTRIBUTES)
}
