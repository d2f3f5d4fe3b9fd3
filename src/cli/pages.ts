import { isSetting } from '../component/settings.ts'
import type { Component, ComponentKind } from '../component/define.ts'
import type { Format, Setting, Settings } from '../component/settings.ts'
import { formats } from '../formats.ts'
import { signalsOf } from '../pipeline/config/pipelines.ts'
import { inlineYaml } from '../pipeline/config/print.ts'
import { deliverySettings, deliverySettingsOf, serviceSettings } from '../pipeline/config/settings.ts'

/*
 * The Markdown pages about components, generated from their declarations: their contents are written nowhere else.
 */

/** The path of a component's page below `docs/`. */
export function pagePath({ kind, type }: Component): string {
  return `${kind}s/${type}.md`
}

/** The page of one component. */
export function componentPage(component: Component): string {
  const { kind, type, aliases = [], summary, description, config, examples = [] } = component
  const sections = [
    `<!-- Made from src/${kind}s/${type}.ts by "npm run docs". -->`,
    `# ${type}`,
    `${capital(kind)}. ${summary}`,
  ]
  if (aliases.length > 0) sections.push(`Also known as ${aliases.map((alias) => `\`${alias}\``).join(', ')}.`)
  sections.push(`For pipelines of ${inWords(signalsOf(component))}.`)
  if (description !== undefined) sections.push(unindent(description))
  sections.push('## Settings')
  sections.push(Object.keys(config).length === 0 ? 'It has none.' : settingsTable(config))
  if (component.kind === 'exporter') {
    sections.push(
      '## Delivery',
      'How the pipeline delivers to it; the same for every exporter.',
      settingsTable(deliverySettingsOf(component)),
    )
  }
  if (examples.length > 0) sections.push('## Examples')
  for (const { title, yaml } of examples) {
    const entry = unindent(yaml).replace(/^(?=.)/gm, '  ')
    sections.push(`### ${title}`, `\`\`\`yaml\n${kind}s:\n${entry}\n\`\`\``)
  }
  return `${sections.join('\n\n')}\n`
}

/** The list of all components, `docs/components.md`. */
export function indexPage(components: readonly Component[]): string {
  const sections = ['<!-- Made from the declarations in src by "npm run docs". -->', '# Components']
  for (const kind of ['receiver', 'processor', 'exporter'] satisfies ComponentKind[]) {
    sections.push(
      `## ${capital(kind)}s`,
      table(
        ['Type', 'What it does'],
        components
          .filter((component) => component.kind === kind)
          .map((component) => [`[${component.type}](${pagePath(component)})`, component.summary]),
      ),
    )
  }
  sections.push(
    'How to write one of your own: [custom components](custom-components.md).',
    '## Formats',
    'The values that settings accept. `list of` accepts a YAML list, `map of` a map with keys of your own.',
    table(
      ['Format', 'A value is'],
      Object.entries(formats).map(([name, { allowed }]) => [name, allowed]),
    ),
  )
  return `${sections.join('\n\n')}\n`
}

const [MADE, END] = ['<!-- prettier-ignore-start -->', '<!-- prettier-ignore-end -->']

/** `docs/upgrading.md`, with the settings whose default a version changed between the two marks in it. */
export function upgradingPage(text: string, components: readonly Component[]): string {
  const groups: readonly (readonly [name: string, settings: Settings])[] = [
    ...components.map((component) => [`[${component.type}](${pagePath(component)})`, component.config] as const),
    ['every exporter', deliverySettings],
    ['`service`', serviceSettings],
  ]
  const rows = groups.flatMap(([name, settings]) =>
    [...settingRows(settings)].flatMap(({ path, setting }) =>
      setting.changed === undefined
        ? []
        : [[name, `\`${path}\``, setting.changed.in, `\`${inlineYaml(setting.changed.from)}\``, defaultText(setting)]],
    ),
  )
  const made = rows.length === 0 ? 'None.' : table(['Of', 'Setting', 'Since', 'Before', 'Now'], rows)
  const note = '<!-- Made from the declarations in src by "npm run docs". -->'
  const [start, end] = [text.indexOf(MADE), text.indexOf(END)]
  return `${text.slice(0, start)}${[MADE, note, made, END].join('\n\n')}${text.slice(end + END.length)}`
}

/** One line of a table of settings; `path` marks the items of a list as `[]` and the free keys of a map as `<key>`. */
interface SettingRow {
  readonly path: string
  readonly setting: Setting
}

/** Every setting, nested ones behind the one that holds them. */
export function* settingRows(settings: Settings, parent = ''): Generator<SettingRow> {
  for (const [name, entry] of Object.entries(settings)) {
    const path = parent + name
    if (isSetting(entry)) {
      yield { path, setting: entry }
      yield* nestedRows(entry.format, path)
    } else {
      yield* settingRows(entry, `${path}.`)
    }
  }
}

function* nestedRows(format: Format, path: string): Generator<SettingRow> {
  if (typeof format === 'string' || 'length' in format) return
  if ('settings' in format) yield* settingRows(format.settings, `${path}.`)
  else if ('list' in format) yield* nestedRows(format.list, `${path}[]`)
  else yield* nestedRows(format.map, `${path}.<key>`)
}

/** The values of a setting, in words. */
function formatText(format: Format): string {
  if (typeof format === 'string') return format
  if ('length' in format) return format.map((word) => `\`${word}\``).join(' or ')
  if ('settings' in format) return 'settings'
  if ('list' in format) return `list of ${formatText(format.list)}`
  return `map of ${formatText(format.map)}`
}

/** The meaning of an unset setting: `required`, nothing, or its default as in the YAML. */
function defaultText({ default: value }: Setting): string {
  if (value === null) return 'required'
  return value === undefined ? '' : `\`${inlineYaml(value)}\``
}

function settingsTable(settings: Settings): string {
  return table(
    ['Setting', '[Format](../components.md#formats)', 'Default', 'Meaning'],
    Array.from(settingRows(settings), ({ path, setting }) => [
      `\`${path}\``,
      formatText(setting.format),
      defaultText(setting),
      [setting.doc, environmentText(setting), changeText(setting), setting.secret === true ? 'Never shown.' : '']
        .filter(Boolean)
        .join(' '),
    ]),
  )
}

function environmentText({ env = [] }: Setting): string {
  return env.length === 0 ? '' : `Taken from ${env.map((name) => `\`${name}\``).join(' or ')} when unset.`
}

function changeText({ changed }: Setting): string {
  return changed === undefined ? '' : `Before ${changed.in}, the default was \`${inlineYaml(changed.from)}\`.`
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [head, head.map(() => '---'), ...rows]
    .map((cells) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`)
    .join('\n')
}

/** Removes the indentation that a text only has because of its position in the code. */
function unindent(text: string): string {
  const lines = text.replace(/^\n+|\s+$/g, '').split('\n')
  const indents = lines.filter((line) => line.trim() !== '').map((line) => line.search(/\S/))
  const indent = Math.min(...indents)
  return lines.map((line) => line.slice(indent)).join('\n')
}

/** `metrics, logs and traces`. */
function inWords(words: readonly string[]): string {
  return words.length < 2 ? words.join() : `${words.slice(0, -1).join(', ')} and ${words.at(-1)}`
}

function capital(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1)
}
