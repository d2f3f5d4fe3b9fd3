import type { Divided } from '../../time/turns.ts'
import type { ItemBatch } from './batch.ts'
import { mergeEncoded } from './codec.ts'
import type { ResourceEntry, ScopeEntry } from './entry.ts'
import type { Item, ItemKind } from './item_kind.ts'
import { filterShared, mapShared } from './shared_lists.ts'

/*
 * Large batches are processed part by part, so that other work has a turn in between (docs/decisions/0203-turns.md).
 */

/** The approximate number of items and data points of a part. */
export const PART = 1000

/**
 * A part of a batch: whole resources; or, for a larger resource, whole scopes, whole items of one scope, or a piece of one
 * item. Small batches are never divided.
 */
export interface Part<B extends ItemBatch> {
  readonly batch: B
  /** The positions of its resource, scope and item in the batch; `WHOLE` if it holds them as a whole. */
  readonly resource: number
  readonly scope: number
  readonly item: number
}
const WHOLE = -1

type Scopes = ScopeEntry<Item>
type Resources = ResourceEntry<Scopes>

/**
 * The smallest things that a part may hold: whole resources however large they are, whole items, or some points of a
 * metric.
 */
export type Grain = 'resources' | 'items' | 'points'

/**
 * What `change` makes of the batch, done part by part. It must treat each thing of that grain without regard to others, keep their order,
 * and may leave out points, items, scopes and resources; where the grain is resources, it may also add some.
 */
export function inParts<B extends ItemBatch>(batch: B, change: (part: B) => B, grain?: Grain): Divided<B> {
  return inDividedParts(
    batch,
    // eslint-disable-next-line require-yield
    function* (part) {
      return change(part)
    },
    grain,
  )
}

/** `inParts` for a change that is itself done in turns. */
export function* inDividedParts<B extends ItemBatch>(
  batch: B,
  change: (part: B) => Divided<B>,
  grain?: Grain,
): Divided<B> {
  const parts: Part<B>[] = []
  const results: B[] = []
  for (const part of partsOf(batch, grain)) {
    const changed = yield* change(part.batch)
    parts.push(part)
    results.push(changed === part.batch ? changed : yield* inBytesInTurns(changed, part.batch, grain))
    yield
  }
  return joined(batch, parts, results)
}

/** Does the work of `toOtlp` part by part, so that it has little left to do. */
export function* writeInParts(batch: ItemBatch): Divided<void> {
  if (batch.isWritten) return
  // Where only a few resources changed, all else is copied as it came, in no time worth a turn.
  if (
    batch.resources.length < PART &&
    batch.resources.every(({ scopes }) => scopes.every(({ encoded }) => encoded !== undefined))
  ) {
    batch.toOtlp()
    return
  }
  const written: Uint8Array[] = []
  for (const { batch: part } of partsOf(batch, 'resources')) {
    // One resource may be larger than a part.
    const isLarge = part.itemCount > PART
    written.push((isLarge ? yield* inParts(part, (piece) => piece.withBytes(piece.toOtlp())) : part).toOtlp())
    yield
  }
  batch.writtenAs(mergeEncoded(written))
}

/**
 * The parts of a batch, in order: together they hold exactly its items, each once. What was read of one is forgotten before the next, so
 * that no more than its objects live at a time.
 */
export function* partsOf<B extends ItemBatch>(batch: B, grain: Grain = 'points'): Generator<Part<B>> {
  for (const part of divide(batch, grain)) {
    yield part
    forget(part.batch)
  }
}

function* divide<B extends ItemBatch>(batch: B, grain: Grain): Generator<Part<B>> {
  let small: Resources[] = []
  let size = 0
  const take = (): Part<B> => {
    const part = { batch: batch.withResources(small), resource: WHOLE, scope: WHOLE, item: WHOLE }
    small = []
    size = 0
    return part
  }
  for (const [place, entry] of batch.resources.entries()) {
    const own = sizeOf(entry, batch.kind)
    if (small.length > 0 && size + own > PART) yield take()
    if (own > PART && grain !== 'resources') yield* partsOfResource(batch, entry, place, grain)
    else {
      small.push(entry)
      size += own
    }
  }
  if (small.length > 0) yield take()
}

/** Items and data points in a resource; counting stops when it is larger than a part. */
function sizeOf({ scopes }: Pick<Resources, 'scopes'>, kind: ItemKind): number {
  let size = 1
  for (const { items } of scopes) {
    size += 1
    for (const item of items) if ((size += 1 + kind.countOf(item)) > PART) return size
  }
  return size
}

function* partsOfResource<B extends ItemBatch>(
  batch: B,
  entry: Resources,
  resource: number,
  grain: Grain,
): Generator<Part<B>> {
  const partOf = (scopes: readonly Scopes[], scope: number, item: number): Part<B> => ({
    batch: batch.withResources([entry.withScopes(scopes)]),
    resource,
    scope,
    item,
  })
  let small: Scopes[] = []
  let size = 0
  for (const [place, scope] of entry.scopes.entries()) {
    const own = sizeOf({ scopes: [scope] }, batch.kind)
    if (small.length > 0 && size + own > PART) {
      yield partOf(small, WHOLE, WHOLE)
      small = []
      size = 0
    }
    if (own > PART) {
      for (const [items, item] of partsOfScope(scope, batch.kind, grain)) {
        yield partOf([scope.withItems(items)], place, item)
      }
    } else {
      small.push(scope)
      size += own
    }
  }
  if (small.length > 0) yield partOf(small, WHOLE, WHOLE)
}

