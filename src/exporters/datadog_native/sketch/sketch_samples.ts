import { Moments } from '../../../datadog/samples.ts'
import type { BytesIndex } from '../../../otlp/wire/bytes_index.ts'
import { Bins, collectIn } from './sketch.ts'
import type { Sketch } from './sketch.ts'
import type { SketchSample } from './sketch_payload.ts'

/** Distributions. */
export class SketchSamples extends Moments {
  private readonly sketches: Sketch[] = []
  private readonly bins = new Bins()

  /** From here on sketches are made where those of no other exporter are, which may go on with its batch meanwhile. */
  collect(): void {
    collectIn(this.bins)
  }

  /** Adds a sketch; returns `false` when its series has one in that second already, with which it is merged. */
  put(series: number, timestamp: number, sketch: Sketch): boolean {
    const same = this.find(series, timestamp)
    const merged = same < 0 ? undefined : this.sketches[same].mergedWith(sketch)
    // What does not fit into one sketch stays two, which Datadog merges.
    if (merged === undefined) this.sketches[this.add(series, timestamp)] = sketch
    else this.sketches[same] = merged
    return merged === undefined
  }

  override clear(): void {
    super.clear()
    this.sketches.length = 0
    this.bins.reuse()
  }

  /** The samples as they are written. `known` holds their series. */
  written(known: BytesIndex): readonly SketchSample[] {
    return this.sketches.map((sketch, index) => ({
      encoded: known.bytes(this.series[index]),
      timestamp: this.timestamps[index],
      sketch,
    }))
  }
}
