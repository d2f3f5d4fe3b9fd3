const MAX_LENGTH = 200

/**
 * A metric name as Datadog stores it: from its first letter on, everything but ASCII letters, digits, `_` and `.` made `_`,
 * at most 200 characters; '' when no letter is in it. Source: Datadog documentation, metrics/custom_metrics.
 */
export function normalizeName(name: string): string {
  return name
    .replace(/^[^A-Za-z]+/, '')
    .replace(/[^A-Za-z0-9_.]/g, '_')
    .slice(0, MAX_LENGTH)
}

/**
 * A tag as Datadog stores it: lower-case, from its first letter on, everything but letters, digits and `_-:./` made `_`,
 * at most 200 characters, no `_` at its end, and the value `n/a` where there is none; '' when nothing is left.
 * Source: Datadog documentation, getting_started/tagging; the `n/a` from datadog-agent, attributes translation.
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
