import type { Component } from '../../component/define.ts'
import type { ExporterComponent } from '../../component/exporter.ts'
import type { ProcessorComponent } from '../../component/processor.ts'
import type { ReceiverComponent } from '../../component/receiver.ts'
import type { Finding, Settings } from '../../component/settings.ts'
import { ConfigError } from '../../errors.ts'
import type { SourcePosition, Problem } from '../../errors.ts'
import { memoryLimiterFindings } from '../../host/memory_limiter.ts'
import { addressesTakenTwice, listenersIn } from './addresses.ts'
import { below, checkFormat, checkKeys, checkSettings, report, startCheck, warn } from './check.ts'
import type { Check } from './check.ts'
import {
  checkComponentSettings,
  checkProcessors,
  findComponent,
  loadModules,
  parseId,
  reportFindings,
  reportUnknownType,
} from './components.ts'
import type { Custom } from './components.ts'
import { declarationMistakes } from './declaration.ts'
import { inOrder, readInput } from './input.ts'
import type { ConfigInput } from './input.ts'
import { checkPipelines, checkSignals, SECTIONS, signalOf, signalsOf } from './pipelines.ts'
import type { Ids, Section, SectionEntries } from './pipelines.ts'
import { printYaml } from './print.ts'
import { readReferences } from './references.ts'
import { parseYaml } from './yaml.ts'
import type { YamlEntry, Node } from './yaml.ts'
import type { Batch, Signal } from '../../otlp/signal.ts'
import { readDeliveryId } from '../delivery/id.ts'
import { isNameOf, listBuiltins } from '../modules/load.ts'
import { modulesSetting, pipelineSettings, serviceSettings } from './settings.ts'
import type { DeliveryConfig, PipelineReferences, ServiceConfig } from './settings.ts'

export type { ConfigInput } from './input.ts'

/** A component with its checked settings. */
export interface Configured<C extends Component> {
  /** `type[/name]` as in the YAML. */
  readonly id: string
  readonly component: C
  /** The position of the id. */
  readonly place: SourcePosition
  /** With every default, durations in milliseconds, sizes in bytes. May be incomplete if `used` is false. */
  readonly config: unknown
  /** Whether a pipeline uses it. */
  readonly used: boolean
}

export interface ConfiguredExporter extends Configured<ExporterComponent<Settings, Batch>> {
  readonly delivery: DeliveryConfig
}

/** The components of one pipeline, by id. */
interface ConfiguredPipeline extends PipelineReferences {
  readonly signal: Signal
}

/** A valid configuration. Maps are by id, in the order of the YAML. */
export interface PipelineConfig {
  readonly receivers: ReadonlyMap<string, Configured<ReceiverComponent>>
  readonly processors: ReadonlyMap<string, Configured<ProcessorComponent<Settings, Batch>>>
  readonly exporters: ReadonlyMap<string, ConfiguredExporter>
  readonly pipelines: ReadonlyMap<string, ConfiguredPipeline>
  readonly service: ServiceConfig
  readonly warnings: readonly Problem[]
  /** Settings that depend on a default that changed with a version; for `validate`. */
  readonly changedDefaults: readonly Problem[]
  /** Every secret value of at least four characters in the configuration, so that the logger can hide it. */
  readonly secrets: readonly string[]
}

/** Reads, merges, expands and checks a configuration. Throws a ConfigError with all mistakes. */
export async function loadConfig(input: ConfigInput): Promise<PipelineConfig> {
  return (await readConfig(input)).config
}

/**
 * The effective configuration as YAML: merged, with variables, files and defaults filled in and every secret hidden.
 * Throws a ConfigError as `loadConfig` does.
 */
export async function printConfig(input: ConfigInput): Promise<string> {
  const { config, shown } = await readConfig(input)
  return printYaml(shown, config.secrets)
}

/**
 * Checks one component's declaration and settings. `yaml`: its entry, `type[/name]: {...}`, as in the declaration's
 * examples. Returns the checked settings, with those of the delivery for an exporter. Throws a ConfigError.
 */
