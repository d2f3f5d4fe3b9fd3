import { describe, expect, it } from '@jest/globals'
import type { InitialValue } from '../../../src/otlp/delta/first_values.ts'
import { counter, differences, histogram, LATER, LONG_AGO, SECOND } from '../../kit/differences.ts'

/** A value of a counter, when it was read, and when its sender says that it began: seconds after `since`. */
type Reading = readonly [seconds: number, value: number, start: number]

/** What arrives of one point after the other, and what is counted. */
function follow(initialValue: InitialValue, readings: readonly Reading[], since = LONG_AGO) {
  const batches = readings.map(([seconds, value, start]) => {
    const [timeUnixNano, startTimeUnixNano] = [seconds, start].map((second) => since + BigInt(second) * SECOND)
    return counter({ value, isInt: true, timeUnixNano, startTimeUnixNano })
  })
  const { points, dropped, merged, created } = differences({ initialValue }, ...batches)
  return {
    arrived: points.map((point) => (point.kind === 'number' ? Number(point.value) : NaN)),
    dropped,
    merged,
    created,
  }
}

const FIRST = { first_value: 1 }

describe('a start after the last point', () => {
  it('is a restart, which counts from zero whatever the value is', () => {
    for (const value of [3, 100, 500]) {
      expect(
        follow('auto', [
          [10, 100, 0],
          [30, value, 20],
          [40, value + 1, 20],
        ]),
      ).toEqual({
        arrived: [value, 1],
        dropped: FIRST,
        merged: 0,
        created: 0,
      })
    }
  })

  it('only sets a base with drop', () => {
    expect(
      follow('drop', [
        [10, 100, 0],
        [30, 3, 20],
        [40, 5, 20],
      ]),
    ).toMatchObject({
      arrived: [2],
      dropped: { first_value: 1, counter_reset: 1 },
    })
  })

  it('that is the time of the point itself says that the start is not known', () => {
    expect(
      follow('auto', [
        [10, 100, 0],
        [30, 40, 30],
        [40, 45, 30],
      ]),
    ).toMatchObject({
      arrived: [5],
      dropped: { first_value: 1, counter_reset: 1 },
    })
    expect(
      follow('keep', [
        [10, 100, 0],
        [30, 40, 30],
        [40, 45, 30],
      ]).arrived,
    ).toEqual([100, 40, 5])
  })
})

describe('a start that wavers', () => {
  it('is no restart as long as nothing falls', () => {
    const readings: Reading[] = [
      [20, 100, 5],
      [30, 104, 7],
      [40, 104, 3],
      [50, 110, 6],
      [60, 111, 5],
      [70, 120, 8],
      [80, 121, 2],
    ]
    expect(follow('keep', readings)).toEqual({ arrived: [100, 4, 0, 6, 1, 9, 1], dropped: {}, merged: 0, created: 0 })
  })

  it('is a reset where the value falls, counted with the point after', () => {
    expect(
      follow('keep', [
        [20, 100, 5],
        [30, 4, 7],
        [40, 6, 3],
        [50, 9, 6],
      ]),
    ).toEqual({
      arrived: [100, 6, 3],
      dropped: {},
      merged: 1,
      created: 0,
    })
  })

  it('that lies after its point is no restart either, not even once its time has come', () => {
    const ahead: Reading[] = [
      [10, 100, 17],
      [15, 110, 17],
      [20, 120, 17],
      [25, 130, 17],
    ]
    expect(follow('auto', ahead)).toMatchObject({ arrived: [10, 10, 10], dropped: FIRST })
  })

  it('is no sender that was forgotten, however often it was reset', () => {
    const readings = Array.from({ length: 18 }, (_, at): Reading => [20 + 10 * at, [100, 4, 6][at % 3], (at * 7) % 19])
    const { arrived, dropped } = follow('keep', readings)
    expect([arrived, dropped]).toEqual([[100, 6, 94, 6, 94, 6, 94, 6, 94, 6, 94, 6], {}])
  })

  it('says nothing where it lies after its point', () => {
    expect(
      follow('keep', [
        [20, 100, 5],
        [30, 104, 31],
        [40, 106, 5],
      ]).arrived,
    ).toEqual([100, 4, 2])
    const fallen = follow('keep', [
      [20, 100, 5],
      [30, 4, 6],
      [25, 5, 26],
      [40, 6, 6],
    ])
    expect(fallen).toMatchObject({ arrived: [100, 6], dropped: { out_of_order: 1 } })
  })
})

