/** `none`: the metric has no data field, or one that this version does not know. */
export type MetricType = 'gauge' | 'sum' | 'histogram' | 'exponential_histogram' | 'summary' | 'none'

/** How points of a sum or histogram relate to each other: each is the difference since the last one, or the total since a start. */
export type Temporality = 'unspecified' | 'delta' | 'cumulative'

/** `enum AggregationTemporality`, by number. */
export const temporalities: readonly Temporality[] = ['unspecified', 'delta', 'cumulative']
