import { describe, expect, it } from '@jest/globals'
import { bufferCount, concatMap, delay, filter, map, of, Subject, take, throwError } from 'rxjs'
import type { Observable } from 'rxjs'
import type { ProcessorComponent } from '../../../src/component/processor.ts'
import { asDeliveryError, retryable } from '../../../src/errors.ts'
import type { DeliveryErrorKind } from '../../../src/errors.ts'
import { MetricBatch } from '../../../src/otlp/metrics/batch.ts'
import { NumberPoint } from '../../../src/otlp/metrics/points.ts'
import { guard, MAX_IN_FLIGHT } from '../../../src/pipeline/graph/guard.ts'
import { Receipt } from '../../../src/pipeline/graph/receipt.ts'
import type { Envelope } from '../../../src/pipeline/graph/receipt.ts'
import { PipelineSheet } from '../../../src/pipeline/telemetry/telemetry.ts'
import { VirtualClock } from '../../../src/time/virtual_clock.ts'

/** A batch of one gauge with the given values. */
function batch(...values: number[]): MetricBatch {
  return MetricBatch.of({
    metrics: [{ name: 'm', type: 'gauge', points: values.map((value) => new NumberPoint({ value })) }],
  })
}

function values(of: MetricBatch): unknown[] {
  return [...of.metrics()].flatMap(({ metric }) => metric.points.map((point) => (point as NumberPoint).value))
}

/** A guarded processor between a source and a sink that closes every receipt, with the sheet of its pipeline. */
function run(
  processor: ReturnType<ProcessorComponent['create']>,
  changes?: ProcessorComponent['changes'],
  custom = true,
) {
  const sheet = new PipelineSheet()
  const source = new Subject<Envelope>()
  const out: unknown[][] = []
  const messages: string[] = []
  const write = (message: string, fields: object = {}): number => messages.push(`${message} ${JSON.stringify(fields)}`)
  let completed = false
  const log = { debug: write, info: write, warn: write, error: write }
  const reports: (string | undefined)[] = []
  const report = (problem: string | undefined): void => void reports.push(problem)
  const clock = new VirtualClock()
  const guarded = { changes, sheet, log, custom, timeout: () => 60_000, report, clock }
  source.pipe(guard(processor, guarded)).subscribe({
    next: (envelope) => {
      out.push(values(envelope.batch as MetricBatch))
      sheet.handedOn += envelope.batch.itemCount
      envelope.receipt.close()
    },
    complete: () => (completed = true),
  })
  return {
    sheet,
    out,
    messages,
    reports,
    clock,
    isComplete: () => completed,
    complete: () => source.complete(),
    /** Sends a batch and returns its outcome: what its receiver will be told. */
    send(...points: number[]): Promise<'accepted' | DeliveryErrorKind | undefined> {
      sheet.accepted += points.length
      return new Promise((resolve) => {
        const receipt = new Receipt(1, (error) =>
          resolve(error === undefined ? 'accepted' : asDeliveryError(error)?.kind),
        )
        source.next({ batch: batch(...points), receipt })
      })
    },
    /** Sends a batch that its receiver cannot keep. */
    emit(...points: number[]): void {
      sheet.accepted += points.length
      source.next({ batch: batch(...points), receipt: new Receipt(1) })
    },
    /** accepted + created less everything that is accounted for; 0 at every moment. */
    difference(): number {
      const { accepted, created, dropped, ...terms } = sheet.balance()
      const lost = Object.values(dropped).reduce((sum, points) => sum + points, 0)
      return accepted + created - lost - Object.values(terms).reduce((sum, points) => sum + points, 0)
    },
  }
}

/** Fails wherever it is looked at. */
const unreadable = (target: object): object => {
  const fail = (): never => {
    throw new Error('q')
  }
  return new Proxy(target, { get: fail, has: fail, getPrototypeOf: fail, ownKeys: fail })
}

