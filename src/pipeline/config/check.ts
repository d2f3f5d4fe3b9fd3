import { resolve } from 'node:path'
import { isSetting } from '../../component/settings.ts'
import type { Format, Setting, Settings } from '../../component/settings.ts'
import type { SourcePosition, Problem } from '../../errors.ts'
import { formats, readText, words } from '../../formats.ts'
import { isNamedLikeSecret, REDACTED, secretParts, urlCredentials } from '../../text/secrets.ts'
import { collectorHint } from './collector.ts'
import { expand } from './expand.ts'
import type { Expansion } from './expand.ts'
import { inlineYaml } from './print.ts'
import { closest } from './suggest.ts'
import type { YamlEntry, Node } from './yaml.ts'

/** A check of one value: its place, and what all checks of one configuration share. */
export interface Check {
  /** The position of the value's key, or of the nearest map around it; a missing setting is reported there. */
  readonly place: SourcePosition
  /** The keys that lead to the value. */
  readonly path: string
  readonly env: Readonly<Record<string, string | undefined>>
  /** The folder that relative files in a value of this origin start from. */
  readonly directoryOf: (place: SourcePosition) => string
  /** The contents of the files that values name (`readReferences`), or why a file cannot be read. */
  readonly files: ReadonlyMap<string, string | Error>
  readonly problems: Problem[]
  /** Settings left unset whose default changed with a version; these are no mistakes. */
  readonly changedDefaults: Problem[]
  readonly secrets: Set<string>
  /** The settings belong to a component that no pipeline uses: anything that another environment may have is only a warning. */
  readonly unused?: boolean
  /** The value must never appear anywhere. */
  readonly secret?: boolean
}

/**
 * A value as the code takes it, and as YAML that says the same with secrets hidden. Both undefined: unset, or wrong and
 * already reported.
 */
export interface Checked {
  readonly value: unknown
  readonly shown: unknown
}

const UNSET: Checked = { value: undefined, shown: undefined }

/** The check of a whole configuration. */
export function startCheck(
  input: Pick<Check, 'env' | 'directoryOf' | 'files' | 'place'> & { problems?: Problem[] },
): Check {
  return { path: '', problems: [], changedDefaults: [], secrets: new Set(), ...input }
}

/** Reports a mistake in the value. */
export function report({ problems, place, path }: Check, message: string, suggestion?: string): void {
  problems.push({ severity: 'error', place, path, message, ...(suggestion !== undefined && { suggestion }) })
}

/** Reports something that does not stop the configuration. */
export function warn({ problems, place, path }: Check, message: string): void {
  problems.push({ severity: 'warning', place, path, message })
}

/** Reports something that stops the configuration only if a pipeline uses it. */
function reportIfUsed(check: Check, message: string): void {
  if (check.unused === true) warn(check, message)
  else report(check, message)
}

/** The check of the value under `name` in the same map. */
export function below(check: Check, name: string, place = check.place): Check {
  return { ...check, place, path: join(check.path, name) }
}

/** The check of an item of the same list. */
export function itemOf(check: Check, index: number, place: SourcePosition): Check {
  return { ...check, place, path: `${check.path}[${index}]` }
}

/** Checks a map against its settings and fills in environment variables and defaults. */
export function checkSettings(settings: Settings, node: Node | undefined, check: Check): Checked {
  if (node !== undefined && node.kind !== 'map' && node.kind !== 'empty') {
    report({ ...check, place: node.place }, `must be a map of settings, not ${article(node)}`)
    return UNSET
  }
  const entries = node?.kind === 'map' ? node.entries : new Map<string, YamlEntry>()
  checkKeys(entries, Object.keys(settings), check)
  const value: Record<string, unknown> = {}
  const shown: Record<string, unknown> = {}
  for (const [name, setting] of Object.entries(settings)) {
    const entry = entries.get(name)
    const inner = below(check, name, entry?.key)
    const checked = isSetting(setting)
      ? checkSetting(setting, entry?.value, { ...inner, secret: check.secret || isSecret(name, setting) })
      : checkSettings(setting, entry?.value, inner)
    value[name] = checked.value
    if (checked.shown !== undefined) shown[name] = checked.shown
  }
  return { value, shown }
}