export async function checkComponent(
  component: Component,
  yaml: string,
  env: ConfigInput['env'] = process.env,
): Promise<{ config: unknown; delivery?: DeliveryConfig }> {
  const source = component.type
  const { node, broken, problems } = parseYaml(yaml, source)
  if (broken.length > 0) throw new ConfigError(broken)
  const directoryOf = () => process.cwd()
  const files = await readReferences(node, { env, directoryOf })
  const check = startCheck({ env, directoryOf, files, problems, place: { source } })
  for (const message of declarationMistakes(component)) report(check, message)
  throwErrors(problems)
  const [[id, entry] = ['', undefined], ...others] = node.kind === 'map' ? node.entries : []
  if (entry === undefined || others.length > 0) {
    report({ ...check, place: node.place }, `must be the entry of one component, such as \`${component.type}: {...}\``)
    throw new ConfigError(problems)
  }
  const inner = below(check, id, entry.key)
  const type = parseId(id, inner)?.type
  if (type !== undefined && !isNameOf(type, component)) report(inner, `must be an entry of ${component.type}`)
  const { settings } = checkComponentSettings(component, entry.value, inner)
  throwErrors(inOrder(problems, [source]))
  return settings
}

async function readConfig(input: ConfigInput): Promise<{ config: PipelineConfig; shown: unknown }> {
  const { env = process.env, baseDirectory = process.cwd() } = input
  const { root, problems, sources, directories } = await readInput(input, baseDirectory)
  const directoryOf = ({ source }: SourcePosition) => directories.get(source) ?? baseDirectory
  const files = await readReferences(root, { env, directoryOf })
  const start: SourcePosition = { source: sources[0] ?? 'configuration', line: 1, column: 1 }
  const check = startCheck({ env, directoryOf, files, problems, place: start })
  if (root.kind !== 'map') {
    if (root.kind === 'empty') report(check, 'empty configuration file')
    else report({ ...check, place: root.place }, 'must be a map of sections, like `receivers:`')
    throw new ConfigError(inOrder(problems, sources))
  }
  checkKeys(root.entries, [...Object.keys(SECTIONS), 'service', 'modules'], check)

  const sectionOf = (name: string) => {
    const entry = root.entries.get(name)
    return { node: entry?.value, check: below(check, name, entry?.key) }
  }
  const inModules = sectionOf('modules')
  const modules = inModules.node && checkFormat(modulesSetting.format, inModules.node, inModules.check)
  const custom = await loadModules((modules?.value ?? []) as string[], inModules.node, inModules.check)

  const inService = sectionOf('service')
  const service = checkSettings(serviceSection, inService.node, inService.check)
  const { pipelines: checked = {}, ...serviceConfig } = (service.value ?? {}) as Partial<ServiceConfig> & {
    pipelines?: Record<string, PipelineReferences>
  }
  const isLimiterRight = !problems.some(({ path }) => path.startsWith('service.memory_limiter'))
  reportFindings(serviceFindings(serviceConfig, isLimiterRight), inService.node, inService.check)
  const entries = {
    receivers: componentsIn(sectionOf('receivers')),
    processors: componentsIn(sectionOf('processors')),
    exporters: componentsIn(sectionOf('exporters')),
  }
  const written = inService.node?.kind === 'map' ? inService.node.entries.get('pipelines')?.value : undefined
  const inPipelines = below(inService.check, 'pipelines')
  const pipelines = { entries: written?.kind === 'map' ? written.entries : new Map<string, YamlEntry>(), checked }
  const used = checkPipelines(pipelines, entries, inPipelines)

  const found = { entries, used, custom }
  const receivers = await checkSection('receivers', found, check)
  const processors = await checkSection('processors', found, check)
  const exporters = await checkSection('exporters', found, check)
  const sections = { receivers, processors, exporters }
  const known = {
    find: (section: Section, id: string) => sections[section].configured.get(id)?.component,
    typesFor: async (kind: Component['kind'], signal: Signal) =>
      [...(await listBuiltins(kind)), ...custom.components.filter((component) => component.kind === kind)]
        .filter((component) => signalsOf(component).includes(signal))
        .map(({ type }) => type),
  }
  await checkSignals(pipelines, known, inPipelines)
  throwErrors(inOrder(problems, sources))
  for (const references of Object.values(checked)) {
    const before = references.processors
      .flatMap((id) => processors.configured.get(id) ?? [])
      .map(({ id, component, config }) => ({ id, type: component.type, config }))
    for (const id of references.exporters) {
      const exporter = exporters.configured.get(id) as ConfiguredExporter
      const { key, value } = entries.exporters.get(id) as YamlEntry
      checkProcessors(exporter, before, value, below(below(check, 'exporters'), id, key))
    }
  }
  const listeners = [...receivers.configured].flatMap(([id, { component, config, used }]) =>
    used ? [...listenersIn(component.config, config, `receivers.${id}`)] : [],
  )
  const isServed = ({ path }: { path: string }) =>
    path !== 'service.telemetry.metrics.address' || serviceConfig.telemetry?.metrics.level !== 'none'
  listeners.push(...[...listenersIn(serviceSettings, serviceConfig, 'service')].filter(isServed))
  reportFindings(addressesTakenTwice(listeners), root, check)
  const warnings = inOrder(problems, sources)
  throwErrors(warnings)
  return {
    config: {
      receivers: receivers.configured as PipelineConfig['receivers'],
      processors: processors.configured as PipelineConfig['processors'],
      exporters: exporters.configured as ReadonlyMap<string, Configured<Component>> as PipelineConfig['exporters'],
      pipelines: new Map(
        Object.entries(checked).map(([id, references]) => [id, { ...references, signal: signalOf(id) }]),
      ),
      service: serviceConfig as ServiceConfig,
      warnings,
      changedDefaults: inOrder(check.changedDefaults, sources),
      secrets: [...check.secrets],
    },
    shown: {
      ...(modules && { modules: modules.shown }),
      receivers: receivers.shown,
      processors: processors.shown,
      exporters: exporters.shown,
      service: service.shown,
    },
  }
}

