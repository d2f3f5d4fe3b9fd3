import { anyValueText } from '../otlp/common/attributes.ts'
import type { Scope } from '../otlp/common/resource.ts'
import { splitTag } from './tags.ts'

const NONE: ReadonlyMap<string, string> = new Map()

/**
 * Makes a function that returns the tags that a scope gives to its metrics, by key. `host` is Datadog's host and not a
 * tag, and the exporter's own `tags` win. Source: datadog-agent,
 * pkg/opentelemetry-mapping-go/otlp/metrics/internal/instrumentationscope.
 */
export function scopeTagger(config: {
  readonly instrumentation_scope_metadata_as_tags: boolean
  readonly tags: readonly string[]
}): (scope: Scope) => ReadonlyMap<string, string> {
  if (!config.instrumentation_scope_metadata_as_tags) return () => NONE
  const taken = new Set(['host', ...config.tags.map((tag) => splitTag(tag)[0])])
  return ({ name, version, attributes }) => {
    const tags = new Map<string, string>()
    const add = (key: string, value: string): void => {
      if (!taken.has(key) && !tags.has(key)) tags.set(key, value)
    }
    add('instrumentation_scope', name)
    add('instrumentation_scope_version', version)
    for (const { key, value } of attributes) add(key, anyValueText(value))
    return tags
  }
}
