import type { Component, ComponentKind } from '../../component/define.ts'
import type { SourcePosition } from '../../errors.ts'
import type { Signal } from '../../otlp/signal.ts'
import { SIGNALS } from '../../otlp/signals.ts'
import type { PipelineReferences } from './settings.ts'
import { join, report } from './check.ts'
import type { Check } from './check.ts'
import { collectorHint } from './collector.ts'
import { parseId } from './components.ts'
import { closest } from './suggest.ts'
import type { YamlEntry } from './yaml.ts'

/** The sections of the configuration that hold components. */
export const SECTIONS = { receivers: 'receiver', processors: 'processor', exporters: 'exporter' } as const

export type Section = keyof typeof SECTIONS

/** Ids of components by section. */
type Ids = Readonly<Record<Section, ReadonlySet<string>>>

type SectionEntries = Readonly<Record<Section, ReadonlyMap<string, YamlEntry>>>

/**
 * Checks the ids that pipelines name against the configured components, and returns the ids that at least one pipeline
 * uses. `entries`: the pipelines with their positions; `pipelines`: the same, checked.
 */
export function checkPipelines(
  entries: ReadonlyMap<string, YamlEntry>,
  pipelines: Readonly<Record<string, PipelineReferences | undefined>>,
  place: SourcePosition,
  configured: SectionEntries,
  check: Check,
): Ids {
  const used = { receivers: new Set<string>(), processors: new Set<string>(), exporters: new Set<string>() }
  if (entries.size === 0) {
    const example = '`pipelines: { metrics: { receivers: [host_metrics], exporters: [debug] } }`'
    report(check, place, 'service.pipelines', `service must have at least one pipeline, like ${example}`)
  }
  for (const [id, { key, value }] of entries) {
    const path = join('service.pipelines', id)
    checkSignal(id, key, path, check)
    const references = pipelines[id]
    if (references === undefined) continue
    for (const section of Object.keys(SECTIONS) as Section[]) {
      const entry = value.kind === 'map' ? value.entries.get(section) : undefined
      const places = entry?.value.kind === 'list' ? entry.value.items.map((item) => item.place) : []
      const ids = references[section] as readonly (string | undefined)[] | undefined
      if (ids?.length === 0 && section !== 'processors') {
        report(check, entry?.key ?? key, join(path, section), `must have at least one ${SECTIONS[section]}`)
      }
      for (const [index, reference] of ids?.entries() ?? []) {
        if (reference === undefined) continue
        const mistake: [message: string, suggestion?: string] | undefined =
          ids!.indexOf(reference) < index
            ? [`references ${SECTIONS[section]} "${reference}" multiple times`]
            : referenceMistake(reference, section, configured)
        if (mistake === undefined) used[section].add(reference)
        else report(check, places[index] ?? key, `${join(path, section)}[${index}]`, ...mistake)
      }
    }
  }
  return used
}

/** The signal of a pipeline, from its id, such as `logs/app`. */
export function signalOf(pipeline: string): Signal {
  return pipeline.split('/', 1)[0] as Signal
}

/** The signals that a component serves. */
export function signalsOf({ signals }: Pick<Component, 'signals'>): readonly Signal[] {
  return signals ?? ['metrics']
}

function checkSignal(id: string, place: SourcePosition, path: string, check: Check): void {
  const signal = parseId(id, place, path, check)?.type
  if (signal === undefined || SIGNALS.includes(signal as Signal)) return
  const kinds = SIGNALS.map((known) => `\`${known}\``).join(', ')
  const message =
    collectorHint(path) ?? `unknown signal "${signal}"; a pipeline is one of ${kinds}, or of these with \`/<name>\``
  report(check, place, path, message, closest(signal, SIGNALS))
}

/**
 * Reports components that do not serve the signal of a pipeline that names them. `typesFor`: the types of a kind that do.
 */
export async function checkSignals(
  entries: ReadonlyMap<string, YamlEntry>,
  pipelines: Readonly<Record<string, PipelineReferences | undefined>>,
  componentOf: (section: Section, id: string) => Component | undefined,
  typesFor: (kind: ComponentKind, signal: Signal) => Promise<readonly string[]>,
  check: Check,
): Promise<void> {
  for (const [id, { key, value }] of entries) {
    const signal = signalOf(id)
    const references = pipelines[id]
    if (references === undefined || !SIGNALS.includes(signal)) continue
    for (const [section, kind] of Object.entries(SECTIONS) as [Section, ComponentKind][]) {
      const entry = value.kind === 'map' ? value.entries.get(section)?.value : undefined
      for (const [index, reference] of references[section]?.entries() ?? []) {
        const component = componentOf(section, reference)
        if (component === undefined || signalsOf(component).includes(signal)) continue
        const place = entry?.kind === 'list' ? (entry.items[index]?.place ?? key) : key
        const fitting = await typesFor(kind, signal)
        const instead =
          fitting.length === 0 ? `there is no ${kind} for ${signal}` : `for ${signal} there are ${fitting.join(', ')}`
        const message = `${kind} "${reference}" is for ${signalsOf(component).join(' and ')}, not for ${signal}; ${instead}`
        report(check, place, `${join(join('service.pipelines', id), section)}[${index}]`, message)
      }
    }
  }
}

function referenceMistake(
  id: string,
  section: Section,
  configured: SectionEntries,
): [message: string, suggestion?: string] | undefined {
  const kind: ComponentKind = SECTIONS[section]
  if (configured[section].has(id)) return undefined
  const message = `references ${kind} "${id}" which is not configured`
  const type = id.split('/', 1)[0]
  const hint = collectorHint(`${section}.${type}`)
  const hasType = [...configured[section].keys()].some((known) => known.split('/', 1)[0] === type)
  if (hint !== undefined && !hasType) return [`${message}: ${hint}`]
  const other = (Object.keys(SECTIONS) as Section[]).find((name) => configured[name].has(id))
  const suggestion = closest(id, [...configured[section].keys()])
  if (suggestion !== undefined) return [message, suggestion]
  return [other === undefined ? `${message} under ${section}` : `${message}; "${id}" stands under ${other}`]
}
