import type { Component } from '../../component/define.ts'
import type { ExporterComponent } from '../../component/exporter.ts'
import type { ProcessorComponent } from '../../component/processor.ts'
import type { ReceiverComponent } from '../../component/receiver.ts'
import type { Settings } from '../../component/settings.ts'
import { ConfigError } from '../../errors.ts'
import type { SourcePosition, Problem } from '../../errors.ts'
import { memoryLimiterFindings } from '../../host/memory_limiter.ts'
import { addressesTakenTwice, listenersIn } from './addresses.ts'
import { checkFormat, checkKeys, checkSettings, join, report } from './check.ts'
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
import type { Section } from './pipelines.ts'
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
export interface ConfiguredPipeline extends PipelineReferences {
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
  const check: Check = { env, directoryOf, files, problems, changedDefaults: [], secrets: new Set() }
  for (const message of declarationMistakes(component)) report(check, { source }, '', message)
  throwErrors(problems)
  const [[id, entry] = ['', undefined], ...others] = node.kind === 'map' ? node.entries : []
  if (entry === undefined || others.length > 0) {
    report(check, node.place, '', `must be the entry of one component, such as \`${component.type}: {...}\``)
    throw new ConfigError(problems)
  }
  const type = parseId(id, entry.key, id, check)?.type
  if (type !== undefined && !isNameOf(type, component)) {
    report(check, entry.key, id, `must be an entry of ${component.type}`)
  }
  const { settings } = checkComponentSettings(component, entry.value, entry.key, id, check)
  throwErrors(inOrder(problems, [source]))
  return settings
}