/** Reports every key that is not allowed. */
export function checkKeys(entries: ReadonlyMap<string, YamlEntry>, allowed: readonly string[], check: Check): void {
  const { path } = check
  for (const [name, entry] of entries) {
    if (allowed.includes(name)) continue
    const inner = below(check, name, entry.key)
    const hint = collectorHint(inner.path) ?? dottedKeyHint(name, entry, allowed, path)
    const what = path === '' ? 'section' : 'setting'
    const known = allowed.length === 0 ? `${path} has no settings` : `known ${what}s: ${allowed.join(', ')}`
    if (hint === undefined) report(inner, `unknown ${what}; ${known}`, closest(name, allowed))
    else report(inner, hint)
  }
}

/** The spelling to use if an allowed key that holds dots was divided at them. */
function dottedKeyHint(
  name: string,
  { key: { source }, value: node }: YamlEntry,
  allowed: readonly string[],
  path: string,
): string | undefined {
  const keys = [name]
  let value = node
  while (value.kind === 'map' && value.entries.size > 0) {
    const [[key, entry]] = value.entries
    keys.push(key)
    value = entry.value
  }
  const given = `${keys.join('.')}.`
  const whole = allowed.find((known) => known.startsWith(`${name}.`) && given.startsWith(`${known}.`))
  if (whole === undefined) return undefined
  if (!isSet(source)) return `is only the beginning of a key; write \`${whole}:\``
  // A longer text may be a secret.
  const text = value.kind === 'scalar' && /^(true|false|\d{1,3})$/.test(value.text) ? value.text : '...'
  const spelling = [...path.split('.'), whole, ...keys.slice(whole.split('.').length)].join('::')
  return `is only the beginning of a key that holds dots; divide the path at \`::\` instead: \`${spelling}=${text}\``
}

function isSet(source: string): boolean {
  return source.startsWith('--set ')
}

/** Joins the parts of a path. */
export function join(path: string, name: string): string {
  return path === '' ? name : `${path}.${name}`
}

function checkSetting(setting: Setting, node: Node | undefined, check: Check): Checked {
  const given = node === undefined || (node.kind === 'empty' && !takesEmpty(setting.format)) ? undefined : node
  const set = given ?? environmentNode(setting, check)
  if (set === undefined && setting.changed !== undefined && check.unused !== true) {
    const [before, now] = [setting.changed.from, setting.default].map((value) => `\`${inlineYaml(value)}\``)
    const message = `is unset, and its default changed from ${before} to ${now} in ${setting.changed.in}; set one of the two`
    check.changedDefaults.push({ severity: 'warning', place: check.place, path: check.path, message })
  }
  const source = set ?? defaultNode(setting)
  if (source !== undefined) {
    const checked = checkFormat(setting.format, source, check)
    if (!(setting.default === null && checked.value === '')) return checked
  } else if (setting.default !== null) return UNSET
  const variables = setting.env === undefined ? '' : `; the environment variable ${setting.env.join(' or ')} can set it`
  const empty = source === undefined ? '' : ' and must not be empty'
  reportIfUsed({ ...check, place: source?.place ?? check.place }, `is required${empty}${variables}`)
  return UNSET
}

/** Whether `key:` without a value has a meaning: the map is there, with its defaults. */
function takesEmpty(format: Format): boolean {
  return typeof format === 'object' && !('length' in format) && !('list' in format)
}

function environmentNode({ env = [] }: Setting, check: Check): Node | undefined {
  const source = env.find((name) => Boolean(check.env[name]))
  if (source === undefined) return undefined
  return { kind: 'scalar', place: { source }, text: check.env[source]!, literal: true }
}

function defaultNode({ default: value }: Setting): Node | undefined {
  return value === null || value === undefined ? undefined : nodeOf(value)
}

