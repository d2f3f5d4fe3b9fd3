/** `none`: the metric carries no data field, or one this version does not know. */
export type MetricType = 'gauge' | 'sum' | 'histogram' | 'exponential_histogram' | 'summary' | 'none'

/** How points of a sum or histogram relate to each other: each the difference since the last, or the total since a start. */
export type Temporality = 'unspecified' | 'delta' | 'cumulative'
