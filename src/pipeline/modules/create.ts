import { from } from 'rxjs'
import type { ObservableInput } from 'rxjs'
import type { Component, ComponentKind } from '../../component/define.ts'
import type { Exporter } from '../../component/exporter.ts'
import { errorMessage } from '../../errors.ts'
import { withoutExit } from '../../process_exit.ts'

/** The result that `create` must return. */
const created: Record<ComponentKind, { readonly allowed: string; readonly fits: (value: unknown) => boolean }> = {
  receiver: { allowed: 'an Observable of batches, or an async iterable of them', fits: isSource },
  processor: {
    allowed: 'a function from batch to batch, or `{ operator }` with an operator of RxJS',
    fits: (value) => typeof value === 'function' || hasFunctions(value, ['operator']),
  },
  exporter: {
    allowed: 'an object with the functions `encode` and `send`',
    fits: (value) => hasFunctions(value, ['encode', 'send']),
  },
}

/**
 * Creates a component. If its `create` throws, or returns a value that its kind does not allow, as a custom component
 * may, throws an Error that says what is wrong.
 */
export function create<C extends Component>(component: C, context: unknown): ReturnType<C['create']> {
  let value: unknown
  try {
    value = withoutExit(() => component.create(context as never))
  } catch (error) {
    throw new Error(`its \`create\` failed: ${errorMessage(error)}`, { cause: error })
  }
  const { allowed, fits } = created[component.kind]
  if (!isPromise(value) && fits(value)) {
    if (component.kind === 'exporter') checkState((value as Exporter).state)
    return value as ReturnType<C['create']>
  }
  if (isPromise(value)) value.then(undefined, () => {}) // Its rejection no longer matters.
  throw new Error(`its \`create\` must return ${allowed}, not ${describe(value)}`)
}

const STATE = ['beginCheckpoint', 'changes', 'restore']

function checkState(state: unknown): void {
  if (state === undefined || hasFunctions(state, STATE)) return
  const missing = STATE.filter((name) => !hasFunctions(state, [name])).join('` and `')
  throw new Error(
    `the \`state\` of its exporter must have the functions \`beginCheckpoint\`, \`changes\` and \`restore\`; it has no \`${missing}\``,
  )
}

function isPromise(value: unknown): value is PromiseLike<unknown> {
  return hasFunctions(value, ['then'])
}

function hasFunctions(value: unknown, names: readonly string[]): boolean {
  if (typeof value !== 'object' || value === null) return false
  return names.every((name) => typeof (value as Record<string, unknown>)[name] === 'function')
}

function isSource(value: unknown): boolean {
  if (typeof value !== 'object') return false
  try {
    from(value as ObservableInput<unknown>)
    return true
  } catch {
    return false
  }
}

function describe(value: unknown): string {
  if (isPromise(value)) return 'a promise of it; it cannot be asynchronous'
  if (value === undefined) return 'nothing'
  if (value === null) return 'null'
  return typeof value === 'object' ? 'another object' : `a ${typeof value}`
}
