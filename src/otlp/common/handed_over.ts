import { types } from 'node:util'
import { Mistake } from '../json/text.ts'
import { Encoded, LazyMessage } from '../wire/lazy_message.ts'
import { Attributes, isNestedTooDeep, NESTED_TOO_DEEP } from './attributes.ts'
import type { AttributeValue, KeyValue } from './attributes.ts'
import { ItemBatch } from './batch.ts'
import { Resource, Scope } from './resource.ts'

/*
 * Checks the results of custom components. TypeScript says what a batch may hold, but JavaScript can put anything into
 * one, and would fail only when it is read or encoded.
 */

/** Messages and lists that were found valid; the batches made of them share them. */
export const sound = new WeakSet<object>()

/**
 * The batch that a component hands over, once everything in it is valid. A plain object in place of a message or of
 * attributes is converted. Parts that are as they came on the wire, or were checked before, are not checked again.
 * @param empty a batch of the expected class
 * @param entry checks a resource with everything in it
 * @throws TypeError that names the item and the key: `metric "load": points[0].value must be a number, not a string`
 */
export function batchHandedOver<B extends ItemBatch>(given: unknown, empty: B, entry: Check): B {
  if (!(given instanceof ItemBatch) || given.kind !== empty.kind) {
    // Its rejection no longer matters.
    if (given instanceof Promise) given.catch(() => undefined)
    throw new TypeError(`must be a ${empty.kind.names.batch}, not ${describe(given)}`)
  }
  try {
    return (given as B).mapMade((entries) => within('resources', entries, listOf(entry)) as B['resources'])
  } catch (error) {
    if (!(error instanceof Mistake)) throw error
    throw new TypeError(error.path === '' ? error.message : `${error.path} ${error.message}`)
  }
}

/** The number of data points, log records or spans that a component hands over, as far as it can be known, whatever the value is. */
export function itemsIn(given: unknown): number {
  try {
    const { itemCount, resources, kind } = given as ItemBatch
    if (Number.isSafeInteger(itemCount)) return itemCount
    const items = resources.flatMap(({ scopes }) => scopes.flatMap((scope) => scope.items))
    const counts = items.map((item) => kind.countOf(item))
    return counts.reduce((sum, count) => sum + (Number.isSafeInteger(count) ? count : 0), 0)
  } catch {
    return 0
  }
}

/** Returns the valid value, most often unchanged. @throws Mistake */
export type Check = (value: unknown) => unknown
export type Checks = Readonly<Record<string, Check>>

function must(be: string, fits: (value: unknown) => boolean): Check {
  return (value) => {
    if (fits(value)) return value
    throw new Mistake(`must be ${be}, not ${describe(value)}`)
  }
}

function integer(be: string, from: bigint, to: bigint): Check {
  return must(be, (value) => {
    const isInteger = typeof value === 'bigint' || (typeof value === 'number' && Number.isInteger(value))
    return isInteger && value >= from && value < to
  })
}

const TWO_TO_64 = 2n ** 64n

export const text = must('a text', (value) => typeof value === 'string')
export const flag = must('true or false', (value) => typeof value === 'boolean')
export const double = must('a number', (value) => typeof value === 'number')
export const bytes = must('a Uint8Array', types.isUint8Array)
export const uint32 = must(
  'a whole number from 0 of 32 bits',
  (value) => value === Number(value) && value === value >>> 0,
)
export const int32 = must('a whole number of 32 bits', (value) => value === Number(value) && value === (value | 0))
export const int64 = integer('a whole number or bigint of 64 bits', -(2n ** 63n), 2n ** 63n)
export const count = integer('a whole number or bigint from 0 of 64 bits', 0n, TWO_TO_64)
export const nanoseconds = must(
  'a bigint, nanoseconds since 1970',
  (value) => typeof value === 'bigint' && value >= 0n && value < TWO_TO_64,
)

/** An id: as it came, or in digits, of whatever length it came in. */
export const id: Check = (given) => (given instanceof Encoded ? given : hexDigits(given))
export const hexDigits = must(
  'hexadecimal digits, two for each byte',
  (value) => typeof value === 'string' && /^([0-9a-f]{2})*$/i.test(value),
)

export const listOf =
  (check: Check): Check =>
  (given) => {
    if (!isList(given)) throw new Mistake(`must be a list, not ${describe(given)}`)
    let checked: unknown[] | undefined
    let index = 0
    try {
      for (; index < given.length; index++) {
        const item = check(given[index])
        if (Object.is(item, given[index])) continue
        checked ??= given.slice()
        checked[index] = item
      }
    } catch (error) {
      throw outside(error, `[${index}]`)
    }
    return checked ?? given
  }

