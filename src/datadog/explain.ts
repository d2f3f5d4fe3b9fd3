import type { ExplainedTag, ExplainedValue, Explanation } from '../component/explain.ts'
import { anyValueText } from '../otlp/common/attributes.ts'
import type { Attributes } from '../otlp/common/attributes.ts'
import { MetricBatch } from '../otlp/metrics/batch.ts'
import { ResourceMetrics } from '../otlp/metrics/metric.ts'
import type { Scope } from '../otlp/common/resource.ts'
import { sourcesOf } from './agent_metrics.ts'
import { hostChoice, hostChooser, overridingHost, resolveHost } from './host.ts'
import type { HostSettings, Resolution } from './host.ts'
import { normalizeTag } from './names.ts'
import { namesHost, tagKey } from './resource_attributes.ts'
import { splitTag } from './tags.ts'

/** How an exporter assigns hosts and tags. */
interface Tagging extends HostSettings {
  readonly tags: readonly string[]
  /** Whether a resource attribute becomes a tag. */
  readonly chosen: (attribute: string) => boolean
  /** The changes to the resources of a prepared batch. */
  readonly finish: (prepared: MetricBatch) => MetricBatch
  /** The tags of such a resource, by key. */
  readonly tagsOf: (finished: Attributes) => ReadonlyMap<string, { readonly value: string; readonly attribute: string }>
  /** The tags of a scope, by key. */
  readonly scopeTags: (scope: Scope) => ReadonlyMap<string, string>
}

/** Explains which host and tags the data of a batch gets, and why. */
export class TagOrigins {
  readonly #tagging: Tagging
  readonly #hostname: string | undefined
  readonly #ownKeys: ReadonlySet<string>
  /** The attributes of each resource: as they came, and when finished. */
  readonly #resources: readonly (readonly [received: Attributes, finished: Attributes])[]
  /** By the identity of finished attributes. */
  readonly #rules = new Map<string, string>()

  constructor(received: MetricBatch, tagging: Tagging) {
    this.#tagging = tagging
    this.#hostname = overridingHost(tagging)
    this.#ownKeys = new Set(tagging.tags.map((tag) => splitTag(tag)[0]))
    const resources = MetricBatch.fromResources(
      received.resources.map(({ resource }) => new ResourceMetrics({ resource })),
    )
    const finished = attributesOf(tagging.finish(hostChooser(tagging)(resources)))
    this.#resources = attributesOf(resources).map((attributes, index) => [attributes, finished[index]])
    const choose = hostChoice(tagging)
    for (const [attributes, { identity }] of this.#resources) {
      this.#rules.set(identity, choose(attributes)?.rule ?? resolveHost(attributes).rule)
    }
  }

  /** The host of a data point; `resource` is finished. */
  hostOf(resource: Attributes, point: Attributes): Resolution {
    if (this.#hostname !== undefined) return { host: this.#hostname, rule: "the exporter's hostname" }
    const own = point.text('host')
    if (own !== undefined) return { host: own, rule: 'host, of the data point' }
    const { host, rule } = resolveHost(resource)
    return { host, rule: this.#rules.get(resource.identity) ?? rule }
  }

  /** The tags of a finished resource, by key. */
  tagsOf(resource: Attributes): ReadonlyMap<string, ExplainedTag> {
    return new Map(
      [...this.#tagging.tagsOf(resource)].map(([key, { value, attribute }]) => {
        const from = this.#ownKeys.has(attribute) ? "the exporter's tags" : `resource attribute ${attribute}`
        return [key, { tag: normalizeTag(key, value), from }]
      }),
    )
  }

  /** The tags of a scope. */
  scopeTagsOf(scope: Scope): readonly ExplainedTag[] {
    return Array.from(this.#tagging.scopeTags(scope), ([key, value]) => {
      return { tag: normalizeTag(key, value), from: SCOPE_FIELDS.get(key) ?? `scope attribute ${key}` }
    })
  }

  /** The resource attributes that do not become tags. */
  notSent(): Explanation['notSent'] {
    const left = new Map<string, Explanation['notSent'][number]>()
    for (const [received, finished] of this.#resources) {
      const tags = this.#tagging.tagsOf(finished)
      const sent = new Set(Array.from(tags.values(), ({ attribute }) => attribute))
      for (const attribute of received.keys()) {
        const value = received.text(attribute) ?? ''
        if (sent.has(attribute) && finished.text(attribute) === value) continue
        const reason = this.#reason(attribute, value, finished, tags.get(tagKey(attribute))?.attribute)
        left.set(`${attribute}\n${reason}`, { attribute, value, reason })
      }
    }
    return [...left.values()]
  }

  #reason(attribute: string, value: string, finished: Attributes, winner: string | undefined): string {
    const key = tagKey(attribute)
    if (this.#ownKeys.has(attribute) || this.#ownKeys.has(key)) return `the exporter's tags have ${key}`
    if (!this.#tagging.chosen(attribute)) return 'left out by resource_attributes'
    if (finished.text(attribute) !== value) return 'the exporter chooses another host'
    if (attribute === 'host' || namesHost(attribute, value, resolveHost(finished).host)) return 'is the host, not a tag'
    if (attribute.startsWith('datadog.host.')) return 'names the host, and is not sent as a tag'
    return winner === undefined ? 'is empty' : `the tag ${key} comes from ${winner}`
  }
}

/** The sources of a scope's tags that are not attributes. */
const SCOPE_FIELDS: ReadonlyMap<string, string> = new Map([
  ['instrumentation_scope', 'scope name'],
  ['instrumentation_scope_version', 'scope version'],
])

function attributesOf(batch: MetricBatch): readonly Attributes[] {
  return batch.resources.map(({ resource }) => resource.attributes)
}

/** The tags of a data point: its own, those of its scope, and those of its resource with other keys. */
export function pointTags(
  resource: ReadonlyMap<string, ExplainedTag>,
  scope: readonly ExplainedTag[],
  point: Attributes,
): readonly ExplainedTag[] {
  const tags = new Map<string, ExplainedTag>()
  const add = (tag: ExplainedTag): void => {
    if (tag.tag !== '' && !tags.has(tag.tag)) tags.set(tag.tag, tag)
  }
  const seen = new Set<string>()
  for (const { key, value } of point) {
    if (key === 'host' || seen.has(key)) continue
    seen.add(key)
    add({ tag: normalizeTag(key, anyValueText(value)), from: `data point attribute ${key}` })
  }
  for (const [key, tag] of resource) if (!seen.has(key)) add(tag)
  for (const tag of scope) add(tag)
  return sortedTags(tags.values())
}

export function sortedTags(tags: Iterable<ExplainedTag>): readonly ExplainedTag[] {
  return [...tags].sort((left, right) => (left.tag < right.tag ? -1 : 1))
}

/** Datadog bills a distribution as its count, sum, average, minimum and maximum. */
const METRICS_OF_DISTRIBUTION = 5

/**
 * The number of custom metrics in the values: every name with every combination of host and tags, without the names of
 * Datadog's Agent, which are free. Source: Datadog documentation, account_management/billing/custom_metrics.
 */
export function customMetrics(values: readonly ExplainedValue[]): number {
  const series = new Map<string, number>()
  for (const { name, type, host, tags } of values) {
    if (sourcesOf(name).length > 0) continue
    const key = [name, host.name, ...tags.map(({ tag }) => tag)].join('\n')
    series.set(key, type === 'distribution' ? METRICS_OF_DISTRIBUTION : 1)
  }
  return [...series.values()].reduce((sum, count) => sum + count, 0)
}