describe('a guarded function', () => {
  it.each([
    ['a proxy that nothing can be read from', unreadable({})],
    ['a proxy of an error', new Proxy(retryable('x'), { get: () => unreadable({}) })],
  ])('loses no point without a trace when %s is thrown', async (_what, thrown) => {
    const { sheet, messages, ...guarded } = run(() => {
      throw thrown as Error
    })
    expect(await guarded.send(1, 2)).not.toBe('accepted')
    expect(sheet.balance()).toMatchObject({ dropped: { processor_error: 2 } })
    expect(messages[0]).toContain('without a message')
    expect(guarded.difference()).toBe(0)
    const rejecting = run(() => Promise.reject(thrown))
    await rejecting.send(1)
    expect(rejecting.sheet.balance()).toMatchObject({ dropped: { processor_error: 1 } })
  })

  it('costs one counted batch when it throws, and lives on', async () => {
    const step = run((given) => {
      if (values(given).includes(13)) throw new Error('no thirteens')
      return given
    })
    await step.send(1, 2)
    await expect(step.send(13, 14)).resolves.toBe('partial')
    await step.send(3)
    expect(step.out).toEqual([[1, 2], [3]])
    expect(step.sheet.balance().dropped).toEqual({ processor_error: 2 })
    expect(step.messages).toEqual([expect.stringContaining('no thirteens'), expect.stringContaining('guard.test.ts')])
    expect(step.difference()).toBe(0)
  })

  it('refuses a batch to its receiver when it throws that it may succeed later, and counts it where that cannot keep it', async () => {
    const step = run((given) => {
      if (values(given).includes(13)) throw retryable('not now', undefined, { reason: 'not_now' })
      return given
    })
    await expect(step.send(13, 14)).resolves.toBe('retryable')
    await expect(step.send(1)).resolves.toBe('accepted')
    step.emit(13)
    expect(step.sheet.balance()).toMatchObject({ refused: 2, dropped: { not_now: 1 }, held: 0, handed_on: 1 })
    expect(step.messages).toEqual([
      expect.stringContaining('{"event":"items_refused","reason":"not_now","error":"not now","items":1}'),
    ])
    expect(step.difference()).toBe(0)
  })

  it('counts what it leaves out as it declares', async () => {
    const keepFirst = (given: MetricBatch): MetricBatch => batch(values(given)[0] as number)
    const filters = run(keepFirst, 'filters')
    await filters.send(1, 2, 3)
    expect(filters.sheet.balance()).toMatchObject({ filtered: 2, handed_on: 1 })
    const merges = run(keepFirst, 'merges')
    await merges.send(1, 2, 3)
    expect(merges.sheet.balance()).toMatchObject({ merged: 2, handed_on: 1 })
    const silent = run(keepFirst)
    await silent.send(1, 2, 3)
    expect(silent.sheet.balance()).toMatchObject({ dropped: { undeclared: 2 }, handed_on: 1 })
    expect(silent.messages).toHaveLength(1)
    const creates = run((given) => MetricBatch.merge([given, given]), 'creates')
    await creates.send(1, 2)
    expect(creates.sheet.balance()).toMatchObject({ created: 2, handed_on: 4 })
    for (const step of [filters, merges, silent, creates]) expect(step.difference()).toBe(0)
  })

  it('tells what was filtered from what was merged and created where the processor says it', async () => {
    const step = run(
      (given, account) => {
        account.filtered(2)
        if (values(given).includes(13)) throw retryable('not now')
        if (values(given).includes(14)) throw new Error('never')
        return batch(...Array<number>(values(given).length === 4 ? 1 : 5).fill(0))
      },
      ['filters', 'merges', 'creates'],
    )
    await step.send(1, 2, 3, 4)
    expect(step.sheet.balance()).toMatchObject({ filtered: 2, merged: 1, created: 0, handed_on: 1 })
    await step.send(13, 0)
    await step.send(14, 0)
    await step.send(1, 2, 3)
    expect(step.sheet.balance()).toMatchObject({
      filtered: 4,
      merged: 1,
      created: 4,
      refused: 2,
      dropped: { processor_error: 2 },
      handed_on: 6,
    })
    expect(step.difference()).toBe(0)
  })

  it('takes a batch of which nothing is left', async () => {
    const step = run(() => undefined, 'filters')
    await expect(step.send(1, 2)).resolves.toBe('accepted')
    expect(step.sheet.balance().filtered).toBe(2)
  })

  it.each([[{ resourceMetrics: [] }], [42], ['text'], [null], [true]])(
    'refuses to pass on %p, which is not a batch',
    async (result) => {
      const step = run((() => result) as never)
      await step.send(1)
      expect(step.difference()).toBe(0)
      expect(step.sheet.balance().dropped).toEqual({ processor_error: 1 })
      expect(step.messages[0]).toContain('its result: must be a MetricBatch, not ')
    },
  )

  it('keeps the order of batches when it answers later, and holds them meanwhile', async () => {
    let open = (): void => undefined
    const gate = new Promise<void>((resolve) => (open = resolve))
    const step = run((given) => gate.then(() => given))
    const sent = [step.send(1), step.send(2, 3)]
    expect(step.sheet.balance()).toMatchObject({ accepted: 3, held: 3 })
    expect(step.difference()).toBe(0)
    open()
    await Promise.all(sent)
    expect(step.out).toEqual([[1], [2, 3]])
    expect(step.sheet.balance()).toMatchObject({ held: 0, handed_on: 3 })
  })

  it('is asked once for each batch, also for one that comes as soon as the last is through', async () => {
    const asked: unknown[] = []
    const step = run(async (given) => {
      asked.push(...values(given))
      return Promise.resolve(given)
    })
    for (const value of [1, 2, 3]) await step.send(value)
    expect(asked).toEqual([1, 2, 3])
    expect(step.out).toEqual([[1], [2], [3]])
    expect(step.sheet.balance()).toMatchObject({ held: 0, handed_on: 3 })
    expect(step.difference()).toBe(0)
  })

  it('counts a rejected promise like a throw', async () => {
    const step = run(async () => Promise.reject(new Error('later')))
    await Promise.all([step.send(1), step.send(2)])
    expect(step.sheet.balance().dropped).toEqual({ processor_error: 2 })
    expect(step.difference()).toBe(0)
  })

  it('refuses batches to their receiver when too many wait, and says so', async () => {
    const release = new Subject<void>()
    const step = run((given) => new Promise((resolve) => release.subscribe(() => resolve(given))))
    const sent = Array.from({ length: MAX_IN_FLIGHT + 1 }, (_, index) => step.send(index))
    await expect(sent[MAX_IN_FLIGHT]).resolves.toBe('retryable')
    expect(step.sheet.balance()).toMatchObject({ refused: 1, held: MAX_IN_FLIGHT })
    expect(step.messages).toEqual([expect.stringContaining('"event":"processor_busy"')])
    expect(step.difference()).toBe(0)
    const drained = Promise.all(sent)
    while (step.out.length < MAX_IN_FLIGHT) {
      release.next()
      await Promise.resolve()
    }
    await drained
    expect(step.difference()).toBe(0)
  })

  it('lets many batches wait behind a large one in a processor of this package', async () => {
    const release = new Subject<void>()
    const step = run((given) => new Promise((resolve) => release.subscribe(() => resolve(given))), undefined, false)
    const sent = Array.from({ length: 10 * MAX_IN_FLIGHT }, (_, index) => step.send(index))
    const refused = step.sheet.balance().refused
    while (step.out.length < sent.length) {
      release.next()
      await Promise.resolve()
    }
    expect(await Promise.all(sent)).toEqual(sent.map(() => 'accepted'))
    expect([refused, step.out]).toEqual([0, sent.map((_, index) => [index])])
    expect(step.difference()).toBe(0)
  })

  it('completes when the last batch in its hands is through', async () => {
    const step = run(async (given) => Promise.resolve(given))
    const sent = step.send(1)
    step.complete()
    expect(step.isComplete()).toBe(false)
    await sent
    await Promise.resolve()
    await Promise.resolve()
    expect(step.isComplete()).toBe(true)
  })
})

