import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument, visit } from 'yaml'
import type { Alias, Document, Node as YamlNode, Pair } from 'yaml'
import type { SourcePosition, Problem } from '../../errors.ts'

/**
 * A configuration value with its position. A scalar is the text in the YAML, not yet interpreted; a `literal` one comes
 * from elsewhere, so `${...}` in it has no meaning.
 */
export type Node =
  | { readonly kind: 'scalar'; readonly place: SourcePosition; readonly text: string; readonly literal?: boolean }
  | { readonly kind: 'empty'; readonly place: SourcePosition }
  | { readonly kind: 'list'; readonly place: SourcePosition; readonly items: readonly Node[] }
  | { readonly kind: 'map'; readonly place: SourcePosition; readonly entries: ReadonlyMap<string, YamlEntry> }

export interface YamlEntry {
  /** The position of the key. */
  readonly key: SourcePosition
  readonly value: Node
}

export type MapNode = Extract<Node, { kind: 'map' }>

/** Aliases can expand a few lines without limit; no honest configuration comes near this number of nodes, each alias counted in full. */
const MAX_NODES = 100_000

/**
 * Parses one YAML document into nodes. `broken`: the syntax error if there are no nodes; `problems`: the other
 * mistakes.
 */
export function parseYaml(text: string, source: string): { node: Node; broken: Problem[]; problems: Problem[] } {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: false })
  const placeAt = (offset: number): SourcePosition => {
    const { line, col } = lines.linePos(offset)
    return { source, line, column: col }
  }
  const problems: Problem[] = []
  const report = (offset: number, message: string) => {
    problems.push({ severity: 'error', place: placeAt(offset), path: '', message })
  }
  const broken = syntaxProblems(document, text, placeAt)
  if (broken.length > 0) return { node: { kind: 'empty', place: placeAt(0) }, broken, problems }
  for (const { pos, message } of document.warnings) report(pos[0], message)
  const builder = new NodeBuilder(document, placeAt, report)
  const node = builder.build(document.contents, 0, [])
  const { tooMany } = builder
  if (tooMany === undefined) return { node, broken, problems }
  return { node: { kind: 'empty', place: tooMany.place }, broken: [tooMany], problems: [] }
}

/** The first syntax error; later ones are mostly its consequences. */
function syntaxProblems(document: Document, text: string, placeAt: (offset: number) => SourcePosition): Problem[] {
  const [error] = document.errors
  if (error === undefined) return []
  const place = placeAt(error.pos[0])
  const line = text.split('\n')[place.line! - 1]
  const hint = line?.includes('${')
    ? '; inside { } and [ ], and before `: `, a value with `${...}` must be quoted: "${...}"'
    : ''
  // Without the text at the error, which may be a secret.
  const found = error.message.replace(/ token in YAML stream: .*/s, '')
  const reasons: Partial<Record<typeof error.code, string>> = {
    MULTIPLE_DOCS: 'a file may hold only one document; --config may be given several times',
    RESOURCE_EXHAUSTION: 'it is nested too deeply',
  }
  const reason = reasons[error.code] ?? found
  const message = `is not valid YAML: ${reason.charAt(0).toLowerCase()}${reason.slice(1)}${hint}`
  return [{ severity: 'error', place, path: '', message }]
}

/** The target of each alias: the last node before it with its anchor. */
function targetsOf(document: Document): ReadonlyMap<Alias, YamlNode> {
  const anchored = new Map<string, YamlNode>()
  const targets = new Map<Alias, YamlNode>()
  visit(document, {
    Alias(_key, alias) {
      const target = anchored.get(alias.source)
      if (target !== undefined) targets.set(alias, target)
    },
    Value(_key, node) {
      if (node.anchor !== undefined) anchored.set(node.anchor, node)
    },
  })
  return targets
}

class NodeBuilder {
  /** The mistake, if there are more nodes than `MAX_NODES`. */
  tooMany: Problem | undefined
  private count = 0
  private readonly targets: ReadonlyMap<Alias, YamlNode>

  constructor(
    document: Document,
    private readonly placeAt: (offset: number) => SourcePosition,
    private readonly report: (offset: number, message: string) => void,
  ) {
    this.targets = targetsOf(document)
  }

  /** `offset`: the position of the node if it is absent; `aliases`: those being resolved. */
  build(yaml: unknown, offset: number, aliases: readonly unknown[]): Node {
    const start = (yaml as YamlNode | null)?.range?.[0] ?? offset
    const place = this.placeAt(start)
    if (isAlias(yaml)) return this.buildAlias(yaml, start, aliases)
    this.count++
    if (this.count > MAX_NODES) {
      const message = `has more than ${MAX_NODES} values, where each alias counts as all that it stands for`
      this.tooMany ??= { severity: 'error', place, path: '', message }
      return { kind: 'empty', place }
    }
    if (isMap(yaml)) return { kind: 'map', place, entries: this.buildEntries(yaml.items, start, aliases) }
    if (isSeq(yaml)) {
      return { kind: 'list', place, items: yaml.items.map((item) => this.build(item, start, aliases)) }
    }
    if (!isScalar(yaml) || yaml.value === null) return { kind: 'empty', place }
    return { kind: 'scalar', place, text: yaml.source ?? '' }
  }

