import type { Logger } from './logger.ts'

/** Items left out by design, in every healthy pipeline. */
const USUAL: Readonly<Record<string, string>> = {
  first_value:
    'The first values of cumulative series have no previous value to be counted from; `initial_value: keep` sends them as if counted from zero.',
  no_recorded_value: 'Data points without a value are left out; they say that a series has ended.',
  no_observations: 'Histograms without observations are left out.',
}

/** The problem and its remedy. */
const WRONG: Readonly<Record<string, string>> = {
  not_finite: 'Data points whose value is NaN or infinite cannot be sent. Send finite numbers.',
  no_timestamp: 'Data points without a timestamp cannot be sent. Their sender has to set `timeUnixNano`.',
  out_of_order:
    'Data points of cumulative series are older than the previous ones. Send each series in order; where several senders share one, give each a resource attribute of its own, such as service.instance.id.',
  duplicate_timestamp:
    'Data points of cumulative series have the same time as the previous ones. Send each point once; where several senders share a series, give each a resource attribute of its own, such as service.instance.id.',
  counter_reset:
    'Cumulative series restarted, and it is unknown whether they counted anything new since then; `initial_value: keep` sends them as if counted from zero.',
  unsupported_type: 'Metrics without data, or of a type that the destination does not support, cannot be sent.',
  unspecified_temporality:
    'Sums or histograms without an aggregation temporality cannot be sent. Their sender has to say whether they are delta or cumulative.',
  invalid_name:
    'Metrics whose name has no letter that the destination accepts cannot be sent. `rename` can give them another name.',
  malformed_histogram:
    'Histograms that contradict themselves cannot be sent. Bounds have to ascend and be one fewer than the bucket counts, and counts have to be whole numbers from 0 that add up to `count`.',
  bucket_count_too_high:
    'Histograms of more than 268,431,360 observations in one point cannot be sent. Export more often, or send them as delta.',
  no_buckets: 'Histograms without buckets, extremes and a sum cannot be sent. Their sender has to record buckets.',
  too_large:
    "Single data points are larger than a request may be. Give them fewer or shorter attributes, or raise the exporter's limit if it has one.",
  conflicting_name:
    'Metrics get the same name in OpenMetrics but differ in type or unit. Give one of them another name.',
  no_value: 'Data points without a value cannot be written in OpenMetrics.',
  invalid_value:
    'Counters, histograms and summaries with negative or undefined values cannot be written in OpenMetrics.',
  duplicate_point:
    'Data points end up with the same labels and time as others. Send an attribute that distinguishes them.',
}

/** The word for the items in the messages, which may be replaced. */
const DATA_POINTS = 'Data points'

/** Logged where the problem is found, with the name of the metric or the setting. */
const SAID: ReadonlySet<string> = new Set([
  ...['attributes_too_large', 'overwritten', 'several_writers', 'too_many_series', 'too_old', 'too_new'],
])

/**
 * Logs why this many `items`, called `what`, were left out for `reason`. The logger is throttled: they may be in every batch.
 */
export function logDropped(log: Logger, reason: string, items: number, what = DATA_POINTS): void {
  if (items === 0 || SAID.has(reason)) return
  const known = (reasons: Readonly<Record<string, string>>) =>
    Object.hasOwn(reasons, reason) ? reasons[reason] : undefined
  const usual = known(USUAL)
  const message = usual ?? known(WRONG) ?? `${DATA_POINTS} are left out by the exporter as \`${reason}\`.`
  log[usual === undefined ? 'warn' : 'debug'](message.replace(DATA_POINTS, what), { reason, items })
}
