/*
 * The keys of the sketch in which the Datadog Agent sends distributions: the rounded logarithms of values, so that
 * every value is off by at most 1/128 of itself. Source: datadog-agent, pkg/util/quantile/config.go.
 */

/** Two neighbouring keys are this factor apart. */
export const GAMMA = 1 + 2 / 128
export const LN_GAMMA = Math.log1p(2 / 128)
/** The key of 1. */
export const BIAS = 1338
/** The Agent's 32,767 means infinity, which no value is. */
const MAX_KEY = 32_766
/** Smaller values have the key 0. */
const SMALLEST = GAMMA ** (1 - BIAS)

/** The key of a finite value; keys of negative values are those of their opposites, negated. */
export function keyOf(value: number): number {
  const magnitude = Math.abs(value)
  if (magnitude < SMALLEST) return 0
  const key = Math.min(Math.max(Math.round(Math.log(magnitude) / LN_GAMMA) + BIAS, 1), MAX_KEY)
  return value < 0 ? -key : key
}

/** The values of the keys from 0 on: a power costs far more than a lookup. */
const values = new Float64Array(MAX_KEY + 2)
for (let key = 1; key < values.length; key++) values[key] = GAMMA ** (key - BIAS)

/** The value of a key. */
export function valueOf(key: number): number {
  return key < 0 ? -values[-key] : values[key]
}