describe('a fall', () => {
  it('with the same start again is a reset', () => {
    expect(
      follow('auto', [
        [10, 100, 0],
        [20, 5, 0],
        [30, 9, 0],
        [40, 10, 0],
      ]),
    ).toEqual({
      arrived: [9, 1],
      dropped: FIRST,
      merged: 1,
      created: 0,
    })
  })

  it('of one point alone was no reset: the next goes on from before it', () => {
    const dip: Reading[] = [
      [10, 1_000_000, 0],
      [20, 1_000_010, 0],
      [30, 1_000_009, 0],
      [40, 1_000_020, 0],
      [50, 1_000_030, 0],
    ]
    expect(follow('auto', dip)).toEqual({
      arrived: [10, 10, 10],
      dropped: { ...FIRST, counter_reset: 1 },
      merged: 1,
      created: 1,
    })
  })

  it('and rise by turns is another sender with the very same start, which is not counted', () => {
    const both: Reading[] = [
      [10, 5000, 0],
      [15, 3000, 0],
      [20, 5001, 0],
      [25, 3001, 0],
      [30, 5002, 0],
    ]
    expect(follow('auto', both)).toMatchObject({ arrived: [1, 1], dropped: { ...FIRST, counter_reset: 2 } })
  })

  it('is none where a histogram has other buckets and counts no less', () => {
    const point = (seconds: number, explicitBounds: number[], bucketCounts: number[]) => {
      const times = { startTimeUnixNano: LONG_AGO, timeUnixNano: LONG_AGO + BigInt(seconds) * SECOND }
      const count = bucketCounts.reduce((left, right) => left + right)
      return histogram({ ...times, count, bucketCounts, explicitBounds })
    }
    const { points, dropped } = differences(
      { initialValue: 'auto' },
      point(10, [5], [1000, 10]),
      point(20, [5, 10], [1000, 15, 5]),
      point(30, [5, 10], [1000, 20, 10]),
    )
    expect(points).toMatchObject([{ count: 10, bucketCounts: [0, 5, 5] }])
    expect(dropped).toEqual({ ...FIRST, counter_reset: 1 })
  })

  it('is not decided by a point that is late or comes twice', () => {
    expect(
      follow('auto', [
        [10, 100, 0],
        [20, 5, 0],
        [20, 5, 0],
        [15, 101, 0],
        [30, 9, 0],
      ]),
    ).toMatchObject({
      arrived: [9],
      dropped: { first_value: 1, duplicate_timestamp: 1, out_of_order: 1 },
    })
  })

  it('that is followed by another gives up the first of them', () => {
    expect(
      follow('auto', [
        [10, 100, 0],
        [20, 50, 0],
        [30, 5, 0],
        [40, 9, 0],
      ]),
    ).toEqual({
      arrived: [9],
      dropped: { first_value: 1, counter_reset: 1 },
      merged: 2,
      created: 1,
    })
  })

  it('before a restart is given up', () => {
    expect(
      follow('auto', [
        [10, 100, 0],
        [20, 5, 0],
        [40, 7, 30],
      ]),
    ).toEqual({
      arrived: [7],
      dropped: { first_value: 1, counter_reset: 1 },
      merged: 1,
      created: 1,
    })
  })

  it('only sets a base with drop', () => {
    expect(
      follow('drop', [
        [10, 100, 0],
        [20, 5, 0],
        [30, 9, 0],
      ]),
    ).toEqual({
      arrived: [4],
      dropped: { first_value: 1, counter_reset: 1 },
      merged: 0,
      created: 0,
    })
  })

  it('of a histogram is seen in one bucket, and of its sum alone is none', () => {
    const point = (seconds: number, bucketCounts: number[], sum: number) => {
      const times = { startTimeUnixNano: LONG_AGO, timeUnixNano: LONG_AGO + BigInt(seconds) * SECOND }
      const count = bucketCounts.reduce((left, right) => left + right)
      return histogram({ ...times, count, sum, bucketCounts, explicitBounds: [0] })
    }
    const { points } = differences(
      { initialValue: 'drop' },
      point(10, [2, 2], 5),
      point(20, [3, 2], -5),
      point(30, [2, 1], 0),
      point(40, [2, 2], 1),
    )
    expect(points).toMatchObject([
      { count: 1, sum: -10, bucketCounts: [1, 0] },
      { count: 1, sum: 1, bucketCounts: [0, 1] },
    ])
  })
})

