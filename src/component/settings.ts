import type { FormatTypes } from '../formats.ts'

/**
 * The format of a setting:
 * a named format; a list of the allowed words; `{ list }` of a format; `{ map }` from free keys to a format;
 * or `{ settings }`, an object with settings of its own (used where it may be absent, or inside a list or map).
 */
export type Format =
  | keyof FormatTypes
  | readonly string[]
  | { readonly list: Format }
  | { readonly map: Format }
  | { readonly settings: Settings }

/** One setting of a component: its schema, default and documentation. */
export interface Setting<F extends Format = Format> {
  /** One or more sentences for the person who edits the YAML. */
  readonly doc: string
  readonly format: F
  /** The meaning of an unset setting, written as in the YAML. `null`: the setting is required. `undefined`: it may stay unset. */
  readonly default: unknown
  /** Environment variables that fill the setting if the YAML leaves it unset; the first one that is set counts. */
  readonly env?: readonly string[]
  /**
   * The value never appears in messages, logs or `print-config`. Default: true for a text whose name suggests a secret,
   * such as `api_key`, `token` or `password`.
   */
  readonly secret?: boolean
  /** A default that changed with a version. `validate` then names each configuration that leaves the setting unset. */
  readonly changed?: ChangedDefault
}

/** The former default of a setting. It stays in the declaration until the version after the one that changed it. */
export interface ChangedDefault {
  /** The version that changed it, such as `1.2.0`. */
  readonly in: string
  /** The default before, written as in the YAML: setting it keeps the old behaviour. */
  readonly from: unknown
}

/** Settings by name; a nested object without `doc` is a group that is always present. */
export interface Settings {
  readonly [name: string]: Setting | Settings
}

type ValueOf<F> = F extends keyof FormatTypes
  ? FormatTypes[F]
  : F extends readonly (infer Word)[]
    ? Word
    : F extends { readonly list: infer Item }
      ? readonly ValueOf<Item>[]
      : F extends { readonly map: infer Item }
        ? Readonly<Record<string, ValueOf<Item>>>
        : F extends { readonly settings: infer S }
          ? ConfigOf<S>
          : never

/** The checked configuration that settings yield: every default filled in, durations in milliseconds, sizes in bytes. */
export type ConfigOf<S> = {
  readonly [K in keyof S]: S[K] extends { readonly doc: string; readonly format: infer F; readonly default: infer D }
    ? D extends undefined
      ? ValueOf<F> | undefined
      : ValueOf<F>
    : ConfigOf<S[K]>
}

/** A mistake found by a component's `check`; a `warning` does not stop the start. */
export interface Finding {
  readonly path: string
  readonly message: string
  readonly severity?: 'error' | 'warning'
  /** The value that was probably meant. Not shown if the value comes from a variable or a file, which may be a secret. */
  readonly suggestion?: string
}

/** Whether an entry of `Settings` is one setting rather than a group of them. */
export function isSetting(entry: Setting | Settings): entry is Setting {
  return typeof entry.doc === 'string'
}