/** The node of a default, which is written as it would be in YAML. */
export function nodeOf(value: unknown): Node {
  const place = { source: 'default' }
  if (value === null || value === undefined) return { kind: 'empty', place }
  if (Array.isArray(value)) return { kind: 'list', place, items: value.map(nodeOf) }
  if (typeof value !== 'object') {
    return { kind: 'scalar', place, text: (value as string | number).toString(), literal: true }
  }
  const entries = Object.entries(value).map(([name, item]) => [name, { key: place, value: nodeOf(item) }] as const)
  return { kind: 'map', place, entries: new Map(entries) }
}

/** Checks a value against its format. */
export function checkFormat(format: Format, node: Node, outer: Check): Checked {
  const check = { ...outer, place: node.place }
  if (typeof format === 'string' || 'length' in format) {
    if (format !== 'tags') return checkScalar(format, node, check)
    return node.kind === 'list' ? checkTagList(node, check) : checkTagsText(node, check)
  }
  if ('list' in format) return checkList(format.list, node, check)
  if ('settings' in format) return checkSettings(format.settings, node, outer)
  if (node.kind === 'empty') return { value: {}, shown: {} }
  if (node.kind !== 'map') return wrongKind(format, node, check)
  const items = Array.from(node.entries, ([name, { key, value }]) => {
    const inner = below(check, name, key)
    if (name.includes('${')) report(inner, 'only values are expanded, not keys')
    const secret = check.secret || (isNamedLikeSecret(name) && holdsText(format.map))
    return [name, checkFormat(format.map, value, { ...inner, secret })] as const
  })
  return {
    value: Object.fromEntries(items.map(([name, { value }]) => [name, value])),
    shown: Object.fromEntries(items.map(([name, { shown }]) => [name, shown])),
  }
}

function checkList(item: Format, node: Node, check: Check): Checked {
  if (node.kind !== 'list') return wrongKind({ list: item }, node, check)
  const items = node.items.map((value, index) => checkFormat(item, value, itemOf(check, index, value.place)))
  return { value: items.map(({ value }) => value), shown: items.map(({ shown }) => shown) }
}

/** An entry that consists of one variable may be empty, as it may be between two commas: then it is no tag. */
function checkTagList(node: ListNode, check: Check): Checked {
  const items = node.items.filter((item) => {
    if (item.kind !== 'scalar' || item.literal === true || item.text === '') return true
    const { text, mistakes } = expandIn(item, check)
    return text !== '' || mistakes.length > 0
  })
  return checkList('tag', { ...node, items }, check)
}

function checkTagsText(node: Node, check: Check): Checked {
  if (node.kind !== 'scalar') return wrongKind('tags', node, check)
  const text = scalarText(node, check)
  if (text === undefined) return UNSET
  const literal = node.literal === true || text !== node.text
  const tags = text.trim() === '' ? [] : text.split(',').map((tag) => tag.trim())
  // An unset variable between two commas leaves nothing there.
  const items = tags.filter((tag) => tag !== '' || !literal).map((tag) => ({ ...node, text: tag, literal }))
  return checkList('tag', { kind: 'list', place: node.place, items }, check)
}

type ScalarFormat = Parameters<typeof readText>[0]

function checkScalar(format: ScalarFormat, node: Node, check: Check): Checked {
  if (node.kind !== 'scalar') return wrongKind(format, node, check)
  const text = scalarText(node, check)
  if (text === undefined) return UNSET
  const read = readText(format, text)
  if ('mistake' in read) {
    // Text from a variable or a file may be a secret.
    const open =
      check.secret !== true && node.literal !== true && text === node.text && !(format === 'url' && /[@?]/.test(text))
    if (!open) report(check, `must be ${describe(format)}`)
    else {
      const suggestion = typeof format === 'string' ? formats[format].meant?.(text) : closest(text, format)
      report(check, `${read.mistake}, not "${text}"`, suggestion)
    }
    return UNSET
  }
  if (text.includes(REDACTED)) {
    const instead = 'write the secret itself, preferably as `${env:NAME}` or `${file:PATH}`'
    report(check, `is the placeholder that print-config shows for a secret; ${instead}`)
    return UNSET
  }
  if (check.secret === true) return { value: read.value, shown: REDACTED }
  if (format === 'path') {
    const value = resolve(check.directoryOf(node.place), text)
    return { value, shown: value }
  }
  if (format === 'url') return { value: read.value, shown: withoutCredentials(text, check) }
  return { value: read.value, shown: String(read.value) === text ? read.value : text }
}