async function readConfig(input: ConfigInput): Promise<{ config: PipelineConfig; shown: unknown }> {
  const { env = process.env, baseDirectory = process.cwd() } = input
  const { root, problems, sources, directories } = await readInput(input, baseDirectory)
  const directoryOf = ({ source }: SourcePosition) => directories.get(source) ?? baseDirectory
  const files = await readReferences(root, { env, directoryOf })
  const check: Check = { env, directoryOf, files, problems, changedDefaults: [], secrets: new Set() }
  const start: SourcePosition = { source: sources[0] ?? 'configuration', line: 1, column: 1 }
  if (root.kind !== 'map') {
    if (root.kind === 'empty') report(check, start, '', 'empty configuration file')
    else report(check, root.place, '', 'must be a map of sections, like `receivers:`')
    throw new ConfigError(inOrder(problems, sources))
  }
  checkKeys(root.entries, [...Object.keys(SECTIONS), 'service', 'modules'], '', check)

  const modulesEntry = root.entries.get('modules')
  const modules =
    modulesEntry && checkFormat(modulesSetting.format, modulesEntry.value, modulesEntry.key, 'modules', check)
  const custom = await loadModules((modules?.value ?? []) as string[], modulesEntry?.value, check)

  const serviceEntry = root.entries.get('service')
  const serviceKey = serviceEntry?.key ?? start
  const service = checkSettings(serviceSection, serviceEntry?.value, serviceKey, 'service', check)
  const { pipelines = {}, ...serviceConfig } = (service.value ?? {}) as Partial<ServiceConfig> & {
    pipelines?: Record<string, PipelineReferences>
  }
  if (serviceConfig.start_timeout === 0) {
    const message = 'must be longer than 0s'
    reportFindings([{ path: 'start_timeout', message }], serviceEntry?.value, serviceKey, 'service', check)
  }
  const limiterPath = 'service.memory_limiter'
  if (serviceConfig.memory_limiter !== undefined && !problems.some(({ path }) => path.startsWith(limiterPath))) {
    const findings = memoryLimiterFindings(serviceConfig.memory_limiter)
    const { key, value } = entriesOf(root, 'service').get('memory_limiter') as YamlEntry
    reportFindings([...findings], value, key, limiterPath, check)
  }
  const entries = {
    receivers: entriesOf(root, 'receivers', check),
    processors: entriesOf(root, 'processors', check),
    exporters: entriesOf(root, 'exporters', check),
  }
  const pipelineEntries = entriesOf(serviceEntry?.value, 'pipelines')
  const used = checkPipelines(pipelineEntries, pipelines, serviceKey, entries, check)

  const receivers = await checkSection('receivers', entries.receivers, used.receivers, custom, check)
  const processors = await checkSection('processors', entries.processors, used.processors, custom, check)
  const exporters = await checkSection('exporters', entries.exporters, used.exporters, custom, check)
  const sections = { receivers, processors, exporters }
  const componentOf = (section: Section, id: string) => sections[section].configured.get(id)?.component
  const typesFor = async (kind: Component['kind'], signal: Signal) =>
    [...(await listBuiltins(kind)), ...custom.components.filter((component) => component.kind === kind)]
      .filter((component) => signalsOf(component).includes(signal))
      .map(({ type }) => type)
  await checkSignals(pipelineEntries, pipelines, componentOf, typesFor, check)
  throwErrors(inOrder(problems, sources))
  for (const references of Object.values(pipelines)) {
    const before = references.processors
      .flatMap((id) => processors.configured.get(id) ?? [])
      .map(({ id, component, config }) => ({ id, type: component.type, config }))
    for (const id of references.exporters) {
      const exporter = exporters.configured.get(id) as ConfiguredExporter
      checkProcessors(exporter, before, entries.exporters.get(id) as YamlEntry, join('exporters', id), check)
    }
  }
  const listeners = [...receivers.configured].flatMap(([id, { component, config, used }]) =>
    used ? [...listenersIn(component.config, config, `receivers.${id}`)] : [],
  )
  const isServed = ({ path }: { path: string }) =>
    path !== 'service.telemetry.metrics.address' || serviceConfig.telemetry?.metrics.level !== 'none'
  listeners.push(...[...listenersIn(serviceSettings, serviceConfig, 'service')].filter(isServed))
  reportFindings([...addressesTakenTwice(listeners)], root, start, '', check)
  const warnings = inOrder(problems, sources)
  throwErrors(warnings)
  return {
    config: {
      receivers: receivers.configured as PipelineConfig['receivers'],
      processors: processors.configured as PipelineConfig['processors'],
      exporters: exporters.configured as ReadonlyMap<string, Configured<Component>> as PipelineConfig['exporters'],
      pipelines: new Map(
        Object.entries(pipelines).map(([id, references]) => [id, { ...references, signal: signalOf(id) }]),
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

/** The entries of the map below `name`. */
function entriesOf(node: Node | undefined, name: string, check?: Check): ReadonlyMap<string, YamlEntry> {
  const value = node?.kind === 'map' ? node.entries.get(name)?.value : undefined
  if (value?.kind === 'map') return value.entries
  if (value !== undefined && value.kind !== 'empty' && check !== undefined) {
    report(check, value.place, name, 'must be a map from ids, `type[/name]`, to their settings')
  }
  return new Map()
}

/** Checks the components of one section. */
async function checkSection(
  section: Section,
  entries: ReadonlyMap<string, YamlEntry>,
  used: ReadonlySet<string>,
  custom: Custom,
  check: Check,
): Promise<{ configured: Map<string, Configured<Component>>; shown: Record<string, unknown> }> {
  const configured = new Map<string, Configured<Component>>()
  const shown: Record<string, unknown> = {}
  for (const [id, { key, value }] of entries) {
    const path = join(section, id)
    const type = parseId(id, key, path, check)?.type
    if (type === undefined) continue
    if (section === 'exporters') checkDeliveryId(id, key, path, check)
    const component = await findComponent(SECTIONS[section], type, custom)
    if (component === undefined) {
      await reportUnknownType(SECTIONS[section], type, key, path, custom, check)
      continue
    }
    const inner = { ...check, unused: !used.has(id) }
    if (inner.unused) {
      check.problems.push({ severity: 'warning', place: key, path, message: 'is not used by any pipeline' })
    }
    const checked = checkComponentSettings(component, value, key, path, inner)
    configured.set(id, { id, component, place: key, used: used.has(id), ...checked.settings })
    shown[id] = checked.shown
  }
  return { configured, shown }
}

/** An exporter that is called like a signal of another would have its queue in the same folder, and its balance under the same name. */
function checkDeliveryId(id: string, place: SourcePosition, path: string, check: Check): void {
  const { exporter, signal } = readDeliveryId(id)
  if (exporter === id) return
  const message = `must not end in ":${signal}", since the queue of exporter "${exporter}" for ${signal} has this name`
  report(check, place, path, `${message}; use another, like "${exporter}_${signal}"`)
}

function throwErrors(problems: readonly Problem[]): void {
  if (problems.some(({ severity }) => severity === 'error')) throw new ConfigError(problems)
}
