import { concatMap, delay, from, mergeMap, NEVER, of, throwError } from 'rxjs'
import type { ProcessorComponent } from '../../src/component/processor.ts'
import type { ReceiverComponent } from '../../src/component/receiver.ts'
import type { Settings } from '../../src/component/settings.ts'
import { retryable } from '../../src/errors.ts'
import type { Batch } from '../../src/otlp/signal.ts'
import { SIGNALS, signals } from '../../src/otlp/signals.ts'
import type { Random } from '../kit/random.ts'
import type { Life } from './life.ts'

/** The receiver whose clients the simulation is. */
export function simulatedReceiver(life: () => Life): ReceiverComponent {
  return {
    kind: 'receiver',
    type: 'simulated',
    signals: SIGNALS,
    summary: 'Delivers what the simulation sends.',
    config: {},
    create({ id, deliver }) {
      life().inputs.set(id, deliver)
      return NEVER
    },
  }
}

/** A receiver with which no reload succeeds. */
export const brokenReceiver: ReceiverComponent = {
  kind: 'receiver',
  type: 'broken',
  signals: SIGNALS,
  summary: 'Fails to start.',
  config: {},
  create: () => throwError(() => new Error('It cannot start.')),
}

/** Processors that take their time, fail and hold what they are given. */
export function simulatedProcessors(random: Random): Readonly<Record<string, ProcessorComponent<Settings, Batch>>> {
  return {
    slow: {
      kind: 'processor',
      type: 'slow',
      signals: SIGNALS,
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
      signals: SIGNALS,
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
      signals: SIGNALS,
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
      signals: SIGNALS,
      summary: 'Makes two batches of one.',
      config: {},
      create: () => ({
        operator: concatMap((batch) => from(signals[batch.signal].split(batch, Math.ceil(batch.itemCount / 2)))),
      }),
    },
  }
}
