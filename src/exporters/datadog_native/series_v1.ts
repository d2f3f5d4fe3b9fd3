import { writeNumber } from '../../text/digits.ts'
import { momentOf, writeMoment } from './series_format.ts'
import type { SeriesFormat } from './series_format.ts'

const OPEN = '{"series":['
const CLOSE = ']}'

/** Source: datadog-api-client-typescript, v1/openapi.yaml, `MetricsPayload`; 62,914,560 bytes raw are allowed. */
export const v1: SeriesFormat = {
  path: '/api/v1/series',
  contentType: 'application/json',
  // The raw limit of the Datadog Agent, which keeps each compression short.
  limits: { wire: 3_200_000, raw: 4_194_304 },
  maxPoints: Infinity,
  open: OPEN,
  close: CLOSE,
  // `,` and `,"interval":<int>,"points":[[<int>,<double>]]}`
  rest: 96,
  frame({ metric, type, host }) {
    const head = JSON.stringify({ metric, type, host }).slice(0, -1)
    return { head: Buffer.from(`${head},"tags":[`), tail: Buffer.from(']') }
  },
  tags(out, at, { count, bytes, starts, ends }) {
    let end = at
    for (let index = 0; index < count; index++) {
      if (index > 0) out[end++] = COMMA
      out[end++] = QUOTE
      // A normalised tag has no characters that JSON escapes.
      for (let from = starts[index]; from < ends[index]; from++) out[end++] = bytes[from]
      out[end++] = QUOTE
    }
    return end
  },
  moment(timestamp, interval) {
    return momentOf(Buffer.from(`${interval === 0 ? '' : `,"interval":${interval}`},"points":[[${timestamp},`))
  },
  write(room, at, first, known, series, moment, value) {
    const out = room.bytes
    let end = at
    if (!first) out[end++] = COMMA
    end = writeMoment(room, known.copy(series, end), moment)
    end = writeNumber(out, end, value)
    out[end++] = BRACKET
    out[end++] = BRACKET
    out[end++] = BRACE
    return end
  },
  divide(body, count) {
    const { series } = JSON.parse(body.toString()) as { series: unknown[] }
    return [
      Buffer.from(JSON.stringify({ series: series.slice(0, count) })),
      Buffer.from(JSON.stringify({ series: series.slice(count) })),
    ]
  },
}

const COMMA = ','.charCodeAt(0)
const QUOTE = '"'.charCodeAt(0)
const BRACKET = ']'.charCodeAt(0)
const BRACE = '}'.charCodeAt(0)