/** A URL that is safe to show: a password, or anything in the query, may be a key. */
function withoutCredentials(url: string, check: Check): string {
  for (const credential of urlCredentials(url)) addSecret(credential, [], check)
  return url.replace(/(\/\/(?:[^/@:?]*:)?)[^/?]*@/, `$1${REDACTED}@`).replace(/(?<=\?)[^#]+/, REDACTED)
}

function addSecret(text: string, pieces: readonly string[], check: Check): void {
  for (const part of secretParts(text, pieces)) check.secrets.add(part)
}

/** Whether the value of a setting must never appear: its declaration says so, or says nothing and its name suggests it. */
function isSecret(name: string, { secret, format }: Setting): boolean {
  return secret ?? (isNamedLikeSecret(name) && holdsText(format))
}

/** Whether a value of this format may be a secret: a duration, or one of five words, cannot be a key. */
function holdsText(format: Format): boolean {
  if (typeof format === 'string') return format === 'string' || format === 'url'
  if ('length' in format || 'settings' in format) return false
  return holdsText('list' in format ? format.list : format.map)
}

type ScalarNode = Extract<Node, { kind: 'scalar' }>
type ListNode = Extract<Node, { kind: 'list' }>

/** The text of a scalar with all references expanded; undefined after a mistake. */
function scalarText(node: ScalarNode, check: Check): string | undefined {
  const { text, mistakes, unbraced, pieces } = expandIn(node, check)
  for (const { message, unset } of mistakes) (unset ? reportIfUsed : report)(check, message)
  for (const name of unbraced) reportUnbraced(name, node, check)
  if (check.secret === true) addSecret(text, pieces, check)
  return mistakes.length === 0 ? text : undefined
}

function expandIn({ text, literal, place }: ScalarNode, check: Check): Expansion {
  if (literal === true) return { text, mistakes: [], unbraced: [], pieces: [] }
  const read = (file: string): string => {
    const content = check.files.get(file) ?? ''
    if (typeof content === 'string') return content
    throw content
  }
  return expand(text, { env: check.env, directory: check.directoryOf(place), read })
}

function reportUnbraced(name: string, { text }: ScalarNode, check: Check): void {
  // The text behind the dollar may be part of a password.
  const open = check.secret !== true && !text.includes('@')
  const [found, variable, dollar] = open
    ? [`\`$${name}\``, `\${env:${name}} for the variable`, `$$${name} for the text`]
    : ['a name behind a dollar', '${env:NAME} for a variable', '$$ for a dollar']
  const message = `${found} stays as it is; write ${variable}, ${dollar}`
  // A text of tags is read as a whole, then tag by tag.
  if (!check.problems.some((known) => known.place === check.place && known.message === message)) warn(check, message)
}

function wrongKind(format: Format, node: Node, check: Check): Checked {
  const colon = format === 'tag' && node.kind === 'map' ? ', without a space after the colon' : ''
  const divided =
    node.kind === 'map' && isSet(node.place.source)
      ? '; a path with a key that holds dots is divided at `::` instead'
      : ''
  report(check, `must be ${describe(format)}${colon}, not ${article(node)}${divided}`)
  return UNSET
}

/** The values that a format allows, to follow "must be". */
function describe(format: Format): string {
  if (typeof format === 'string') return formats[format].allowed
  if ('length' in format) return words(format)
  if ('list' in format) return 'a list'
  return 'settings' in format ? 'a map of settings' : 'a map'
}

function article({ kind }: Node): string {
  return { scalar: 'a single value', empty: 'empty', list: 'a list', map: 'a map' }[kind]
}
