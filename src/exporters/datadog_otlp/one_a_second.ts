import { createHash } from 'node:crypto'
import type { Clock } from '../../time/clock.ts'
import type { Account, ExporterState } from '../../component/exporter.ts'
import { bytesOf, COUNT, GAUGE, KnownSeries, WHOLE } from '../../datadog/known_series.ts'
import type { Kind } from '../../datadog/known_series.ts'
import { normalizeName, normalizeTag } from '../../datadog/names.ts'
import { Moments, Samples } from '../../datadog/samples.ts'
import { aggregate, aggregateInTurns, combine } from '../../otlp/metrics/aggregate.ts'
import { anyValueText } from '../../otlp/common/attributes.ts'
import type { MetricBatch } from '../../otlp/metrics/batch.ts'
import type { Metric } from '../../otlp/metrics/metric.ts'
import { forget, inBytes, joined, partsOf } from '../../otlp/common/parts.ts'
import type { Part } from '../../otlp/common/parts.ts'
import type { DataPoint } from '../../otlp/metrics/points.ts'
import { scopeIdentity } from '../../otlp/common/resource.ts'
import type { Resource, Scope } from '../../otlp/common/resource.ts'
import type { Divided } from '../../time/turns.ts'

interface OneASecondOptions {
  readonly clock: Clock
  /** Milliseconds after which a series that sends nothing is forgotten. */
  readonly ttl: number
  /** Changes a batch to the attributes that it is sent with; it keeps the order of points. */
  readonly finish: (batch: MetricBatch) => MetricBatch
  /** Whether Datadog distinguishes scopes. */
  readonly scopesAreTags: boolean
  /** Called with each metric that loses a value because that of another source takes its place. */
  readonly overwritten: (metric: { readonly name: string }) => void
  /** Called after each batch in which the memory was too full to remember something. */
  readonly full: () => void
}

const SECOND = 1_000_000_000n
/** If one source has several values in a second, the latest one counts. */
const SINGLE = { resolution: SECOND }
const COUNTS = { type: 'sum', temporality: 'delta' } as const

/**
 * Reduces batches of differences to the values that Datadog keeps: one point a second of each series. Points of one
 * second are added, the latest gauge stays, and counts go to a second in which their series was not sent. Histograms of
 * different batches are left alone, because Datadog stores them as distributions, which it adds up. Source: Datadog
 * documentation, metrics/types, "not aggregated by Datadog, with the exception of distribution metrics".
 */
export class OneASecond {
  readonly #options: OneASecondOptions
  readonly #known: KnownSeries
  /** Numbers and summaries, and histograms. */
  readonly #samples = new Samples()
  readonly #wholes = new Moments()
  /** The result for each point, and the positions of samples and wholes. */
  #points: (DataPoint | undefined)[] = []
  #places: number[] = []
  #placesOfWholes: number[] = []
  #merged = 0
  /** Points that are already in the result. */
  #taken = 0
  /** The metrics with lost values, once for each value. */
  #overwritten: string[] = []

  constructor(options: OneASecondOptions) {
    this.#options = options
    this.#known = new KnownSeries(options.clock, options.full)
  }

  /** The memory that has to survive a restart. */
  get state(): ExporterState {
    return this.#known.state
  }

  /** Forgets everything: there will be no further batch. */
  close(): void {
    this.#known.close()
  }

  /** No part of a batch will be sent any more, or again. */
  ended(batch: MetricBatch): void {
    this.#known.ended(batch)
  }

  /** If the last batch comes again, the result is the same. */
  apply(batch: MetricBatch, account: Account): MetricBatch {
    this.#known.begin(batch, this.#options.ttl)
    try {
      this.#begin()
      const finished = this.#add(batch, { single: false }) ?? this.#addSingle(aggregate(batch, account, SINGLE))
      return this.#settle(account) ? this.#result(finished) : finished
    } finally {
      this.#end(batch)
    }
  }