describe('a guarded function that never answers', () => {
  it('is reported after 30 s, and its batch is given up and counted after processor_timeout', async () => {
    let calls = 0
    const step = run((given) => (++calls === 1 ? new Promise(() => undefined) : Promise.resolve(given)))
    const hung = step.send(1, 2)
    const next = step.send(3)
    await step.clock.advance(29_999)
    expect(step.reports).toEqual([])
    await step.clock.advance(1)
    expect(step.reports).toEqual(['It has not answered on a batch for 30 s.'])
    expect(step.sheet.balance()).toMatchObject({ held: 3, handed_on: 0 })
    await step.clock.advance(30_000)
    await expect(hung).resolves.toBe('partial')
    await expect(next).resolves.toBe('accepted')
    expect(step.out).toEqual([[3]])
    expect(step.sheet.balance()).toMatchObject({ dropped: { processor_timeout: 2 }, held: 0, handed_on: 1 })
    expect(step.reports).toEqual(['It has not answered on a batch for 30 s.', undefined])
    expect(step.difference()).toBe(0)
  })

  it('is not listened to when it answers after all, or says then what it left out', async () => {
    let answer = (): void => undefined
    let calls = 0
    const step = run((given, account) => {
      if (++calls > 1) return Promise.resolve(given)
      return new Promise((resolve) => {
        answer = () => {
          account.filtered(1)
          resolve(given)
        }
      })
    }, 'filters')
    const hung = step.send(1)
    await step.clock.advance(60_000)
    await hung
    answer()
    await step.send(2)
    expect(step.out).toEqual([[2]])
    expect(step.sheet.balance()).toMatchObject({ dropped: { processor_timeout: 1 }, filtered: 0 })
    expect(step.difference()).toBe(0)
  })

  it('keeps the order and the bound of the batches that wait, each for its turn', async () => {
    const step = run(() => new Promise(() => undefined))
    const outcomes = Array.from({ length: MAX_IN_FLIGHT + 1 }, (_, index) => step.send(index))
    await expect(outcomes.at(-1)).resolves.toBe('retryable')
    for (let turn = 0; turn < MAX_IN_FLIGHT; turn++) {
      await step.clock.advance(60_000)
      await expect(outcomes[turn]).resolves.toBe('partial')
    }
    expect(step.sheet.balance()).toMatchObject({ dropped: { processor_timeout: MAX_IN_FLIGHT }, refused: 1, held: 0 })
    expect(step.difference()).toBe(0)
  })
})

