import { LONG } from '../../time/turns.ts'
import { metricInBytes } from './batch.ts'
import type { Metric } from './metric.ts'
import type { DataPoint } from './points.ts'

/** Points that are made one after the other for a metric. Of many, all but the latest are bytes: their objects would live until all are made. */
export class MadePoints {
  readonly #points: (DataPoint | undefined)[]
  /** Where those are that were made since others became bytes. */
  #latest: number[] = []

  /** @param metric one with points of the same kind */
  constructor(
    private readonly metric: Metric,
    length = 0,
  ) {
    this.#points = new Array<DataPoint | undefined>(length)
  }

  get length(): number {
    return this.#points.length
  }

  at(place: number): DataPoint {
    return this.#points[place] as DataPoint
  }

  /** Puts a point in its place, or in that of another. */
  set(place: number, point: DataPoint): void {
    this.#points[place] = point
    if (this.#latest.push(place) < LONG) return
    const places = [...new Set(this.#latest)]
    const { points } = metricInBytes(this.metric.with({ points: places.map((each) => this.at(each)) }))
    for (const [index, each] of places.entries()) this.#points[each] = points[index]
    this.#latest = []
  }

  /** All of them in order, without places that were left empty. */
  all(start = 0, end = this.length): DataPoint[] {
    return this.#points.slice(start, end).filter((point) => point !== undefined)
  }
}
