import type { ComponentKind } from '../../component/define.ts'
import type { Place } from '../../errors.ts'
import type { PipelineReferences } from './settings.ts'
import { join, report } from './check.ts'
import type { Check } from './check.ts'
import { collectorHint } from './collector.ts'
import { parseId } from './components.ts'
import { closest } from './suggest.ts'
import type { Entry } from './yaml.ts'

/** The sections of the configuration that hold components. */
export const SECTIONS = { receivers: 'receiver', processors: 'processor', exporters: 'exporter' } as const

export type Section = keyof typeof SECTIONS

/** Ids of components by section. */
type Ids = Readonly<Record<Section, ReadonlySet<string>>>

type SectionEntries = Readonly<Record<Section, ReadonlyMap<string, Entry>>>

/**
 * Checks what the pipelines name against what is configured, and returns the ids that at least one of them uses.
 * `entries`: the pipelines where they stand; `pipelines`: the same, checked.
 */
export function checkPipelines(
  entries: ReadonlyMap<string, Entry>,
  pipelines: Readonly<Record<string, PipelineReferences | undefined>>,
  place: Place,
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
        const mistake = referenceMistake(reference, section, ids!.indexOf(reference) < index, configured)
        if (mistake === undefined) used[section].add(reference)
        else report(check, places[index] ?? key, `${join(path, section)}[${index}]`, ...mistake)
      }
    }
  }
  return used
}

function checkSignal(id: string, place: Place, path: string, check: Check): void {
  const signal = parseId(id, place, path, check)?.type
  if (signal === undefined || signal === 'metrics') return
  const message = collectorHint(path) ?? `unknown signal "${signal}"; a pipeline is \`metrics\` or \`metrics/<name>\``
  report(check, place, path, message, closest(signal, ['metrics']))
}

function referenceMistake(
  id: string,
  section: Section,
  repeated: boolean,
  configured: SectionEntries,
): [message: string, suggestion?: string] | undefined {
  const kind: ComponentKind = SECTIONS[section]
  if (repeated) return [`references ${kind} "${id}" multiple times`]
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
