import type { Component, ComponentKind } from '../../component/define.ts'
import type { Signal } from '../../otlp/signal.ts'
import { SIGNALS } from '../../otlp/signals.ts'
import type { PipelineReferences } from './settings.ts'
import { below, itemOf, report } from './check.ts'
import type { Check } from './check.ts'
import { collectorHint } from './collector.ts'
import { parseId } from './components.ts'
import { closest } from './suggest.ts'
import type { YamlEntry } from './yaml.ts'

/** The sections of the configuration that hold components. */
export const SECTIONS = { receivers: 'receiver', processors: 'processor', exporters: 'exporter' } as const

export type Section = keyof typeof SECTIONS

/** Ids of components by section. */
export type Ids = Readonly<Record<Section, ReadonlySet<string>>>

export type SectionEntries = Readonly<Record<Section, ReadonlyMap<string, YamlEntry>>>

/** The pipelines: as they are written, and as they were checked. */
interface Pipelines {
  readonly entries: ReadonlyMap<string, YamlEntry>
  readonly checked: Readonly<Record<string, PipelineReferences | undefined>>
}

/**
 * Checks the ids that pipelines name against the configured components, and returns the ids that at least one pipeline
 * uses. `check` is about the map of the pipelines.
 */
export function checkPipelines(pipelines: Pipelines, configured: SectionEntries, check: Check): Ids {
  const used = { receivers: new Set<string>(), processors: new Set<string>(), exporters: new Set<string>() }
  const { entries, checked } = pipelines
  if (entries.size === 0) {
    const example = '`pipelines: { metrics: { receivers: [host_metrics], exporters: [debug] } }`'
    report(check, `service must have at least one pipeline, like ${example}`)
  }
  for (const [id, { key, value }] of entries) {
    const inPipeline = below(check, id, key)
    checkSignal(id, inPipeline)
    for (const section of ['receivers', 'exporters'] as const) {
      if (checked[id]?.[section]?.length !== 0) continue
      const entry = value.kind === 'map' ? value.entries.get(section) : undefined
      report(below(inPipeline, section, entry?.key), `must have at least one ${SECTIONS[section]}`)
    }
  }
  for (const { section, id, isRepeated, check: place } of namedIn(pipelines, check)) {
    const mistake: [message: string, suggestion?: string] | undefined = isRepeated
      ? [`references ${SECTIONS[section]} "${id}" multiple times`]
      : referenceMistake(id, section, configured)
    if (mistake === undefined) used[section].add(id)
    else report(place, ...mistake)
  }
  return used
}

/** Every id that a pipeline names. */
function* namedIn({ entries, checked }: Pipelines, check: Check) {
  for (const [pipeline, { key, value }] of entries) {
    for (const section of Object.keys(SECTIONS) as Section[]) {
      const list = value.kind === 'map' ? value.entries.get(section)?.value : undefined
      const places = list?.kind === 'list' ? list.items.map(({ place }) => place) : []
      const inSection = below(below(check, pipeline), section)
      const ids = (checked[pipeline]?.[section] ?? []) as readonly (string | undefined)[]
      for (const [index, id] of ids.entries()) {
        if (id === undefined) continue
        const isRepeated = ids.indexOf(id) < index
        yield { pipeline, section, id, isRepeated, check: itemOf(inSection, index, places[index] ?? key) }
      }
    }
  }
}

/** The signal of a pipeline, from its id, such as `logs/app`. */
export function signalOf(pipeline: string): Signal {
  return pipeline.split('/', 1)[0] as Signal
}

/** The signals that a component serves. */
export function signalsOf({ signals }: Pick<Component, 'signals'>): readonly Signal[] {
  return signals ?? ['metrics']
}

function checkSignal(id: string, check: Check): void {
  const signal = parseId(id, check)?.type
  if (signal === undefined || SIGNALS.includes(signal as Signal)) return
  const kinds = SIGNALS.map((known) => `\`${known}\``).join(', ')
  const message =
    collectorHint(check.path) ??
    `unknown signal "${signal}"; a pipeline is one of ${kinds}, or of these with \`/<name>\``
  report(check, message, closest(signal, SIGNALS))
}

/** The components that pipelines may name. */
interface Known {
  find(section: Section, id: string): Component | undefined
  /** The types of a kind that serve a signal. */
  typesFor(kind: ComponentKind, signal: Signal): Promise<readonly string[]>
}

/** Reports components that do not serve the signal of a pipeline that names them. */
export async function checkSignals(pipelines: Pipelines, known: Known, check: Check): Promise<void> {
  for (const { pipeline, section, id, check: place } of namedIn(pipelines, check)) {
    const signal = signalOf(pipeline)
    const component = known.find(section, id)
    if (!SIGNALS.includes(signal) || component === undefined || signalsOf(component).includes(signal)) continue
    const kind = SECTIONS[section]
    const fitting = await known.typesFor(kind, signal)
    const instead =
      fitting.length === 0 ? `there is no ${kind} for ${signal}` : `for ${signal} there are ${fitting.join(', ')}`
    report(place, `${kind} "${id}" is for ${signalsOf(component).join(' and ')}, not for ${signal}; ${instead}`)
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
