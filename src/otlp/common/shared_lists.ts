/*
 * Operations on lists that share the unchanged items.
 */

/** `array.map`, but returns the same array if every item stayed the same. */
export function mapShared<T>(array: readonly T[], change: (item: T) => T): readonly T[] {
  let result: T[] | undefined
  // A closure for each call, as `forEach` needs, costs a small batch more than the change.
  for (let index = 0; index < array.length; index++) {
    const changed = change(array[index])
    if (changed === array[index]) continue
    result ??= array.slice()
    result[index] = changed
  }
  return result ?? array
}

/** `array.filter`, but returns the same array if every item stayed. */
export function filterShared<T>(array: readonly T[], keep: (item: T) => boolean): readonly T[] {
  const kept = array.filter(keep)
  return kept.length === array.length ? array : kept
}

/** `mapShared` that leaves out the items for which `change` returns `undefined`. */
export function mapSome<T>(array: readonly T[], change: (item: T) => T | undefined): readonly T[] {
  const mapped = mapShared<T | undefined>(array, (item) => change(item as T))
  return mapped === array ? array : mapped.filter((item) => item !== undefined)
}
