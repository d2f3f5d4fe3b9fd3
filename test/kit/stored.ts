import type { Intake } from './intake.ts'

interface OtlpPoint {
  readonly attributes: readonly OtlpAttribute[]
  readonly timeUnixNano: string
  readonly asDouble?: number
  readonly asInt?: string
  readonly count?: string
}

interface OtlpAttribute {
  readonly key: string
  readonly value: object
}

interface OtlpBody {
  readonly resourceMetrics: readonly {
    readonly resource: { readonly attributes: readonly OtlpAttribute[] }
    readonly scopeMetrics: readonly {
      readonly scope?: { readonly name: string; readonly attributes: readonly OtlpAttribute[] }
      readonly metrics: readonly ({ readonly name: string } & Record<
        string,
        { readonly dataPoints: readonly OtlpPoint[] }
      >)[]
    }[]
  }[]
}

const TYPES = ['gauge', 'sum', 'histogram', 'exponentialHistogram', 'summary']

/**
 * What Datadog keeps of all requests that an intake took, over either API: of each series and second the last value, and of
 * distributions the sum of their counts. Keys are `name type tags@second`.
 */
export function storedBy({ requests }: Intake): ReadonlyMap<string, number> {
  const stored = new Map<string, number>()
  for (const { path, body, status } of requests) {
    if (status === 202 && path.endsWith('/sketches')) {
      for (const { metric, host, tags, dogsketches } of body as ReturnType<Intake['sketches']>) {
        for (const { ts, cnt } of dogsketches) {
          const key = `${metric} distribution ${[host, ...tags].join()}@${ts}`
          stored.set(key, (stored.get(key) ?? 0) + Number(cnt))
        }
      }
    } else if (status === 202) {
      for (const { metric, type, host, tags, points } of (body as { series: SeriesV1[] }).series) {
        for (const [second, value] of points) stored.set(`${metric} ${type} ${[host, ...tags].join()}@${second}`, value)
      }
    } else if (status === 200 && path === '/v1/metrics') readOtlp(body as OtlpBody, stored)
  }
  return stored
}

interface SeriesV1 {
  readonly metric: string
  readonly type: string
  readonly host?: string
  readonly tags: readonly string[]
  readonly points: readonly (readonly [second: number, value: number])[]
}

function readOtlp({ resourceMetrics }: OtlpBody, stored: Map<string, number>): void {
  for (const { resource, scopeMetrics } of resourceMetrics) {
    for (const { scope, metrics } of scopeMetrics) {
      for (const metric of metrics) {
        const type = TYPES.find((data) => metric[data] !== undefined) ?? 'none'
        for (const { attributes, timeUnixNano, asDouble, asInt, count } of metric[type]?.dataPoints ?? []) {
          const all = [...resource.attributes, ...(scope?.attributes ?? []), ...attributes]
          const tags = all.map(({ key, value }) => `${key}:${Object.values(value).join()}`).sort()
          const key = `${metric.name} ${type} ${tags.join()}@${BigInt(timeUnixNano) / 1_000_000_000n}`
          const adds = type.endsWith('istogram')
          stored.set(key, Number(asDouble ?? asInt ?? count) + (adds ? (stored.get(key) ?? 0) : 0))
        }
      }
    }
  }
}
