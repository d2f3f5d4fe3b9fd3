import { isSetting } from '../../component/settings.ts'
import type { Component } from '../../component/define.ts'
import type { Format, Setting, Settings } from '../../component/settings.ts'
import { formats } from '../../formats.ts'
import { SIGNALS } from '../../otlp/signals.ts'
import { listBuiltins } from '../modules/load.ts'
import { modulesSetting, pipelineSettings, serviceSettings } from './settings.ts'
import { settingsOf } from './components.ts'
import { SECTIONS } from './pipelines.ts'

/** A text with a reference, which may expand to a value of any format. */
const REFERENCE = { type: 'string', pattern: '\\$\\{(env|file):' }

/** The id of a type, and after a slash a name without separators, symbols and control characters. */
const NAME = '(/[^\\p{Z}\\p{C}\\p{S}]{1,1024})?'

/**
 * The JSON Schema (draft-07, which editors know) of a whole configuration, made from the declarations of the built-in
 * components. It finds the same mistakes in a file as `loadConfig`, except those that need the whole input: references
 * between sections, keys given twice, rules across settings. If the file has `modules`, any type is allowed.
 */
export async function configSchema(): Promise<object> {
  const components = await listBuiltins()
  const sections = Object.entries(SECTIONS).map(([section, kind]) => {
    const ofKind = components.filter((component) => component.kind === kind)
    return [section, sectionSchema(ofKind)] as const
  })
  const knownTypes = Object.entries(SECTIONS).map(([section, kind]) => {
    const types = components.filter((component) => component.kind === kind).map(typePattern)
    return [section, { type: ['object', 'null'], propertyNames: { pattern: `^(${types.join('|')})${NAME}$` } }] as const
  })
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'heka-pipeline configuration',
    type: 'object',
    properties: {
      ...Object.fromEntries(sections),
      service: serviceSchema(),
      modules: settingSchema(modulesSetting),
    },
    required: ['service'],
    additionalProperties: false,
    if: { required: ['modules'] },
    else: { properties: Object.fromEntries(knownTypes) },
  }
}

function sectionSchema(components: readonly Component[]): object {
  const entries = components.map((component) => {
    const { summary } = component
    return [`^(${typePattern(component)})${NAME}$`, { description: summary, ...settingsSchema(settingsOf(component)) }]
  })
  return { type: ['object', 'null'], patternProperties: Object.fromEntries(entries) as object }
}

/** The type and the aliases, with and without underscores. */
function typePattern({ type, aliases = [] }: Component): string {
  return [...new Set([type, ...aliases].flatMap((name) => [name, name.replaceAll('_', '')]))].join('|')
}

function serviceSchema(): object {
  const ids = { type: 'array', items: { type: 'string' }, uniqueItems: true }
  const { receivers, processors, exporters } = pipelineSettings
  const pipeline = {
    type: 'object',
    properties: {
      receivers: { description: receivers.doc, ...ids, minItems: 1 },
      processors: { description: processors.doc, anyOf: [ids, { type: 'null' }] },
      exporters: { description: exporters.doc, ...ids, minItems: 1 },
    },
    required: ['receivers', 'exporters'],
    additionalProperties: false,
  }
  const { properties, ...service } = settingsSchema(serviceSettings)
  return {
    ...service,
    type: 'object',
    properties: {
      ...properties,
      pipelines: {
        type: 'object',
        minProperties: 1,
        patternProperties: { [`^(${SIGNALS.join('|')})${NAME}$`]: pipeline },
        additionalProperties: false,
      },
    },
    required: ['pipelines'],
  }
}

function settingsSchema(settings: Settings): { readonly properties: object; readonly [keyword: string]: unknown } {
  const required = Object.keys(settings).filter((name) => isNeeded(settings[name]))
  return {
    type: required.length === 0 ? ['object', 'null'] : 'object',
    properties: Object.fromEntries(
      Object.entries(settings).map(([name, entry]) => [
        name,
        isSetting(entry) ? settingSchema(entry) : settingsSchema(entry),
      ]),
    ),
    ...(required.length > 0 && { required }),
    additionalProperties: false,
  }
}

/** Whether the YAML itself must have the setting, because neither a default nor the environment can fill it. */
function isNeeded(entry: Setting | Settings): boolean {
  if (isSetting(entry)) return entry.default === null && entry.env === undefined
  return Object.values(entry).some(isNeeded)
}

function settingSchema(setting: Setting): object {
  const { doc, default: value } = setting
  const schema = formatSchema(setting.format)
  // A group of settings with nothing behind the colon is given and has its defaults, if all of its settings have one.
  const decidesNull = isNeeded(setting) || (typeof setting.format === 'object' && 'settings' in setting.format)
  return {
    description: doc,
    ...(value !== null && value !== undefined && { default: value }),
    ...(decidesNull ? schema : { anyOf: [schema, { type: 'null' }] }),
  }
}

function formatSchema(format: Format): object {
  if (format === 'tags') return { anyOf: [formatSchema({ list: 'tag' }), formats.tags.schema, REFERENCE] }
  if (format === 'string') return formats.string.schema
  if (typeof format === 'string') return { anyOf: [formats[format].schema, REFERENCE] }
  if ('length' in format) return { anyOf: [{ enum: format }, REFERENCE] }
  if ('list' in format) return { type: 'array', items: formatSchema(format.list) }
  if ('map' in format) return { type: ['object', 'null'], additionalProperties: formatSchema(format.map) }
  return settingsSchema(format.settings)
}