describe('what a guarded processor hands over', () => {
  const wrong = (): MetricBatch =>
    MetricBatch.of({ metrics: [{ name: 'm', type: 'gauge', points: [{ value: 'x' } as never] }] })

  it('costs the batch, with the metric and the key, where a promise brings it', async () => {
    const step = run(async () => wrong())
    await expect(step.send(1)).resolves.toBe('partial')
    expect(step.messages[0]).toContain('points[0].value must be a number or a bigint, not a string')
    expect(step.sheet.balance().dropped).toEqual({ processor_error: 1 })
  })

  it('ends an operator that emits it, and the next batch gets a new one', async () => {
    let created = 0
    const operator = (source: Observable<MetricBatch>): Observable<MetricBatch> => {
      created += 1
      return source.pipe(map((given) => (values(given)[0] === 13 ? wrong() : given)))
    }
    const step = run({ operator })
    await step.send(1)
    await expect(step.send(13)).resolves.toBe('partial')
    await step.send(2)
    expect(step.out).toEqual([[1], [2]])
    expect(created).toBe(2)
    expect(step.messages[0]).toContain('its output: metric \\"m\\": points[0].value must be')
    expect(step.sheet.balance().dropped).toEqual({ processor_error: 1 })
    expect(step.difference()).toBe(0)
  })

  it.each<[unknown, string]>([
    [Number.NaN, 'a number, NaN'],
    ['1', 'a string'],
    [undefined, 'nothing'],
    [-1, 'a number, -1'],
  ])('is a number of points where it says what it filtered, not %p', async (points, given) => {
    const step = run((batch, account) => {
      account.filtered(points as number)
      return batch
    })
    await step.send(1)
    expect(step.messages[0]).toContain(
      `\`account.filtered\` must be given a number of items, a whole number from 0, not ${given}`,
    )
    expect(step.difference()).toBe(0)
  })

  it('is no more points than the batch has, all calls together', async () => {
    const step = run((batch, account) => {
      account.filtered(2)
      account.filtered(1e9)
      return batch
    })
    await step.send(1, 2, 3)
    expect(step.messages[0]).toContain(
      '`account.filtered` must be given at most the 3 items of the batch in hand, all calls together, not 1000000002',
    )
    expect(step.sheet.balance()).toMatchObject({ filtered: 0, dropped: { processor_error: 3 } })
    expect(step.difference()).toBe(0)
  })
})

