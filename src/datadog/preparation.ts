import type { Account, ExporterState } from '../component/exporter.ts'
import type { Logger } from '../component/logger.ts'
import { aggregate, aggregateInTurns } from '../otlp/metrics/aggregate.ts'
import type { ItemBatch } from '../otlp/common/batch.ts'
import type { MetricBatch } from '../otlp/metrics/batch.ts'
import { NumberPointCursor } from '../otlp/metrics/number_cursor.ts'
import { ATTRIBUTES_TOO_LARGE, CumulativeToDelta, SEVERAL_WRITERS } from '../otlp/delta/cumulative_to_delta.ts'
import { missingValue } from '../otlp/delta/by_points.ts'
import type { DeltaOptions } from '../otlp/delta/cumulative_to_delta.ts'
import { HistogramCursor } from '../otlp/metrics/histogram_cursor.ts'
import type { Metric } from '../otlp/metrics/metric.ts'
import { inParts } from '../otlp/common/parts.ts'
import { perResource } from '../otlp/common/resource.ts'
import { warnOncePerMetric } from '../throttled.ts'
import type { Divided } from '../time/turns.ts'
import { hostOverrider } from './host.ts'
import { tagKey } from './resource_attributes.ts'
import { splitTag, tagMerger } from './tags.ts'

/** Makes a function that logs each metric with overwritten values once. */
export function overwrittenLog(log: Pick<Logger, 'warn'>): (metric: { readonly name: string }) => void {
  return warnOncePerMetric(
    log,
    'Several sources of a metric are one series at Datadog, which stores one value per second: a value that another one replaces is dropped and counted as `overwritten`. Send an attribute that distinguishes the sources: leave `service.instance.id` or `process.pid` out of `resource_attributes.exclude`, or set `instrumentation_scope_metadata_as_tags: true` where they are scopes.',
  )
}

/** The options of `DeltaOptions` that log. */
export function deltaLog(log: Pick<Logger, 'warn'>): Pick<DeltaOptions, 'severalWriters' | 'tooLarge'> {
  return {
    severalWriters: warnOncePerMetric(log, SEVERAL_WRITERS),
    tooLarge: warnOncePerMetric(log, ATTRIBUTES_TOO_LARGE),
  }
}

/**
 * The reason why a metric cannot be sent: Datadog gets differences of cumulative metrics; without a temporality, the
 * meaning of a value is unknown. Source: datadog-agent, pkg/opentelemetry-mapping-go, minimal_translator.go,
 * `isUnsupportedMetric`.
 */
function refusal({ type, temporality }: Metric): string | undefined {
  if (type === 'gauge' || type === 'summary') return undefined
  if (type === 'none') return 'unsupported_type'
  return temporality === 'unspecified' ? 'unspecified_temporality' : undefined
}

/**
 * Makes the `prepare` of a Datadog exporter: leaves out points that Datadog does not accept, adds up points that became
 * one series at one time, and turns cumulative counts into differences according to `options`.
 * `overwritten` is called with each value that another replaced. `prepareInTurns` does the same in turns. `state` is
 * the memory for the differences, until `close`.
 */
export function preparation(
  options: DeltaOptions,
  overwritten: (metric: Metric) => void,
): {
  prepare(batch: MetricBatch, account: Account): MetricBatch
  prepareInTurns(batch: MetricBatch, account: Account): Divided<MetricBatch>
  state: ExporterState
  close(): void
} {
  const differences = new CumulativeToDelta(options)
  const merging = { resolution: 1n, overwritten }
  const sendable = (batch: MetricBatch, account: Account): MetricBatch => {
    let numbers: NumberPointCursor | undefined
    let histograms: HistogramCursor | undefined
    return batch
      .filterMetrics((metric) => {
        const reason = refusal(metric)
        if (reason !== undefined && metric.pointCount > 0) account.dropped(reason, metric.pointCount)
        return reason === undefined
      })
      .filterPoints(
        (point) => {
          const reason = missingValue(point) ?? (point.timeUnixNano === 0n ? 'no_timestamp' : undefined)
          if (reason !== undefined) account.dropped(reason, 1)
          return reason === undefined
        },
        (metric) =>
          metric.type === 'gauge' || metric.type === 'sum'
            ? metric.encoded?.source.plainNumbers !== true && !(numbers ??= new NumberPointCursor()).reads(metric)
            : !(histograms ??= new HistogramCursor()).reads(metric),
      )
  }
  return {
    prepare: (batch, account) => differences.apply(aggregate(sendable(batch, account), account, merging), account),
    *prepareInTurns(batch, account) {
      const all = yield* inParts(batch, (part) => sendable(part, account))
      return yield* differences.applyInTurns(yield* aggregateInTurns(all, account, merging), account)
    },
    state: differences.state,
    close: () => differences.close(),
  }
}

/**
 * Makes a step that makes an exporter's `hostname` and `tags` win over everything in a batch, also over resource
 * attributes that Datadog would translate to one of these tags.
 */
export function hostAndTags({
  hostname,
  tags,
}: {
  readonly hostname: string | undefined
  readonly tags: readonly string[]
}): <B extends ItemBatch>(batch: B) => B {
  const keys = new Set(tags.map((tag) => splitTag(tag)[0]))
  const merged = tagMerger(tags, 'override')
  const alone = perResource((resource) => {
    const translated = resource.attributes.keys().filter((key) => tagKey(key) !== key && keys.has(tagKey(key)))
    return resource.withAttributes(resource.attributes.without(new Set(translated)))
  })
  const tagged = <B extends ItemBatch>(batch: B): B => (tags.length === 0 ? batch : merged(batch).mapResources(alone))
  if (hostname === undefined) return tagged
  const named = hostOverrider(hostname, 'override')
  return (batch) => named(tagged(batch))
}
