import type { Finding } from '../component/settings.ts'
import type { Attributes } from '../otlp/common/attributes.ts'
import type { ItemBatch } from '../otlp/common/batch.ts'
import { inParts, partsOf } from '../otlp/common/parts.ts'
import { changeMetrics, MetricBatch } from '../otlp/metrics/batch.ts'
import { perResource } from '../otlp/common/resource.ts'
import type { Resource } from '../otlp/common/resource.ts'
import { KeySearch } from '../otlp/wire/key_search.ts'
import type { Divided } from '../time/turns.ts'

/** The key and value of a `key:value` tag, divided at the first colon. */
export function splitTag(tag: string): [key: string, value: string] {
  const colon = tag.indexOf(':')
  return colon < 0 ? [tag, ''] : [tag.slice(0, colon), tag.slice(colon + 1)]
}

/**
 * Makes a step that turns `tags` (each `key:value`) into resource attributes of everything in a batch. With `override`
 * they win over a resource attribute and over a data point attribute of the same key, which is removed. With `keep` the
 * existing one wins; if only some points of a resource have the key, the tag becomes an attribute of the others. Either
 * way every point ends with one value for each key. If a key is given twice, the last value counts; `repeatedKeys`
 * finds that in a configuration. Attributes of log records and spans stay as they are.
 */
export function tagMerger(
  tags: readonly string[],
  onConflict: 'override' | 'keep',
): <B extends ItemBatch>(batch: B) => B {
  if (tags.length === 0) return (batch) => batch
  const values = new Map(tags.map(splitTag))
  return onConflict === 'override' ? overriding(values) : (batch) => keep(batch, values)
}

function overriding(values: ReadonlyMap<string, string>): <B extends ItemBatch>(batch: B) => B {
  const attributes = Object.fromEntries(values)
  const tagged = perResource((resource) => resource.withAttributes(resource.attributes.with(attributes)))
  const keys = new KeySearch(values.keys())
  return (batch) =>
    changeMetrics(batch.mapResources(tagged), (metrics) =>
      metrics.mapPointsWith(keys, (point) => point.withAttributes(point.attributes.without(values))),
    )
}

function keep<B extends ItemBatch>(batch: B, values: ReadonlyMap<string, string>): B {
  const keysOnPoints: KeysOnPoints = new Map()
  noteKeys(batch, values, keysOnPoints)
  return withTags(batch, values, keysOnPoints)
}

/** `tagMerger` with `keep`, part by part. The keys of all points are collected first. */
export function* keepInParts<B extends ItemBatch>(batch: B, tags: readonly string[]): Divided<B> {
  const values = new Map(tags.map(splitTag))
  const keysOnPoints: KeysOnPoints = new Map()
  for (const part of partsOf(batch)) {
    noteKeys(part.batch, values, keysOnPoints)
    yield
  }
  return yield* inParts(batch, (part) => withTags(part, values, keysOnPoints))
}

/** By resource, the keys of tags that points of it have. */
type KeysOnPoints = Map<Resource, Set<string>>

function noteKeys(batch: ItemBatch, values: ReadonlyMap<string, string>, keysOnPoints: KeysOnPoints): void {
  if (!(batch instanceof MetricBatch)) return
  for (const { metric, resource } of batch.metrics()) {
    for (const { attributes } of metric.points) {
      for (const { key } of attributes) {
        if (!values.has(key) || resource.attributes.has(key)) continue
        const keys = keysOnPoints.get(resource) ?? new Set()
        keysOnPoints.set(resource, keys.add(key))
      }
    }
  }
}

function withTags<B extends ItemBatch>(batch: B, values: ReadonlyMap<string, string>, keysOnPoints: KeysOnPoints): B {
  const withPoints = changeMetrics(batch, (metrics) =>
    metrics.mapPoints((point, _metric, resource) => {
      const keys = keysOnPoints.get(resource)
      if (keys === undefined) return point
      return point.withAttributes(withMissing(point.attributes, values, (key) => keys.has(key)))
    }),
  )
  return withPoints.mapResources((resource) => {
    const keys = keysOnPoints.get(resource)
    return resource.withAttributes(withMissing(resource.attributes, values, (key) => keys?.has(key) !== true))
  })
}

function withMissing(
  attributes: Attributes,
  values: ReadonlyMap<string, string>,
  wanted: (key: string) => boolean,
): Attributes {
  const missing = [...values].filter(([key]) => wanted(key) && !attributes.has(key))
  return attributes.with(Object.fromEntries(missing))
}

/** Finds keys to which a `tags` setting gives several values: a resource attribute has one. */
export function* repeatedKeys(tags: readonly string[]): Generator<Finding> {
  const first = new Map<string, string>()
  for (const tag of tags) {
    const [key] = splitTag(tag)
    const earlier = first.get(key)
    if (earlier === undefined) first.set(key, tag)
    else if (earlier !== tag) {
      yield { path: 'tags', message: `has the key "${key}" twice, in "${earlier}" and "${tag}"; a key has one value` }
    }
  }
}
