const MAX_LENGTH = 200

/**
 * A metric name as Datadog stores it: from its first letter on, with every character but ASCII letters, digits, `_` and
 * `.` replaced by `_`, at most 200 characters; '' if it has no letter. Source: Datadog documentation,
 * metrics/custom_metrics.
 */
export function normalizeName(name: string): string {
  return name
    .replace(/^[^A-Za-z]+/, '')
    .replace(/[^A-Za-z0-9_.]/g, '_')
    .slice(0, MAX_LENGTH)
}

/**
 * A tag as Datadog stores it: in lower case, from its first letter on, with every character but letters, digits and
 * `_-:./` replaced by `_`, at most 200 characters, no `_` at its end, and the value `n/a` if it has none; '' if nothing
 * is left. Source: Datadog documentation, getting_started/tagging; the `n/a` from datadog-agent, attributes
 * translation.
 */
export function normalizeTag(key: string, value: string): string {
  let tag = `${key}:${value}`
  if (!/^[a-z][a-z0-9_\-:./]*[a-z0-9\-./]$/.test(tag)) {
    tag = tag
      .toLowerCase()
      .replace(/^[^\p{L}]+/u, '')
      .replace(/[^\p{L}\p{N}_\-:./]/gu, '_')
  }
  if (tag.length > MAX_LENGTH) tag = [...tag].slice(0, MAX_LENGTH).join('')
  tag = tag.replace(/_+$/, '')
  return tag.endsWith(':') ? `${tag}n/a` : tag
}
