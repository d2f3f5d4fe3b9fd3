import { Moments } from '../../../datadog/samples.ts'
import type { BytesIndex } from '../../../otlp/wire/bytes_index.ts'
import { Bins, current } from './sketch.ts'
import type { Sketch } from './sketch.ts'
import type { SketchSample } from './sketch_payload.ts'

/** Distributions. */
export class SketchSamples extends Moments {
  private readonly sketches: Sketch[] = []
  private readonly bins = new Bins()

  /** From here on, sketches are made apart from those of other exporters, which may work on their batches meanwhile. */
  collect(): void {
    current.bins = this.bins
  }

  /** Adds a sketch; returns `false` if its series already has one in that second, with which it is merged. */
  put(series: number, timestamp: number, sketch: Sketch): boolean {
    const same = this.find(series, timestamp)
    const merged = same < 0 ? undefined : this.sketches[same].mergedWith(sketch)
    // Two that do not fit into one sketch stay separate, and Datadog merges them.
    if (merged === undefined) this.sketches[this.add(series, timestamp)] = sketch
    else this.sketches[same] = merged
    return merged === undefined
  }

  override clear(): void {
    super.clear()
    this.sketches.length = 0
    this.bins.reuse()
  }

  /** The samples in the form in which they are written. `known` holds their series. */
  written(known: BytesIndex): readonly SketchSample[] {
    return this.sketches.map((sketch, index) => ({
      encoded: known.bytes(this.series[index]),
      timestamp: this.timestamps[index],
      sketch,
    }))
  }
}
