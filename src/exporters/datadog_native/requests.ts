import type { Account } from '../../component/exporter.ts'
import type { Compression } from '../../net/compression.ts'
import type { BytesIndex } from '../../otlp/wire/bytes_index.ts'
import type { Samples } from '../../datadog/samples.ts'
import { likelyLength, requestMaker } from './body.ts'
import type { NativeRequest } from './body.ts'
import type { SeriesFormat } from './series_format.ts'

/**
 * Packs samples into requests within the limits of the format: each call makes those of the next body, until there is
 * none. `series` holds their series in the form that the format writes.
 */
export function packer(
  { samples, series: known }: { readonly samples: Samples; readonly series: BytesIndex },
  format: SeriesFormat,
  compression: Compression,
  account: Pick<Account, 'dropped'>,
): () => readonly NativeRequest[] | undefined {
  const maxLength = likelyLength(format, compression)
  const make = requestMaker(format, compression, account)
  let next = 0
  return () => {
    if (next === samples.count) return undefined
    const start = next
    let end = start
    let length = format.open.length + format.close.length
    do length += known.length(samples.series[end++]) + format.rest
    while (
      end < samples.count &&
      end - start < format.maxPoints &&
      length + known.length(samples.series[end]) + format.rest <= maxLength
    )
    next = end
    return make(write(start, end, length), end - start)
  }

  /** The body of some samples, at most `length` bytes. It is valid until the next is written. */
  function write(start: number, end: number, length: number): Buffer {
    const room = known.roomBehind(length)
    const { bytes: out, start: begin } = room
    let at = begin + out.write(format.open, begin, 'latin1')
    let timestamp = NaN
    let interval = NaN
    let moment = format.moment(0, 0)
    for (let index = start; index < end; index++) {
      if (samples.timestamps[index] !== timestamp || samples.intervals[index] !== interval) {
        timestamp = samples.timestamps[index]
        interval = samples.intervals[index]
        moment = format.moment(timestamp, interval)
      }
      at = format.write(room, at, index === start, known, samples.series[index], moment, samples.values[index])
    }
    at += out.write(format.close, at, 'latin1')
    return out.subarray(begin, at)
  }
}
