import type { Encoded, Source } from '../wire/lazy_message.ts'
import { viewOf } from '../wire/lazy_message.ts'
import { Metric, ResourceMetrics, ScopeMetrics } from './metric.ts'
import { Resource, Scope } from '../common/resource.ts'

/**
 * The same data without the requests of which it uses less than half: what is left in them is copied, so that they can go.
 * `undefined` where that takes more than copying whole messages.
 */
export function compactedResources(resources: readonly ResourceMetrics[]): readonly ResourceMetrics[] | undefined {
  const uses = usesOf(resources)
  const wasteful = new Map<Source, Remains>()
  for (const [source, { messages, points }] of uses) {
    if ((messages + points) * 2 >= source.bytes.length) continue
    if (points > 0) return undefined
    wasteful.set(source, new Remains(source, messages))
  }
  if (wasteful.size === 0) return resources
  const moved = <Fields>(encoded: Encoded<Fields> | undefined): Encoded<Fields> | undefined =>
    encoded && wasteful.get(encoded.source)?.move(encoded)
  return resources.map((entry) => {
    const resource = moved(entry.resource.encoded)
    return new ResourceMetrics({
      resource: resource === undefined ? entry.resource : new Resource(resource),
      scopes: entry.scopes.map((scopeMetrics) => {
        const scope = moved(scopeMetrics.scope.encoded)
        return new ScopeMetrics({
          scope: scope === undefined ? scopeMetrics.scope : new Scope(scope),
          metrics: scopeMetrics.metrics.map((metric) => {
            const encoded = moved(metric.encoded)
            return encoded === undefined ? metric : new Metric(encoded, metric.renamed, undefined, metric.series)
          }),
          schemaUrl: scopeMetrics.schemaUrl,
          unknown: scopeMetrics.unknown?.slice(),
        })
      }),
      schemaUrl: entry.schemaUrl,
      unknown: entry.unknown?.slice(),
    })
  })
}

/** Bytes of a request that are used by whole messages, and by the points of metrics that are objects. */
interface Use {
  messages: number
  points: number
}

function usesOf(resources: readonly ResourceMetrics[]): ReadonlyMap<Source, Use> {
  const uses = new Map<Source, Use>()
  // Most messages are in the request of the one before.
  let last: Source | undefined
  let use: Use = { messages: 0, points: 0 }
  const note = (encoded: Encoded<unknown> | undefined, kind: keyof Use): void => {
    if (encoded === undefined) return
    const { source, start, end } = encoded
    if (source !== last) {
      last = source
      use = uses.get(source) ?? { messages: 0, points: 0 }
      uses.set(source, use)
    }
    use[kind] += end - start
  }
  for (const { resource, scopes } of resources) {
    note(resource.encoded, 'messages')
    for (const { scope, metrics } of scopes) {
      note(scope.encoded, 'messages')
      for (const metric of metrics) {
        note(metric.encoded, 'messages')
        if (metric.encoded !== undefined) continue
        for (const point of metric.points) note(point.encoded ?? point.attributes.encoded, 'points')
      }
    }
  }
  return uses
}

/** A copy of what is used of a request, without the rest. */
class Remains {
  readonly #source: Source
  #at = 0

  constructor(source: Source, length: number) {
    const bytes = Buffer.allocUnsafeSlow(length)
    this.#source = { ...source, bytes, view: viewOf(bytes) }
  }

  move<Fields>(encoded: Encoded<Fields>): Encoded<Fields> {
    const start = this.#at
    this.#at += encoded.source.bytes.copy(this.#source.bytes, start, encoded.start, encoded.end)
    return encoded.in(this.#source, start, this.#at)
  }
}