describe('two senders of one series', () => {
  it('are two counters, once the first goes on after a fall', () => {
    const readings: Reading[] = [
      [30, 101, 10],
      [35, 51, 14],
      [40, 102, 10],
      [45, 52, 14],
      [50, 103, 10],
      [55, 53, 14],
    ]
    const { arrived, dropped } = follow('auto', readings, LATER)
    expect([arrived, dropped]).toEqual([[101, 52, 1, 1, 1], {}])
  })

  it('are corrected where the second was taken for the first with another start', () => {
    const readings: Reading[] = [
      [30, 51, 10],
      [35, 101, 14],
      [40, 52, 10],
      [45, 102, 14],
      [50, 53, 10],
    ]
    const { arrived } = follow('keep', readings)
    expect(arrived).toEqual([51, 50, 52, 1, 1])
    expect(arrived.reduce((left, right) => left + right)).toBe(102 + 53)
  })

  it('are corrected when they have overtaken each other', () => {
    const { arrived } = follow('keep', [
      [30, 10, 10],
      [35, 20, 14],
      [40, 30, 10],
      [45, 25, 14],
      [50, 31, 10],
    ])
    expect(arrived.reduce((left, right) => left + right)).toBe(31 + 25)
  })

  it('are corrected where a third has been taken for a reset of both', () => {
    const readings: Reading[] = [
      [30, 7, 2],
      [40, 7, 3],
      [50, 10, 2],
      [60, 0, 1],
      [70, 0, 1],
      [80, 7, 3],
      [90, 11, 2],
      [100, 8, 3],
    ]
    const { arrived } = follow('keep', readings)
    expect(arrived.reduce((left, right) => left + right)).toBe(11 + 8)
  })

  it('are not corrected by what was there before anybody watched', () => {
    expect(
      follow('auto', [
        [30, 100, 10],
        [35, 50, 14],
        [40, 102, 10],
        [45, 53, 14],
      ]),
    ).toMatchObject({
      arrived: [2, 3],
      dropped: { first_value: 2 },
    })
  })

  it('are seen where one begins while the other goes on', () => {
    const readings: Reading[] = [
      [30, 100, 0],
      [40, 7, 35],
      [41, 103, 0],
      [50, 8, 35],
      [51, 104, 0],
    ]
    expect(follow('auto', readings)).toMatchObject({ arrived: [7, 3, 1, 1], dropped: FIRST, merged: 0 })
  })

  it('are each held against their own last point', () => {
    const readings: Reading[] = [
      [30, 100, 10],
      [65, 50, 14],
      [40, 102, 10],
      [75, 53, 14],
      [50, 103, 10],
      [75, 53, 14],
      [45, 103, 10],
    ]
    const { arrived, dropped } = follow('keep', readings)
    expect(arrived.reduce((left, right) => left + right)).toBe(103 + 53)
    expect(dropped).toEqual({ duplicate_timestamp: 1, out_of_order: 1 })
  })

  it('are each counted from zero after a reset of their own', () => {
    const readings: Reading[] = [
      [30, 100, 10],
      [35, 50, 14],
      [40, 102, 10],
      [45, 3, 14],
      [50, 103, 10],
      [55, 4, 14],
    ]
    expect(follow('keep', readings).arrived).toEqual([100, 52, 3, 1, 1])
  })
})

