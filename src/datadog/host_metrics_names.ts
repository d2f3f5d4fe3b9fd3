import type { Account } from '../component/exporter.ts'
import { MetricBatch } from '../otlp/metrics/batch.ts'
import { ResourceMetrics, ScopeMetrics } from '../otlp/metrics/metric.ts'
import type { Metric } from '../otlp/metrics/metric.ts'
import { Scope } from '../otlp/common/resource.ts'
import { isRead, sourcesOf, toAgentMetrics } from './agent_metrics.ts'

/** The names under which host metrics are sent; `both` means `otel` and `datadog`. */
export const HOST_METRICS_NAMES = ['otel', 'otel_prefixed', 'datadog', 'both'] as const

export type HostMetricsNames = (typeof HOST_METRICS_NAMES)[number]

/** Source: datadog-agent, pkg/opentelemetry-mapping-go/otlp/metrics/metrics_remapping.go. */
const OF_HOSTS = /^(?:system|process)\./
const SCOPE = new Scope({ name: 'heka-pipeline/datadog_host_metrics' })

/**
 * Makes a step that gives the metrics of a batch the names under which they are sent. Sums of the batch must already be
 * differences. `metricPrefix` is put in front of every name except those of Datadog's Agent.
 */
export function metricNames(
  names: HostMetricsNames,
  metricPrefix: string | undefined,
): (batch: MetricBatch, account: Pick<Account, 'created' | 'merged'>) => MetricBatch {
  const derives = names === 'datadog' || names === 'both'
  // Without a prefix, the uptime has the same name in OpenTelemetry and in the Agent, and is sent once.
  const keptAsItIs = (name: string): boolean => names === 'both' && metricPrefix === undefined && name === UPTIME
  const rename = renaming(names, metricPrefix)
  const renames = names === 'otel_prefixed' || metricPrefix !== undefined

  return (batch, account) => {
    const derived: ResourceMetrics[] = []
    const replaced = new Set<Metric>()
    if (derives) {
      for (const { resource, scopes } of batch.resources) {
        const read = scopes.flatMap(({ metrics }) => metrics.filter(({ name }) => isRead(name) && !keptAsItIs(name)))
        const { metrics, used } = toAgentMetrics(read)
        if (metrics.length === 0) continue
        derived.push(new ResourceMetrics({ resource, scopes: [new ScopeMetrics({ scope: SCOPE, metrics })] }))
        if (names === 'datadog') for (const metric of read) if (used.has(metric.name)) replaced.add(metric)
      }
    }
    let named = batch
    if (replaced.size > 0) {
      for (const { pointCount } of replaced) account.merged(pointCount)
      named = named.filterMetrics((metric) => !replaced.has(metric))
    }
    if (renames) named = named.mapMetrics((metric) => metric.withName(rename(metric.name)))
    if (derived.length === 0) return named
    // As bytes, so that the batch can still be read without objects.
    const added = MetricBatch.fromOtlp(MetricBatch.fromResources(derived).toOtlp())
    account.created(added.pointCount)
    return MetricBatch.merge([named, added])
  }
}

/** By the name of a sent metric: the metrics handed in that it may be made from. */
export function namesBefore(
  names: HostMetricsNames,
  metricPrefix: string | undefined,
  received: Iterable<string>,
): (name: string) => readonly string[] {
  const rename = renaming(names, metricPrefix)
  const handedIn = new Set(received)
  const before = new Map<string, string[]>()
  for (const name of handedIn) before.set(rename(name), [...(before.get(rename(name)) ?? []), name])
  const derives = names === 'datadog' || names === 'both'
  return (name) => {
    const sources = derives ? sourcesOf(name).filter((source) => handedIn.has(source)) : []
    return sources.length > 0 ? sources : (before.get(name) ?? [])
  }
}

function renaming(names: HostMetricsNames, metricPrefix: string | undefined): (name: string) => string {
  const dotted = `${metricPrefix ?? ''}.`
  return (name) => {
    const own = names === 'otel_prefixed' && OF_HOSTS.test(name) ? `otel.${name}` : name
    return metricPrefix === undefined || own.startsWith(dotted) ? own : dotted + own
  }
}

const UPTIME = 'system.uptime'