const serviceSection = {
  ...serviceSettings,
  pipelines: {
    doc: 'The pipelines: `metrics`, `logs` or `traces`, optionally with a name as in `metrics/<name>`. Each leads from receivers through processors to exporters.',
    format: { map: { settings: pipelineSettings } },
    default: {},
  },
} as const satisfies Settings

/** The mistakes in `service` that the formats of its settings cannot express. */
function* serviceFindings(service: Partial<ServiceConfig>, isLimiterRight: boolean): Generator<Finding> {
  if (service.start_timeout === 0) yield { path: 'start_timeout', message: 'must be longer than 0s' }
  if (service.memory_limiter === undefined || !isLimiterRight) return
  for (const finding of memoryLimiterFindings(service.memory_limiter)) {
    yield { ...finding, path: finding.path === '' ? 'memory_limiter' : `memory_limiter.${finding.path}` }
  }
}

/** The components that a section holds, by id. */
function componentsIn({ node, check }: { node: Node | undefined; check: Check }): ReadonlyMap<string, YamlEntry> {
  if (node?.kind === 'map') return node.entries
  if (node !== undefined && node.kind !== 'empty') {
    report({ ...check, place: node.place }, 'must be a map from ids, `type[/name]`, to their settings')
  }
  return new Map()
}

/** Checks the components of one section. */
async function checkSection(
  section: Section,
  found: { readonly entries: SectionEntries; readonly used: Ids; readonly custom: Custom },
  check: Check,
): Promise<{ configured: Map<string, Configured<Component>>; shown: Record<string, unknown> }> {
  const configured = new Map<string, Configured<Component>>()
  const shown: Record<string, unknown> = {}
  for (const [id, { key, value }] of found.entries[section]) {
    const used = found.used[section].has(id)
    const inner = { ...below(below(check, section), id, key), unused: !used }
    const type = parseId(id, inner)?.type
    if (type === undefined) continue
    if (section === 'exporters') checkDeliveryId(id, inner)
    const component = await findComponent(SECTIONS[section], type, found.custom)
    if (component === undefined) {
      await reportUnknownType(SECTIONS[section], type, found.custom, inner)
      continue
    }
    if (!used) warn(inner, 'is not used by any pipeline')
    const checked = checkComponentSettings(component, value, inner)
    configured.set(id, { id, component, place: key, used, ...checked.settings })
    shown[id] = checked.shown
  }
  return { configured, shown }
}

/** An exporter that is called like a signal of another would have its queue in the same folder, and its balance under the same name. */
function checkDeliveryId(id: string, check: Check): void {
  const { exporter, signal } = readDeliveryId(id)
  if (exporter === id) return
  const message = `must not end in ":${signal}", since the queue of exporter "${exporter}" for ${signal} has this name`
  report(check, `${message}; use another, like "${exporter}_${signal}"`)
}

function throwErrors(problems: readonly Problem[]): void {
  if (problems.some(({ severity }) => severity === 'error')) throw new ConfigError(problems)
}