/** The mistake, seen from outside of `place`. */
function outside(error: unknown, place: string): unknown {
  return error instanceof Mistake ? error.within(place) : error
}

export function within(place: string, given: unknown, check: Check): unknown {
  try {
    return check(given)
  } catch (error) {
    throw outside(error, place)
  }
}

/** Checks fields by name; an unset one means its default, except for those that are `required`. */
export function fields<Fields extends object>(given: Fields, checks: Checks, required: readonly string[] = []): Fields {
  let checked: Record<string, unknown> | undefined
  let at = ''
  try {
    for (const key in given) {
      const before: unknown = given[key]
      if (before === undefined) continue
      at = key
      const check = checks[key] as Check | undefined
      if (check === undefined) throw new Mistake(`is not a field; there are ${Object.keys(checks).join(', ')}`)
      const after = check(before)
      // NaN is not equal to itself.
      if (!Object.is(after, before)) (checked ??= { ...given } as Record<string, unknown>)[key] = after
    }
    for (at of required) if ((given as Record<string, unknown>)[at] === undefined) throw new Mistake('is missing')
  } catch (error) {
    throw outside(error, at)
  }
  return (checked as Fields | undefined) ?? given
}

export const structure =
  (checks: Checks, required: readonly string[]): Check =>
  (given) => {
    if (!isPlain(given)) throw new Mistake(`must be an object, not ${describe(given)}`)
    return fields(given, checks, required)
  }

type Kind<Fields extends object, M extends LazyMessage<Fields>> = new (fields: Fields) => M

/** Checks a message with `check`, which is given its fields. */
export function message<Fields extends object, M extends LazyMessage<Fields>>(
  given: unknown,
  Class: Kind<Fields, M>,
  name: string,
  check: (fields: Fields) => Fields,
): M {
  if (given instanceof Class) {
    const { made } = given
    if (made === undefined || sound.has(given)) return given
    const checked = check(made)
    if (checked !== made) return new Class(checked)
    sound.add(given)
    return given
  }
  if (!isPlain(given)) throw new Mistake(`must be a ${name}, or a plain object with its fields, not ${describe(given)}`)
  return new Class(check(fieldsOf(given, new Class({} as Fields)) as Fields))
}

/** The fields of a plain object and, if a message was spread into it as in `{ ...point, value: 1 }`, the fields of that message. */
function fieldsOf(given: Readonly<Record<string, unknown>>, example: object): object {
  const { kind: own, ...internal } = { ...example } as Readonly<Record<string, unknown>>
  if (own !== undefined && given.kind !== undefined && given.kind !== own) {
    throw new Mistake(`must be ${own as string}`).within('kind')
  }
  const isSpread = Object.keys(internal).every((key) => key in given)
  const set = Object.entries(given).filter(
    ([key]) => !(key === 'kind' && own !== undefined) && !(isSpread && Object.hasOwn(internal, key)),
  )
  if (!isSpread) return Object.fromEntries(set)
  const { encoded, read, renamed } = given
  const before = encoded instanceof Encoded ? (encoded.decode() as object) : read
  if (!isPlain(before)) throw new Mistake('is a copy of a message, which has lost its contents')
  return { ...before, ...(renamed !== undefined && { name: renamed }), ...Object.fromEntries(set) }
}

/**
 * The result of `check`. A mistake is reported from the item on, by its name, because the position of the item matters
 * less.
 * @param what the kind of item: `metric`
 */
export function named<I>(what: string, Class: new (fields: never) => object, given: unknown, check: () => I): I {
  try {
    return check()
  } catch (error) {
    if (!(error instanceof Mistake) || given === null || given === undefined) throw error
    throw new NamedMistake(`${what} ${JSON.stringify(nameOf(given, new Class({} as never)))}`, error)
  }
}

class NamedMistake extends Mistake {
  constructor(item: string, { path, message }: Mistake) {
    super(message)
    this.path = `${item}:${path === '' ? '' : ` ${path}`}`
  }

  override within(): this {
    return this
  }
}

/** Also for an item that was spread, whose name is not a property of its own. */
function nameOf(given: unknown, example: object): string {
  try {
    const { name } = (isPlain(given) ? fieldsOf(given, example) : given) as { name?: unknown }
    return typeof name === 'string' ? name : ''
  } catch {
    return ''
  }
}

