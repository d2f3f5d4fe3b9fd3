import { grown } from '../../otlp/bytes_index.ts'

/** Values of series, each in one second, in the order in which they are to be sent. Used again for every batch. */
export class Samples {
  /** By sample: the number of its series, its second since 1970, and the seconds that a count covers, 0 if not known. */
  series = new Int32Array(64)
  timestamps = new Float64Array(64)
  intervals = new Float64Array(64)
  values = new Float64Array(64)
  count = 0

  clear(): void {
    this.count = 0
  }

  add(series: number, timestamp: number, value: number, interval: number): void {
    const index = this.count++
    if (index === this.series.length) {
      this.series = grown(this.series)
      this.timestamps = grown(this.timestamps)
      this.intervals = grown(this.intervals)
      this.values = grown(this.values)
    }
    this.series[index] = series
    this.timestamps[index] = timestamp
    this.intervals[index] = interval
    this.values[index] = value
  }
}