  private buildAlias(alias: Alias, offset: number, aliases: readonly unknown[]): Node {
    const target = this.targets.get(alias)
    if (target !== undefined && !aliases.includes(target)) return this.build(target, offset, [...aliases, target])
    const why = target === undefined ? `has no anchor &${alias.source} before it` : 'contains itself'
    this.report(offset, `the alias *${alias.source} ${why}`)
    return { kind: 'empty', place: this.placeAt(offset) }
  }

  private buildEntries(pairs: readonly Pair[], offset: number, aliases: readonly unknown[]): Map<string, YamlEntry> {
    const entries = new Map<string, YamlEntry>()
    const merged: Node[] = []
    for (const pair of pairs) {
      const key = isAlias(pair.key) ? this.targets.get(pair.key) : pair.key
      const start = (pair.key as YamlNode | null)?.range?.[0] ?? offset
      if (!isScalar(key)) {
        this.report(start, 'a key must be a plain text')
        continue
      }
      const name = key.source ?? ''
      const end = (pair.key as YamlNode).range?.[1] ?? start
      const value = this.build(pair.value, end, aliases)
      if (name === '<<' && key.type === 'PLAIN') merged.push(...(value.kind === 'list' ? value.items : [value]))
      else if (entries.has(name)) {
        this.report(start, `the key "${name}" is given twice; the first stands in line ${entries.get(name)!.key.line}`)
      } else entries.set(name, { key: this.placeAt(start), value })
    }
    // The merge key of YAML 1.1, which the Collector also knows: own keys win, then the first of several maps.
    for (const node of merged) {
      if (node.kind === 'empty') continue
      if (node.kind !== 'map') this.report(offset, 'the merge key << needs a map')
      else for (const [name, entry] of node.entries) if (!entries.has(name)) entries.set(name, entry)
    }
    return entries
  }
}

/** Merges `over` into `under`: maps merge deeply, everything else is replaced. An empty value leaves a map as it is. */
export function merge(under: Node, over: Node): Node {
  if (under.kind !== 'map') return over
  if (over.kind === 'empty') return under
  if (over.kind !== 'map') return over
  const entries = new Map(under.entries)
  for (const [name, entry] of over.entries) {
    const earlier = entries.get(name)
    entries.set(name, earlier === undefined ? entry : { key: entry.key, value: merge(earlier.value, entry.value) })
  }
  return { kind: 'map', place: over.place, entries }
}

/**
 * The node of `--set <path>=<value>`. The value is the text as it is, or YAML if it begins like a list, a map or a
 * quoted text. The path is divided at `::` if it has any, so that keys may hold dots, and otherwise at dots.
 */
export function parseSet(set: string, source: string): { node: Node; problems: Problem[] } {
  const place = { source }
  const [, path, text] = /^([^=]+)=(.*)$/s.exec(set) ?? []
  if (path === undefined || text === undefined) {
    const message = 'must have the form `path=value`, like `exporters.datadog_native.site=datadoghq.eu`'
    return { node: { kind: 'empty', place }, problems: [{ severity: 'error', place, path: '', message }] }
  }
  const { node, broken, problems } = /^["'[{]/.test(text) ? parseYaml(text, source) : plain(text, place)
  const keys = path.split(path.includes('::') ? '::' : '.')
  const nested = keys.reduceRight<Node>(
    (value, key) => ({ kind: 'map', place, entries: new Map([[key, { key: place, value }]]) }),
    at(node, place),
  )
  return {
    node: nested,
    problems: [...broken, ...problems].map((problem) => ({ ...problem, place, path: keys.join('.') })),
  }
}

function plain(text: string, place: SourcePosition): ReturnType<typeof parseYaml> {
  return { node: text === '' ? { kind: 'empty', place } : { kind: 'scalar', place, text }, broken: [], problems: [] }
}

/** The same node, with one position for all of it. */
function at(node: Node, place: SourcePosition): Node {
  if (node.kind === 'list') return { ...node, place, items: node.items.map((item) => at(item, place)) }
  if (node.kind !== 'map') return { ...node, place }
  const entries = Array.from(
    node.entries,
    ([name, { value }]) => [name, { key: place, value: at(value, place) }] as const,
  )
  return { ...node, place, entries: new Map(entries) }
}
