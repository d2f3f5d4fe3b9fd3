import { concatMap, delay, from, mergeMap, NEVER, of } from 'rxjs'
import type { ProcessorComponent } from '../../src/component/processor.ts'
import type { ReceiverComponent } from '../../src/component/receiver.ts'
import { retryable } from '../../src/errors.ts'
import type { Random } from '../kit/random.ts'
import type { Life } from './life.ts'

/** The receiver whose clients the simulation is. */
export function simulatedReceiver(life: () => Life): ReceiverComponent {
  return {
    kind: 'receiver',
    type: 'simulated',
    summary: 'Delivers what the simulation sends.',
    config: {},
    create({ id, deliver }) {
      life().inputs.set(id, deliver)
      return NEVER
    },
  }
}

/** Processors that take their time, fail and hold what they are given. */
export function simulatedProcessors(random: Random): Readonly<Record<string, ProcessorComponent>> {
  return {
    slow: {
      kind: 'processor',
      type: 'slow',
      summary: 'Takes its time.',
      config: {},
      create:
        ({ clock }) =>
        async (batch) => {
          if (random.chance(0.5)) await clock.sleep(1 + random.below(random.chance(0.1) ? 5000 : 50))
          return batch
        },
    },
    failing: {
      kind: 'processor',
      type: 'failing',
      summary: 'Fails at times.',
      config: {},
      create: () => (batch) => {
        if (random.chance(0.1)) throw new Error('It failed.')
        if (random.chance(0.1)) throw retryable('It is busy.')
        return batch
      },
    },
    holding: {
      kind: 'processor',
      type: 'holding',
      changes: 'holds',
      summary: 'Holds each batch for a while.',
      config: {},
      create: ({ clock }) => ({
        operator: mergeMap((batch) => of(batch).pipe(delay(1 + random.below(500), clock.scheduler))),
      }),
    },
    splitting: {
      kind: 'processor',
      type: 'splitting',
      summary: 'Makes two batches of one.',
      config: {},
      create: () => ({
        operator: concatMap((batch) => {
          let first = true
          const take = (): boolean => !(first = !first)
          const half = batch.filterPoints(take)
          first = true
          return from([half, batch.filterPoints(() => !take())])
        }),
      }),
    },
  }
}
