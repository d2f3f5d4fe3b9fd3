import { normalizeTag } from '../../../datadog/names.ts'
import type { SummaryPoint } from '../../../otlp/metrics/points.ts'
import { NO_TAGS, numberText } from './histograms.ts'
import type { DerivedSample } from './histograms.ts'

/** Whether quantiles are sent, as gauges. */
export const SUMMARY_MODES = ['gauges', 'noquantiles'] as const
export type SummaryMode = (typeof SUMMARY_MODES)[number]

/**
 * The values that Datadog gets for a summary of differences. `first_value`: none, because its count and sum were
 * withheld (it starts when it ends) and there are no quantiles to send.
 */
export function mapSummary(point: SummaryPoint, mode: SummaryMode): readonly DerivedSample[] | 'first_value' {
  const samples: DerivedSample[] = []
  if (point.startTimeUnixNano !== point.timeUnixNano) {
    samples.push({ suffix: '.count', type: 'count', value: Number(point.count), tags: NO_TAGS, inUnit: false })
    if (Number.isFinite(point.sum)) {
      samples.push({ suffix: '.sum', type: 'count', value: point.sum, tags: NO_TAGS, inUnit: true })
    }
  }
  if (mode === 'gauges') {
    for (const { quantile, value } of point.quantileValues) {
      // A quantile without observations in its time window is NaN.
      if (!Number.isFinite(value)) continue
      const tags = [normalizeTag('quantile', numberText(quantile))]
      samples.push({ suffix: '.quantile', type: 'gauge', value, tags, inUnit: true })
    }
  }
  return samples.length === 0 ? 'first_value' : samples
}