  /** `apply` that may be left where it yields. Until it has ended, no other batch may be begun. */
  *applyInTurns(batch: MetricBatch, account: Account): Divided<MetricBatch> {
    this.#known.begin(batch, this.#options.ttl)
    try {
      this.#begin()
      const added = yield* this.#addInTurns(batch, { single: false })
      const { of, parts, finished } = added ?? (yield* this.#addSingleInTurns(batch, account))
      if (!this.#settle(account)) return joined(of, parts, finished)
      const results: MetricBatch[] = []
      for (const part of finished) {
        yield
        results.push(inBytes(this.#result(part), part))
        forget(part)
      }
      return joined(of, parts, results)
    } finally {
      this.#end(batch)
    }
  }

  /** It must not keep the batch that it was given. */
  #end(batch: MetricBatch): void {
    this.#known.end(batch)
    this.#begin()
  }

  #begin(): void {
    this.#samples.clear()
    this.#wholes.clear()
    this.#points = []
    this.#places = []
    this.#placesOfWholes = []
    this.#merged = 0
    this.#overwritten = []
    this.#taken = 0
  }

  *#addInTurns(batch: MetricBatch, how: Adding): Divided<Added | undefined> {
    const parts: Part<MetricBatch>[] = []
    const finished: MetricBatch[] = []
    for (const part of partsOf(batch)) {
      const sent = inBytes(this.#options.finish(part.batch), part.batch)
      if (!this.#addAll(part.batch, sent, how)) return undefined
      forget(sent)
      parts.push(part)
      finished.push(sent)
      yield
    }
    return { of: batch, parts, finished }
  }

  /** Begins again, with one point a second for each source. */
  #addSingle(batch: MetricBatch): MetricBatch {
    this.#begin()
    return this.#add(batch, { single: true }) as MetricBatch
  }

  *#addSingleInTurns(batch: MetricBatch, account: Account): Divided<Added> {
    this.#begin()
    return (yield* this.#addInTurns(yield* aggregateInTurns(batch, account, SINGLE), { single: true })) as Added
  }

  /** The batch as it is sent, once all of its points are added; `undefined` where they are not. */
  #add(batch: MetricBatch, how: Adding): MetricBatch | undefined {
    const finished = this.#options.finish(batch)
    return this.#addAll(batch, finished, how) ? finished : undefined
  }

  /**
   * Adds all points of the batch to `#points`, as they are sent. `single`: each source has one point a second. Else it returns `false` where
   * points of a sum that goes up and down meet, because of one source only the latest counts.
   */
  #addAll(batch: MetricBatch, finished: MetricBatch, { single }: Adding): boolean {
    const sent = [...finished.metrics()]
    let index = 0
    for (const received of batch.metrics()) {
      const { metric } = received
      const kind = kindOf(metric)
      const owner = this.#known.ownerOf(kind, metric, received)
      const { points } = sent[index].metric
      for (let at = 0; at < points.length; at++) {
        const bytes = bytesOf(metric.points[at].attributes)
        let source = this.#known.find(owner, bytes)
        if (source < 0) {
          const isKept = this.#known.mayKeep(owner, bytes)
          source = this.#known.add(owner, bytes, this.#numberOf(kind, sent[index], points[at], isKept), isKept)
        }
        this.#points.push(points[at])
        if (kind === WHOLE) this.#addWhole(metric, points[at], source)
        else if (!this.#addPoint(metric, points[at], source, kind) && !single) return false
      }
      index++
    }
    return true
  }

  #addWhole(metric: Metric, point: DataPoint, source: number): void {
    const series = this.#known.seriesOf(source)
    const second = secondOf(point)
    const place = this.#placesOfWholes[this.#wholes.find(series, second)]
    const both =
      place === undefined ? undefined : combine(metric, this.#points[place] as DataPoint, point, { ofSeveral: true })
    if (both === undefined) this.#placesOfWholes[this.#wholes.add(series, second)] = this.#points.length - 1
    else {
      this.#points[place] = both
      this.#leave('merged', metric.name)
    }
  }

  /** `false` when a point of a sum that goes up and down met another. */
  #addPoint(metric: Metric, point: DataPoint, source: number, kind: Kind): boolean {
    const known = this.#known
    const series = known.seriesOf(source)
    const second = secondOf(point)
    const time = Number(BigInt.asIntN(32, point.timeUnixNano))
    const kept = metric.type === 'sum' ? 'sum' : 'latest'
    const held = kind === GAUGE ? known.heldGauge(series, source, second, time, kept) : undefined
    if (held !== undefined) {
      this.#leave(held, metric.name)
      return true
    }
    const met = this.#samples.put(series, second, 0, time, kind === COUNT ? 0 : NaN, kept, source)
    if (met < 0) {
      this.#places.push(this.#points.length - 1)
      return true
    }
    known.meet(series, met, source, kind === COUNT)
    const isSame = known.isSame(met, source)
    const place = this.#places[this.#samples.find(series, second)]
    const before = this.#points[place] as DataPoint
    // Summaries are totals here: of one source the latest counts.
    const both = metric.type === 'summary' && isSame ? undefined : combine(metric, before, point, { ofSeveral: true })
    this.#points[place] = both ?? (point.timeUnixNano >= before.timeUnixNano ? point : before)
    this.#leave(!isSame && (both === undefined || metric.type === 'gauge') ? 'overwritten' : 'merged', metric.name)
    return kind === COUNT || metric.type !== 'sum'
  }

