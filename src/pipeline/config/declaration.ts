import { isSetting } from '../../component/settings.ts'
import type { Format, Setting, Settings } from '../../component/settings.ts'
import { formats } from '../../formats.ts'
import type { Signal } from '../../otlp/signal.ts'
import { SIGNALS } from '../../otlp/signals.ts'
import { deliverySettings } from './settings.ts'
import { checkFormat, join, nodeOf, startCheck } from './check.ts'

const TYPE = /^[a-z][a-z0-9_]{0,62}$/

const KEYS = ['kind', 'type', 'aliases', 'signals', 'summary', 'description', 'config', 'examples', 'check', 'create']
const KEYS_OF_KIND = {
  receiver: [],
  processor: ['changes'],
  exporter: ['timeout', 'maxAge', 'maxAhead', 'joinInterval', 'checkProcessors'],
}
const CHANGES = ['filters', 'merges', 'creates', 'holds', 'replaces']
const SETTING_KEYS = ['doc', 'format', 'default', 'env', 'secret', 'changed']

/** The mistakes in a declaration that a module exports as a component; empty if there is none. */
export function* declarationMistakes(exported: unknown): Generator<string, void> {
  if (!isObject(exported)) {
    yield 'a component must be an object'
    return
  }
  const { kind, type, aliases, signals, summary, config, create, check, examples } = exported
  const isKind = typeof kind === 'string' && Object.hasOwn(KEYS_OF_KIND, kind)
  if (!isKind) yield '`kind` must be `receiver`, `processor` or `exporter`'
  if (typeof type !== 'string' || !TYPE.test(type)) {
    yield '`type` must be a letter followed by letters, digits and underscores, all in lower case, at most 63 characters'
  }
  if (aliases !== undefined && !(Array.isArray(aliases) && aliases.every((alias) => TYPE.test(String(alias))))) {
    yield '`aliases` must be a list of names in the form of types'
  }
  if (signals !== undefined && !isSignals(signals)) {
    yield `\`signals\` must be a list of at least one of ${SIGNALS.join(', ')}`
  }
  const keys = [
    ...KEYS,
    ...(isKind ? [KEYS_OF_KIND[kind as keyof typeof KEYS_OF_KIND]] : Object.values(KEYS_OF_KIND)).flat(),
  ]
  const whose = isKind ? kind : 'component'
  for (const key of Object.keys(exported)) {
    if (!keys.includes(key)) yield `\`${key}\` is not part of a ${whose}'s declaration; known keys: ${keys.join(', ')}`
  }
  if (!isText(summary)) yield '`summary` must be a sentence about the component'
  if (typeof create !== 'function') yield '`create` must be a function'
  if (check !== undefined && typeof check !== 'function') yield '`check` must be a function'
  if (exported.checkProcessors !== undefined && typeof exported.checkProcessors !== 'function') {
    yield '`checkProcessors` must be a function'
  }
  if (examples !== undefined && !isExamples(examples)) yield '`examples` must be a list of `{ title, yaml }`'
  if (
    exported.changes !== undefined &&
    ![exported.changes].flat().every((change) => CHANGES.includes(change as string))
  ) {
    yield `\`changes\` must be one of ${CHANGES.join(', ')}, or a list of them`
  }
  for (const name of ['timeout', 'maxAge', 'maxAhead', 'joinInterval']) {
    const given = exported[name]
    const bySignal = name.startsWith('max') && isObject(given) ? Object.entries(given) : undefined
    if (bySignal !== undefined && !isSignals(bySignal.map(([signal]) => signal))) {
      yield `\`${name}\` must be a duration, or a map to durations from at least one of ${SIGNALS.join(', ')}`
    } else if (bySignal !== undefined) {
      for (const [signal, age] of bySignal) yield* defaultMistakes('duration', age, `\`${name}.${signal}\``)
    } else if (given !== undefined) yield* defaultMistakes('duration', given, `\`${name}\``)
  }
  if (!isObject(config)) yield '`config` must be an object of settings; `{}` if there are none'
  else {
    yield* settingsMistakes(config, 'config')
    for (const name of kind === 'exporter' ? Object.keys(deliverySettings) : []) {
      if (name in config) yield `\`config.${name}\` is a setting that the pipeline gives to every exporter`
    }
  }
}