const anyValues: Checks = {
  stringValue: text,
  boolValue: flag,
  intValue: int64,
  doubleValue: double,
  bytesValue: bytes,
  arrayValue: listOf((item) => anyValue(item)),
  kvlistValue: listOf((item) => keyValue(item)),
}
const anyValue = structure(anyValues, [])
const keyValue = structure({ key: text, value: anyValue }, ['key', 'value'])

export const attributes: Check = (given) => {
  const made = given instanceof Attributes ? given : attributesOf(given)
  if (made.encoded !== undefined) return made
  for (const { key, value } of made as Iterable<KeyValue>) {
    if (typeof key !== 'string') within('key', key, text)
    try {
      anyValue(value)
      if (isNestedTooDeep(value)) throw new Mistake(NESTED_TOO_DEEP)
    } catch (error) {
      // The stack ends before a value that contains itself does.
      const mistake = error instanceof RangeError ? new Mistake(NESTED_TOO_DEEP) : error
      throw outside(mistake, `[${JSON.stringify(key)}]`)
    }
  }
  return made
}

function attributesOf(given: unknown): Attributes {
  if (!isPlain(given)) {
    throw new Mistake(`must be Attributes, or a plain object of their values, not ${describe(given)}`)
  }
  const { encoded, read } = given
  const internal = Object.keys(Attributes.empty)
  const isSpread = internal.every((key) => key in given)
  try {
    if (!isSpread) return Attributes.of(given as Record<string, AttributeValue>)
    const before = encoded instanceof Encoded ? (encoded.decode() as KeyValue[]) : (read as KeyValue[])
    const set = Object.entries(given as Record<string, AttributeValue>).filter(([key]) => !internal.includes(key))
    return Attributes.from(before).with(Object.fromEntries(set))
  } catch (error) {
    throw error instanceof TypeError ? new Mistake(`cannot be made: ${error.message}`) : error
  }
}

const resource: Check = (given) => message(given, Resource, 'Resource', (made) => fields(made, resourceFields))
const resourceFields: Checks = { attributes, droppedAttributesCount: uint32, unknown: bytes }

const scope: Check = (given) => message(given, Scope, 'Scope', (made) => fields(made, scopeFields))
const scopeFields: Checks = { name: text, version: text, ...resourceFields }

/**
 * Checks resources with everything in them.
 * @param names the names of the classes of resources and scopes, and of the items in a scope
 */
export function entryOf<RF extends object, R extends LazyMessage<RF>, SF extends object, S extends LazyMessage<SF>>(
  ResourceEntry: Kind<RF, R>,
  ScopeEntry: Kind<SF, S>,
  names: { readonly resource: string; readonly scope: string; readonly items: string },
  item: Check,
): Check {
  const scopeFields: Checks = { scope, [names.items]: listOf(item), schemaUrl: text, unknown: bytes }
  const scopes = listOf((given) => message(given, ScopeEntry, names.scope, (made) => fields(made, scopeFields)))
  const resourceFields: Checks = { resource, scopes, schemaUrl: text, unknown: bytes }
  return (given) => message(given, ResourceEntry, names.resource, (made) => fields(made, resourceFields))
}

export const word =
  (words: readonly string[]): Check =>
  (given) => {
    if (words.includes(given as string)) return given
    const wrong = typeof given === 'string' ? `"${given.slice(0, 40)}"` : describe(given)
    throw new Mistake(`must be one of ${words.join(', ')}, not ${wrong}`)
  }

export function isList(value: unknown): value is readonly unknown[] {
  return Array.isArray(value)
}

function isPlain(value: unknown): value is Readonly<Record<string, unknown>> {
  return Object.prototype.toString.call(value) === '[object Object]' && !(value instanceof LazyMessage)
}

/** Shows only the kind of a value: the value may be long, or secret. */
export function describe(value: unknown): string {
  if (value === undefined) return 'nothing'
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'a list'
  if (types.isPromise(value)) return 'a promise'
  if (typeof value !== 'object') return `a ${typeof value === 'number' ? `number, ${value}` : typeof value}`
  if (value instanceof ItemBatch) return `a ${value.kind.names.batch}`
  const name = (value as { constructor?: { name?: unknown } }).constructor?.name
  // A bundler may have changed the name of a class that refers to itself.
  if (/^_?(Metric|Log|Trace)Batch\d*$/.test(String(name))) {
    return 'one of another copy of heka-pipeline; leave it out of what the module bundles'
  }
  return typeof name === 'string' && name !== 'Object' ? `a ${name}` : 'an object'
}