describe('more than four senders of one series', () => {
  /** Four that are known to be several, the last at 60 seconds. */
  const four: Reading[] = [
    [20, 100, 1],
    [30, 50, 2],
    [40, 101, 1],
    [50, 30, 3],
    [60, 20, 4],
  ]

  it('are withheld under a reason of their own', () => {
    const batches = [...four, [70, 10, 5], [80, 11, 5]].map(([seconds, value, start]) =>
      counter({
        value,
        isInt: true,
        timeUnixNano: LONG_AGO + BigInt(seconds) * SECOND,
        startTimeUnixNano: LONG_AGO + BigInt(start) * SECOND,
      }),
    )
    const named: string[] = []
    const { dropped } = differences(
      { initialValue: 'keep', severalWriters: ({ name }) => void named.push(name) },
      ...batches,
    )
    expect(dropped).toEqual({ several_writers: 2 })
    expect(named).toEqual(['requests', 'requests'])
  })

  it('take the place of one that has been silent for five minutes', () => {
    const { arrived, dropped } = follow('keep', [...four, [340, 9, 320], [350, 10, 320]])
    expect([arrived.slice(-2), dropped]).toEqual([[9, 1], {}])
  })

  it('are not counted twice where one comes back whose place was taken', () => {
    const { arrived, dropped } = follow('keep', [...four, [340, 9, 320], [700, 52, 2], [710, 53, 2]])
    expect([arrived.slice(-2), dropped]).toEqual([[9, 1], { first_value: 1 }])
  })
})

describe('a sender that goes on after another has restarted four times', () => {
  it('is not taken for that with another start', () => {
    const restarts = [20, 30, 40, 50].map((seconds): Reading => [seconds, 2, seconds - 1])
    const { arrived, dropped } = follow('keep', [
      [10, 1000, 0],
      ...restarts,
      [60, 1001, 0],
      [400, 1002, 0],
      [410, 1003, 0],
    ])
    expect([arrived, dropped]).toEqual([[1000, 2, 2, 2, 2, 1], { several_writers: 1, first_value: 1 }])
  })
})

describe('a late point of a sender that has restarted', () => {
  it('counts, and makes no second sender of it', () => {
    const restarts = [40, 50, 60, 70, 80].map((seconds): Reading => [seconds, 2, seconds - 1])
    const { arrived, dropped } = follow('auto', [[10, 100, 0], [30, 5, 20], [15, 104, 0], [35, 7, 20], ...restarts])
    expect([arrived, dropped]).toEqual([[5, 4, 2, 2, 2, 2, 2, 2], FIRST])
  })

  it('leaves a fall of the next undecided', () => {
    const readings: Reading[] = [
      [10, 100, 0],
      [30, 5, 20],
      [40, 1, 20],
      [15, 104, 0],
      [50, 2, 20],
      [60, 3, 20],
    ]
    expect(follow('auto', readings)).toMatchObject({ arrived: [5, 4, 2, 1], dropped: FIRST, merged: 1, created: 0 })
  })

  it('does not make a restart of a start that wavers', () => {
    expect(
      follow('auto', [
        [10, 100, 0],
        [30, 5, 20],
        [15, 104, 0],
        [35, 7, 18],
      ]).arrived,
    ).toEqual([5, 4, 2])
  })
})