function* settingsMistakes(settings: Record<string, unknown>, path: string): Generator<string> {
  for (const [name, entry] of Object.entries(settings)) {
    const below = join(path, name)
    if (!isObject(entry)) yield `\`${below}\` must be a setting, \`{ doc, format, default }\`, or a group of settings`
    else if (isMeantAsSetting(entry)) yield* settingMistakes(entry, below)
    else yield* settingsMistakes(entry, below)
  }
}

/** Whether it is a setting: a group is an object whose entries are all settings or groups. */
function isMeantAsSetting(entry: Record<string, unknown>): boolean {
  if (isSetting(entry as unknown as Setting | Settings)) return true
  const names = Object.keys(entry)
  return names.some((name) => SETTING_KEYS.includes(name)) && names.some((name) => !isObject(entry[name]))
}

function* settingMistakes(setting: Record<string, unknown>, path: string): Generator<string> {
  for (const key of Object.keys(setting)) {
    if (!SETTING_KEYS.includes(key))
      yield `\`${path}.${key}\` is not part of a setting; known keys: ${SETTING_KEYS.join(', ')}`
  }
  if (!isText(setting.doc)) yield `\`${path}.doc\` must describe the setting`
  if (setting.env !== undefined && !(Array.isArray(setting.env) && setting.env.every(isText))) {
    yield `\`${path}.env\` must be a list of names of environment variables`
  }
  if (setting.secret !== undefined && typeof setting.secret !== 'boolean')
    yield `\`${path}.secret\` must be true or false`
  const before = [...formatMistakes(setting.format, `${path}.format`)]
  yield* before
  if (!('default' in setting)) {
    yield `\`${path}.default\` is missing; \`null\` makes the setting required, \`undefined\` lets it be unset`
  } else if (before.length === 0 && setting.default !== null && setting.default !== undefined) {
    yield* defaultMistakes(setting.format as Format, setting.default, `\`${path}.default\``)
  }
  if (setting.changed !== undefined && before.length === 0) yield* changedMistakes(setting, `${path}.changed`)
}

function* changedMistakes({ changed, format, default: now, secret }: Record<string, unknown>, path: string) {
  if (!isObject(changed) || !isText(changed.in) || (changed.from ?? undefined) === undefined) {
    yield `\`${path}\` must be \`{ in, from }\`: the version that changed the default, and the former default`
  } else if (secret === true || (now ?? undefined) === undefined) {
    yield `\`${path}\` is only for settings that have a default and are not secret`
  } else yield* defaultMistakes(format as Format, changed.from, `\`${path}.from\``)
}

function* formatMistakes(format: unknown, path: string): Generator<string> {
  if (typeof format === 'string') {
    if (!Object.hasOwn(formats, format))
      yield `\`${path}\` is not a format; known formats: ${Object.keys(formats).join(', ')}`
  } else if (Array.isArray(format)) {
    if (format.length === 0 || !format.every(isText)) yield `\`${path}\` must list the allowed words`
  } else if (isObject(format) && Object.keys(format).length === 1) {
    if ('list' in format) yield* formatMistakes(format.list, `${path}.list`)
    else if ('map' in format) yield* formatMistakes(format.map, `${path}.map`)
    else if (isObject(format.settings)) yield* settingsMistakes(format.settings, `${path}.settings`)
    else yield `\`${path}\` must be a format`
  } else yield `\`${path}\` must be a named format, a list of words, \`{ list }\`, \`{ map }\` or \`{ settings }\``
}

function* defaultMistakes(format: Format, value: unknown, path: string): Generator<string> {
  const node = nodeOf(value)
  const check = startCheck({ place: node.place, env: {}, directoryOf: () => '/', files: new Map() })
  checkFormat(format, node, check)
  for (const { path: below, message } of check.problems) yield `${path}${below === '' ? '' : ` (${below})`} ${message}`
}

function isExamples(examples: unknown): boolean {
  return (
    Array.isArray(examples) &&
    examples.every((example) => isObject(example) && isText(example.title) && isText(example.yaml))
  )
}

function isSignals(value: unknown): boolean {
  return Array.isArray(value) && value.length > 0 && value.every((signal) => SIGNALS.includes(signal as Signal))
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value.trim() !== ''
}
