import type { Component, ComponentKind } from '../../component/define.ts'
import type { ExporterComponent, ProcessorBefore } from '../../component/exporter.ts'
import type { Finding, Settings } from '../../component/settings.ts'
import { errorMessage } from '../../errors.ts'
import type { SourcePosition } from '../../errors.ts'
import type { Batch } from '../../otlp/signal.ts'
import { withoutExit } from '../../process_exit.ts'
import { isNameOf, isSpellingOf, listTypes, loadBuiltin, loadModule } from '../modules/load.ts'
import { deliverySettings, deliverySettingsOf } from './settings.ts'
import type { DeliveryConfig } from './settings.ts'
import { checkSettings, itemOf, join, report } from './check.ts'
import type { Check, Checked } from './check.ts'
import { collectorHint } from './collector.ts'
import { declarationMistakes } from './declaration.ts'
import { closest } from './suggest.ts'
import type { MapNode, Node } from './yaml.ts'

/** The components that the modules export. */
export interface Custom {
  readonly components: readonly Component[]
  /**
   * `kind type` of the components whose declarations hold mistakes; also `UNKNOWN` if a module failed, so that its
   * components are not known.
   */
  readonly broken: ReadonlySet<string>
}

const UNKNOWN = 'unknown'

/**
 * Loads the components of `specifiers`. All problems of a module are reported at its entry in `node`, the list of
 * modules, which `check` is about.
 */
export async function loadModules(
  specifiers: readonly (string | undefined)[],
  node: Node | undefined,
  check: Check,
): Promise<Custom> {
  const components: Component[] = []
  const broken = new Set<string>()
  for (const [index, specifier] of specifiers.entries()) {
    if (specifier === undefined || node?.kind !== 'list') {
      broken.add(UNKNOWN)
      continue
    }
    const { place } = node.items[index]
    const fail = (message: string) => report(itemOf(check, index, place), message)
    let exported: readonly unknown[]
    try {
      exported = await loadModule(specifier, check.directoryOf(place))
    } catch (error) {
      fail(`cannot be loaded: ${errorMessage(error).replace(/\s+/g, ' ')}`)
      broken.add(UNKNOWN)
      continue
    }
    for (const [position, candidate] of exported.entries()) {
      const which = exported.length === 1 ? '' : `component ${position + 1}: `
      const mistakes = mistakesOf(candidate)
      const named = isNamed(candidate) ? candidate : undefined
      const collision = named && (await collisionOf(named, components))
      if (collision !== undefined) mistakes.push(collision)
      for (const mistake of mistakes) fail(which + mistake)
      if (mistakes.length === 0) components.push(candidate as Component)
      else broken.add(named === undefined ? UNKNOWN : `${named.kind} ${named.type}`)
    }
  }
  return { components, broken }
}

/** An object that is not a literal may behave in any way when it is read, such as refer to itself endlessly. */
function mistakesOf(candidate: unknown): string[] {
  try {
    return [...declarationMistakes(candidate)]
  } catch (error) {
    return [`its declaration cannot be read: ${errorMessage(error)}`]
  }
}

function isNamed(candidate: unknown): candidate is Pick<Component, 'kind' | 'type'> {
  const { kind, type } = (candidate ?? {}) as Record<string, unknown>
  return ['receiver', 'processor', 'exporter'].includes(kind as string) && typeof type === 'string'
}

async function collisionOf(
  { kind, type }: Pick<Component, 'kind' | 'type'>,
  others: readonly Component[],
): Promise<string | undefined> {
  const taken = (other: string) => isSpellingOf(type, other) || isSpellingOf(other, type)
  if ((await listTypes(kind)).some(taken))
    return `there is a built-in ${kind} "${type}"; a custom one needs another type`
  const isTaken = others.some((other) => other.kind === kind && taken(other.type))
  return isTaken ? `another module already has a ${kind} "${type}"` : undefined
}

/** The component with the name `type`, custom or built-in. */
export async function findComponent(
  kind: ComponentKind,
  type: string,
  { components }: Custom,
): Promise<Component | undefined> {
  return components.find((component) => component.kind === kind && isNameOf(type, component)) ?? loadBuiltin(kind, type)
}

