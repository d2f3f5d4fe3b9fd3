import { bufferCount, map, Observable } from 'rxjs'
import { defineComponent } from 'heka-pipeline'
import { defaultWindow } from './window'

enum Kept {
  Last = -1,
}

/** TypeScript that Node alone would not run, with imports from everywhere a component may import from. */
export default [
  defineComponent({
    kind: 'processor',
    type: 'rate',
    summary: 'Keeps the last batch of a few.',
    changes: 'filters',
    config: { window: { doc: 'How long.', format: 'duration', default: defaultWindow } },
    create: () => ({
      operator: (batches) => {
        if (!(batches instanceof Observable)) throw new Error('another copy of RxJS')
        return batches.pipe(
          bufferCount(2),
          map((kept) => kept.at(Kept.Last)!),
        )
      },
    }),
  }),
]
