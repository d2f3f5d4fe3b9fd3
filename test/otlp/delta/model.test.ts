import { describe, expect, it } from '@jest/globals'
import fc from 'fast-check'
import { MetricBatch } from '../../../src/otlp/metrics/batch.ts'
import { plus } from '../../kit/counted.ts'
import type { Amounts, Said } from '../../kit/counted.ts'
import { runs } from '../../kit/fuzzing.ts'
import { often, ofNewSeries, ofOneProcess, ofSeveralProcesses, seriesOf } from '../../kit/histories.ts'
import type { History } from '../../kit/histories.ts'
import { Mortal } from '../../kit/mortal.ts'

/** All that processes have reported: the last of each of their runs. */
function reported(said: readonly Said[]): Amounts {
  const last = new Map<number, Said>()
  for (const one of said) if ((last.get(one.run)?.order ?? 0) < one.order) last.set(one.run, one)
  return [...last.values()].map(({ amounts }) => amounts).reduce(plus)
}

function total(counts: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const sums: Record<string, number> = {}
  for (const count of counts) for (const key of Object.keys(count)) sums[key] = (sums[key] ?? 0) + count[key]
  return sums
}

/** What arrives of a history, read from bytes or objects. After some requests another engine takes the memory over. */
function arrivals(
  { kind, requests, options, knownFrom }: History,
  bytes: boolean,
  deaths: Iterator<boolean> | undefined,
) {
  const arrived = new Map<number, Amounts>()
  let dropped: Record<string, number> = {}
  let [merged, created, sent, got, lost] = [0, 0, 0, 0, 0]
  const account = {
    dropped(reason: string, points: number): void {
      dropped = total([dropped, { [reason]: points }])
      lost += points
    },
    merged: (points: number): void => void (merged += points),
    created: (points: number): void => void (created += points),
  }
  const engine = new Mortal(options)
  requests.forEach((request, number) => {
    if (number === knownFrom) dropped = {}
    sent += request.pointCount
    const differences = engine.apply(bytes ? MetricBatch.fromOtlp(request.toOtlp()) : request, account)
    for (const { metric } of MetricBatch.fromOtlp(differences.toOtlp()).metrics()) {
      if (metric.type !== 'summary') expect(metric.temporality).toBe('delta')
      for (const point of metric.points) {
        got++
        const [series, amounts] = [seriesOf(point), kind.amounts(point)]
        arrived.set(series, plus(arrived.get(series) ?? amounts.map(() => 0n), amounts))
      }
    }
    if (deaths?.next().value === true) engine.die()
  })
  expect(got + merged + lost).toBe(sent + created)
  return { arrived, dropped, merged, created }
}

/*
 * The counters themselves know what was counted. What arrives has to be that, but for what stands under a reason: by the
 * number of points, and, as `Balance` says which amount each of them stands for, by the amount.
 */
describe.each<[string, fc.Arbitrary<History>]>([
  [
    'one process at a time, with resets, restarts, starts that waver, clocks that are set, and points that are late',
    ofOneProcess,
  ],
  ['several processes at a time, which restart, are reset, come and go', ofSeveralProcesses],
  ['series that appear while their metric is exported', ofNewSeries],
])('what arrives of %s', (_title, history) => {
  it('is what was counted, or stands under its reason', () => {
    fc.assert(
      fc.property(
        history,
        fc.boolean(),
        fc.option(fc.infiniteStream(often(false, 4, true))),
        (history, bytes, deaths) => {
          const { kind, said, knownFrom, canDie } = history
          const balances = [...history.balances]
          for (const [series, balance] of balances) {
            const all = [...balance.standing().values()].reduce(plus, balance.arrived)
            expect([series, all]).toEqual([series, reported(said.get(series) ?? [])])
          }
          const { arrived, dropped, merged, created } = arrivals(
            history,
            bytes,
            canDie ? (deaths ?? undefined) : undefined,
          )
          for (const [series, balance] of balances) {
            const expected = kind.roughly(balance.arrived)
            expect([series, arrived.get(series) ?? expected.map(() => 0n)]).toEqual([series, expected])
          }
          expect(dropped).toEqual(total(balances.map(([, balance]) => balance.dropped)))
          if (knownFrom > 0) return
          const later = balances.map(([, { merged, created }]) => ({ merged, created }))
          expect({ merged, created }).toEqual(total([{ merged: 0, created: 0 }, ...later]))
        },
      ),
      runs(120),
    )
  })
})
