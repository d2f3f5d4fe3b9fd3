import { Attributes } from '../common/attributes.ts'
import type { AttributeValue } from '../common/attributes.ts'
import { MetricBatch } from '../metrics/batch.ts'
import { pointOf, remembered } from './difference.ts'
import type { CumulativePoint, Remembered } from './difference.ts'
import { Senders } from './senders.ts'
import type { Run } from './senders.ts'

/*
 * The senders of a series, as an OTLP request: a point for the memory of each run and of its base, and for a withheld
 * point. The attributes of a point say which of these it is.
 */
const TYPES = {
  number: { type: 'sum', monotonic: true },
  histogram: { type: 'histogram' },
  exponential_histogram: { type: 'exponential_histogram' },
  summary: { type: 'summary' },
} as const

export function writeSenders({ list, several, withheld, forgottenUntil }: Senders): Uint8Array {
  const points: CumulativePoint[] = []
  const add = (remembered: Remembered, attributes: Readonly<Record<string, AttributeValue>>): void => {
    points.push(pointOf(remembered).with({ attributes: Attributes.of(attributes) }))
  }
  list.forEach(({ runs, wavers }, sender) => {
    for (const { last, base } of runs) {
      add(last, { is: 'last', sender, wavers, several, forgottenUntil })
      if (base !== undefined) add(base, { is: 'base' })
    }
  })
  if (withheld !== undefined) add(withheld, { is: 'withheld' })
  const metric = { ...TYPES[list[0].runs[0].last.kind], temporality: 'cumulative', points } as const
  return MetricBatch.of({ metrics: [metric] }).toOtlp()
}

/** Reads the result of `writeSenders`. */
export function readSenders(bytes: Uint8Array): Senders {
  const [{ metric }] = MetricBatch.fromOtlp(bytes).metrics()
  const senders = new Senders(readPoint(metric.points[0]))
  const list: { runs: Run[]; wavers: boolean }[] = []
  for (const point of metric.points as readonly CumulativePoint[]) {
    const { attributes } = point
    const one = readPoint(point)
    if (attributes.get('is') === 'withheld') senders.withheld = one
    else if (attributes.get('is') === 'base') {
      const { runs } = list[list.length - 1]
      runs.push({ ...(runs.pop() as Run), base: one })
    } else {
      senders.several = attributes.get('several') === true
      senders.forgottenUntil = BigInt((attributes.get('forgottenUntil') ?? 0) as number | bigint)
      const sender = (list[Number(attributes.get('sender'))] ??= {
        runs: [],
        wavers: attributes.get('wavers') === true,
      })
      sender.runs.push({ last: one, base: undefined })
    }
  }
  senders.list = list
  return senders
}

function readPoint(point: CumulativePoint): Remembered {
  return remembered(point, point.startTimeUnixNano, undefined)
}