/**
 * Divides an id into type and name and reports any mistake in it. The rules are the Collector's
 * (component/identifiable.go, 2026).
 */
export function parseId(id: string, check: Check): { type: string; name?: string } | undefined {
  const slash = id.indexOf('/')
  const type = slash < 0 ? id : id.slice(0, slash)
  const name = slash < 0 ? undefined : id.slice(slash + 1)
  const fail = (message: string) => report(check, message)
  if (id === '') return void fail('an id must not be empty; it has the form `type[/name]`')
  if (type === '') return void fail(`in "${id}" id: the part before / should not be empty`)
  if (name === '') return void fail(`in "${id}" id: the part after / should not be empty`)
  if (!/^[a-zA-Z][0-9a-zA-Z_]{0,62}$/.test(type)) {
    return void fail(
      `invalid character(s) in type "${type}": a letter, then at most 62 letters, digits and underscores`,
    )
  }
  if (name === undefined) return { type }
  if (name.length > 1024) return void fail(`the name in "${id.slice(0, 40)}..." is longer than 1024 characters`)
  if (/[\p{Z}\p{C}\p{S}]/u.test(name))
    return void fail(`invalid character(s) in name "${name}": no spaces and no symbols`)
  return { type, name }
}

/** Reports a type that does not exist, unless a module that failed may have provided it. */
export async function reportUnknownType(
  kind: ComponentKind,
  type: string,
  { components, broken }: Custom,
  check: Check,
): Promise<void> {
  const types = [
    ...(await listTypes(kind)),
    ...components.filter((other) => other.kind === kind).map((other) => other.type),
  ].sort()
  const hint = collectorHint(`${kind}s.${type}`)
  const meant = hint === undefined ? closest(type, types) : undefined
  if (broken.has(`${kind} ${type}`) || (broken.has(UNKNOWN) && hint === undefined && meant === undefined)) return
  const message = hint ?? `unknown type: "${type}"; the ${kind}s are ${types.join(', ')}; \`modules\` adds custom ones`
  report(check, message, meant)
}

/** The settings of a component as they appear in the YAML: an exporter's own, together with those of the delivery around it. */
export function settingsOf(component: Component): Component['config'] {
  if (component.kind !== 'exporter') return component.config
  return { ...deliverySettingsOf(component), ...component.config }
}

/** Checks one component's settings and the rules across them. */
export function checkComponentSettings(
  component: Component,
  node: Node | undefined,
  check: Check,
): { settings: { config: unknown; delivery?: DeliveryConfig }; shown: unknown } {
  const before = check.problems.length
  const { value, shown }: Checked = checkSettings(settingsOf(component), node, check)
  if (value === undefined) return { settings: { config: undefined }, shown }
  const all = value as Record<string, unknown>
  const isDelivery = ([name]: [string, unknown]) => component.kind === 'exporter' && name in deliverySettings
  const config = Object.fromEntries(Object.entries(all).filter((entry) => !isDelivery(entry)))
  const delivery = Object.fromEntries(Object.entries(all).filter(isDelivery)) as unknown as DeliveryConfig
  // Rules need every setting that they may read; a setting that an unused component lacks is only a warning.
  const wrong = check.problems
    .slice(before)
    .filter(({ severity }) => severity === 'error' || check.unused === true)
    .map((problem) => isDelivery([problem.path.slice(check.path.length + 1).split('.')[0], undefined]))
  const findings = [
    ...(wrong.includes(false) ? [] : findingsOf(() => component.check?.(config as never))),
    ...(wrong.includes(true) || component.kind !== 'exporter' ? [] : deliveryFindings(delivery)),
  ]
  reportFindings(findings, node, check)
  return { settings: component.kind === 'exporter' ? { config, delivery } : { config }, shown }
}

/** Checks an exporter's rules about the processors in front of it in a pipeline. */
export function checkProcessors(
  { component, config }: { readonly component: ExporterComponent<Settings, Batch>; readonly config: unknown },
  processors: readonly ProcessorBefore[],
  node: Node,
  check: Check,
): void {
  const findings = findingsOf(() => component.checkProcessors?.(config as never, processors))
  // Several pipelines may lead to the same problem.
  const isNew = ({ message }: Finding) =>
    !check.problems.some((known) => known.message === message && known.path.startsWith(`${check.path}.`))
  reportFindings(findings.filter(isNew), node, check)
}