describe('a guarded operator', () => {
  it('is renewed when it fails; the batch in hand and what it held are counted', async () => {
    const operator = (source: Observable<MetricBatch>) =>
      source.pipe(
        map((given) => {
          if (values(given).includes(13)) throw new Error('no thirteens')
          return given
        }),
        bufferCount(2),
        map((batches) => MetricBatch.merge(batches)),
      )
    const step = run({ operator }, 'holds')
    await step.send(1, 2)
    expect(step.sheet.balance().held).toBe(2)
    await expect(step.send(13)).resolves.toBe('partial')
    expect(step.sheet.balance()).toMatchObject({ held: 0, dropped: { processor_error: 3 } })
    await step.send(4)
    await step.send(5)
    expect(step.out).toEqual([[4, 5]])
    expect(step.difference()).toBe(0)
  })

  it('releases what it holds when the pipeline stops', async () => {
    const step = run(
      {
        operator: (source) =>
          source.pipe(
            bufferCount(3),
            map((batches) => MetricBatch.merge(batches)),
          ),
      },
      'holds',
    )
    await step.send(1)
    await step.send(2)
    step.complete()
    expect(step.out).toEqual([[1, 2]])
    expect(step.isComplete()).toBe(true)
    expect(step.sheet.balance()).toMatchObject({ held: 0, handed_on: 2 })
    expect(step.difference()).toBe(0)
  })

  it('counts what it never released as lost', async () => {
    const step = run({ operator: (source) => source.pipe(filter(() => false)) }, 'holds')
    await step.send(1, 2)
    step.complete()
    expect(step.sheet.balance()).toMatchObject({ held: 0, dropped: { not_released: 2 } })
  })

  it('counts everything that goes in as merged and everything that comes out as created when it replaces', async () => {
    const step = run(
      {
        operator: (source) =>
          source.pipe(
            bufferCount(2),
            map(() => batch(7)),
          ),
      },
      'replaces',
    )
    await step.send(1, 2)
    await step.send(3)
    expect(step.out).toEqual([[7]])
    expect(step.sheet.balance()).toMatchObject({ accepted: 3, created: 1, merged: 3, held: 0, handed_on: 1 })
  })

  it('passes the receipt on with what it emits at once, and takes over what it emits later', async () => {
    const step = run({ operator: (source) => source.pipe(concatMap((given) => of(given).pipe(delay(1)))) }, 'holds')
    await expect(step.send(1)).resolves.toBe('accepted')
    expect(step.sheet.balance().held).toBe(1)
    await new Promise<void>((resolve) => {
      const poll = setInterval(() => {
        if (step.out.length === 0) return
        clearInterval(poll)
        resolve()
      }, 1)
    })
    expect(step.sheet.balance()).toMatchObject({ held: 0, handed_on: 1 })
  })

  it.each([
    ['fails at once', () => throwError(() => new Error('at once'))],
    [
      'throws when it is called',
      () => {
        throw new Error('at once')
      },
    ],
    ['completes early', (source: Observable<MetricBatch>) => source.pipe(take(0))],
  ])('that %s costs each batch it is given and never ends the stream', async (_name, operator) => {
    const step = run({ operator })
    await step.send(1)
    await step.send(2, 3)
    step.complete()
    expect(step.sheet.balance()).toMatchObject({ dropped: { processor_error: 3 } })
    expect(step.difference()).toBe(0)
    expect(step.isComplete()).toBe(true)
  })
})