  /** Leaves out the last point. */
  #leave(fate: 'merged' | 'overwritten', name: string): void {
    this.#points[this.#points.length - 1] = undefined
    if (fate === 'merged') this.#merged++
    else this.#overwritten.push(name)
  }

  /** Puts each count in its second. Returns whether this, or combining points, changed any point. */
  #settle(account: Account): boolean {
    const [points, places, samples] = [this.#points, this.#places, this.#samples]
    const { joined, moved, lost } = this.#known.settle(samples)
    for (const [index, into] of joined) {
      const target = places[into]
      points[target] = combine(COUNTS, points[places[index]] as DataPoint, points[target] as DataPoint, {
        ofSeveral: true,
      })
      points[places[index]] = undefined
    }
    for (const [index, second] of moved) {
      const point = points[places[index]] as DataPoint
      const later = BigInt(samples.timestamps[index] - second) * SECOND
      points[places[index]] = point.with({ timeUnixNano: point.timeUnixNano + later })
    }
    for (const index of lost) {
      points[places[index]] = undefined
      this.#overwritten.push(this.#known.nameOf(samples.origins[index]))
    }
    this.#merged += joined.length
    if (this.#merged > 0) account.merged(this.#merged)
    if (this.#overwritten.length > 0) account.dropped('overwritten', this.#overwritten.length)
    for (const name of this.#overwritten) this.#options.overwritten({ name })
    return this.#merged + this.#overwritten.length + moved.size > 0
  }

  /** The remainder of the next points, in the order in which they were added. */
  #result(finished: MetricBatch): MetricBatch {
    return finished.mapSomePoints(() => this.#points[this.#taken++])
  }

  /** The number of the series that Datadog makes of a point; Datadog writes its name and tags in its own way. */
  #numberOf(kind: Kind, { metric, resource, scope }: Sent, { attributes }: DataPoint, isKept: boolean): number {
    const ofScope = this.#options.scopesAreTags ? scopeIdentity(scope, '') : ''
    const tags = [...resource.attributes, ...attributes].map(({ key, value }) => normalizeTag(key, anyValueText(value)))
    const text = [normalizeName(metric.name), ofScope, ...new Set(tags.sort())].join('\n')
    // Not the text itself: the texts of a million series would take hundreds of MiB.
    const { buffer, byteOffset, length } = createHash('sha256').update(text).digest()
    return this.#known.numberOf(kind, new DataView(buffer, byteOffset, length), 0, length / 2, isKept)
  }
}

interface Adding {
  readonly single: boolean
}

/** The parts of a batch, and each as it is sent. */
interface Added {
  readonly of: MetricBatch
  readonly parts: readonly Part<MetricBatch>[]
  readonly finished: readonly MetricBatch[]
}

interface Sent {
  readonly metric: Metric
  readonly resource: Resource
  readonly scope: Scope
}

function kindOf({ type, temporality }: Metric): Kind {
  if (type === 'histogram' || type === 'exponential_histogram') return WHOLE
  return type === 'sum' && temporality === 'delta' ? COUNT : GAUGE
}

function secondOf({ timeUnixNano }: DataPoint): number {
  return Number(timeUnixNano / SECOND)
}