/** Items of a scope, or a piece of one with its position. */
function* partsOfScope({ items }: Scopes, kind: ItemKind, grain: Grain): Generator<[readonly Item[], number]> {
  let small: Item[] = []
  let size = 0
  for (const [place, item] of items.entries()) {
    const own = 1 + kind.countOf(item)
    const isCut = grain === 'points' && own > PART
    if (small.length > 0 && (isCut || size + own > PART)) {
      yield [small, WHOLE]
      small = []
      size = 0
    }
    if (isCut) for (const piece of kind.piecesOf(item)) yield [[piece], place]
    else {
      small.push(item)
      size += own
    }
  }
  if (small.length > 0) yield [small, WHOLE]
}

/**
 * Joins the results for the parts of a batch into one: parts of one resource, scope or item become one again, and
 * unchanged ones stay the same objects.
 */
export function joined<B extends ItemBatch>(batch: B, parts: readonly Part<B>[], results: readonly B[]): B {
  if (parts.every((part, index) => part.batch === results[index])) return batch
  const resources: Resources[] = []
  for (const [first, end] of runsOf(parts, 0, parts.length, 'resource')) {
    const { resource } = parts[first]
    const all = results.slice(first, end).flatMap((result) => result.resources)
    if (resource === WHOLE || all.length === 0) resources.push(...all)
    else resources.push(all[0].withScopes(joinedScopes(batch, resource, parts, results, first, end)))
  }
  const itemCount = results.reduce((count, result) => count + result.itemCount, 0)
  return batch.withResources(resources, itemCount)
}

function joinedScopes(
  { kind, resources }: ItemBatch,
  resource: number,
  parts: readonly Part<ItemBatch>[],
  results: readonly ItemBatch[],
  from: number,
  to: number,
): Scopes[] {
  const scopes: Scopes[] = []
  for (const [first, end] of runsOf(parts, from, to, 'scope')) {
    const whole = results.slice(first, end).flatMap((result) => result.resources.flatMap(({ scopes }) => scopes))
    if (parts[first].scope === WHOLE) {
      for (const scope of whole) scopes.push(scope)
      continue
    }
    const { items } = resources[resource].scopes[parts[first].scope]
    const left: Item[] = []
    for (const [start, stop] of runsOf(parts, first, end, 'item')) {
      const { item } = parts[start]
      const pieces = results.slice(start, stop).flatMap(itemsOf)
      if (item === WHOLE || pieces.length === 0) left.push(...pieces)
      else {
        const isSame =
          pieces.length === stop - start && pieces.every((piece, at) => piece === itemsOf(parts[start + at].batch)[0])
        left.push(isSame ? items[item] : kind.joined(pieces))
      }
    }
    if (whole.length > 0) scopes.push(whole[0].withItems(left))
  }
  return scopes
}

/** Where parts of the same resource, scope or item begin and end. Parts that hold these as a whole are runs, too. */
function* runsOf(
  parts: readonly Part<ItemBatch>[],
  from: number,
  to: number,
  of: 'resource' | 'scope' | 'item',
): Generator<readonly [first: number, end: number]> {
  for (let first = from, end = from; first < to; first = end) {
    while (end < to && parts[end][of] === parts[first][of]) end++
    yield [first, end]
  }
}

/**
 * A batch that was made of `before`, with bytes in the place of objects of its own: there are many for each point, and the garbage collector
 * takes long while they live.
 */
export function inBytes<B extends ItemBatch>(batch: B, before: B): B {
  return madeInBytes(batch, new Set(itemsOf(before)))
}

/** `inBytes` for what was made of a part, which may be a whole resource of any size. */
function* inBytesInTurns<B extends ItemBatch>(batch: B, before: B, grain: Grain | undefined): Divided<B> {
  const given = new Set(itemsOf(before))
  const isLarge = grain === 'resources' && batch.itemCount > PART
  return isLarge ? yield* inParts(batch, (part) => madeInBytes(part, given), 'items') : madeInBytes(batch, given)
}

/** A batch with bytes in the place of all items that hold objects, except those that were given. */
function madeInBytes<B extends ItemBatch>(batch: B, given: ReadonlySet<Item>): B {
  const { kind } = batch
  const isMade = (item: Item): boolean => kind.holdsObjects(item) && !given.has(item)
  const made = batch.mapScopes((scope) => scope.withItems(filterShared(scope.items, isMade)))
  const written = itemsOf(made.resources.length === 0 ? made : made.withBytes(made.toOtlp(), true))
  let next = 0
  const light =
    written.length === 0
      ? batch
      : batch.mapScopes((scope) =>
          scope.withItems(mapShared(scope.items, (item) => (isMade(item) ? written[next++] : item))),
        )
  const scopes = light.resources.reduce((count, entry) => count + entry.scopes.length, 0)
  return scopes < MANY ? light : ownersInBytes(light)
}

/** Scopes of a part that are worth writing with their resources, too. */
const MANY = 100

/** A batch that is bytes as a whole, if these can say of all items whether their points were changed. */
function ownersInBytes<B extends ItemBatch>(batch: B): B {
  const [first, ...others] = itemsOf(batch).map(({ encoded }) => encoded?.source.pointsChanged)
  if (first === undefined || others.some((isChanged) => isChanged !== first)) return batch
  const written = batch.isItsBytes ? batch : batch.withBytes(batch.toOtlp(), first)
  // The resources are found now, not when the parts are joined.
  return batch.withResources(written.resources, written.itemCount)
}

/** Lets go of what was read of a batch, which is read again when somebody asks. */
export function forget(batch: ItemBatch): void {
  for (const entry of batch.resources) {
    for (const scope of entry.scopes) {
      for (const item of scope.items) item.forget()
      scope.forget()
    }
    entry.forget()
  }
}

function itemsOf(batch: ItemBatch): readonly Item[] {
  return batch.resources.flatMap(({ scopes }) => scopes.flatMap(({ items }) => items))
}