/** Reports the findings of a rule, each at its setting or at the nearest one around it. */
export function reportFindings(findings: Iterable<Finding>, node: Node | undefined, check: Check): void {
  for (const { path: below, message, severity = 'error', suggestion } of findings) {
    const { node: found, place: at } = locate(node, check.place, below)
    // Text from a variable or a file may be a secret.
    const open = found?.kind === 'scalar' && !found.text.includes('${')
    check.problems.push({
      severity,
      place: at,
      path: below === '' ? check.path : join(check.path, below),
      message,
      ...(open && suggestion !== undefined && { suggestion }),
    })
  }
}

function findingsOf(rules: () => Iterable<Finding> | undefined): Finding[] {
  try {
    const findings = withoutExit(() => [...(rules() ?? [])])
    for (const { path, message } of findings) {
      if (typeof path !== 'string' || typeof message !== 'string')
        throw new TypeError('it must yield `{ path, message }`')
    }
    return findings
  } catch (error) {
    return [{ path: '', message: `its check failed: ${errorMessage(error)}` }]
  }
}

const MIN_DISK_SIZE = 2 ** 20

/** Checks the rules of the delivery settings that their formats cannot express. */
function* deliveryFindings({
  timeout,
  retry_on_failure: retry,
  sending_queue: queue,
}: DeliveryConfig): Generator<Finding> {
  if (timeout === 0) yield { path: 'timeout', message: 'must be longer than 0s' }
  if (retry.randomization_factor < 0 || retry.randomization_factor > 1) {
    yield { path: 'retry_on_failure.randomization_factor', message: 'must be from 0 to 1' }
  }
  if (retry.multiplier < 1) yield { path: 'retry_on_failure.multiplier', message: 'must be at least 1' }
  if (queue.queue_size === 0) yield { path: 'sending_queue.queue_size', message: 'must be at least 1' }
  if (queue.num_consumers < 1) yield { path: 'sending_queue.num_consumers', message: 'must be at least 1' }
  if (queue.directory !== undefined && !queue.enabled) {
    yield { path: 'sending_queue.directory', message: 'needs `enabled: true`: without a queue nothing is kept' }
  }
  if (queue.max_disk_size < MIN_DISK_SIZE) {
    yield { path: 'sending_queue.max_disk_size', message: 'must be at least 1MiB' }
  }
  const { batch } = queue
  if (batch === undefined) return
  if (batch.flush_timeout === 0) yield { path: 'sending_queue.batch.flush_timeout', message: 'must be longer than 0s' }
  if (batch.max_size > 0 && batch.max_size < batch.min_size) {
    yield { path: 'sending_queue.batch.max_size', message: `must not be less than min_size, ${batch.min_size}` }
  }
}

interface Located {
  /** Unless the setting is absent. */
  readonly node?: Node
  readonly place: SourcePosition
}

/** The setting at a path with its position, or the position of the nearest one around it. List items are `[index]` or `.index`. */
function locate(node: Node | undefined, place: SourcePosition, path: string): Located {
  const rest = path.replace(/^\./, '')
  if (rest === '' || node === undefined) return { node, place }
  if (node.kind === 'map') return locateKey(node, place, rest)
  const index = node.kind === 'list' ? /^\[?(\d+)\]?/.exec(rest) : null
  const item = index === null ? undefined : (node as Extract<Node, { kind: 'list' }>).items[Number(index[1])]
  return item === undefined ? { place } : locate(item, item.place, rest.slice(index![0].length))
}

/** Keys may hold dots, so the longest key that fits is taken. */
function locateKey(node: MapNode, place: SourcePosition, path: string): Located {
  const fits = (key: string) => path.startsWith(key) && (path.length === key.length || '.['.includes(path[key.length]))
  const [key] = [...node.entries.keys()].filter(fits).sort((a, b) => b.length - a.length)
  if (key === undefined) return { place }
  const entry = node.entries.get(key)!
  return locate(entry.value, entry.value.kind === 'scalar' ? entry.value.place : entry.key, path.slice(key.length))
}
