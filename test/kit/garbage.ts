import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { until } from './until.ts'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

/** Resolves when nothing holds any of the objects any more. */
export async function gone(objects: readonly WeakRef<object>[]): Promise<void> {
  await until(() => {
    collectGarbage()
    return objects.every((object) => object.deref() === undefined)
  })
}
