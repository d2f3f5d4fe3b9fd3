import { existsSync, readFileSync } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import { createInterface } from 'node:readline/promises'
import { isMap, parseDocument } from 'yaml'
import type { Document, Scalar, YAMLMap } from 'yaml'
import { isKeyValid } from '../datadog/api_key.ts'
import { datadogSettings } from '../datadog/settings.ts'
import { errorMessage } from '../errors.ts'
import { readText, words } from '../formats.ts'
import { loadConfig } from '../pipeline/config/config.ts'
import { createLogger } from '../pipeline/log.ts'
import { rehearse } from '../pipeline/rehearsal.ts'
import { numberText, visible } from '../text/terminal.ts'
import { ExitCode } from './exit.ts'

/** The purpose of each preset, and its file in `config/`; the file of the agent is that of its exporter. */
const PRESETS = {
  agent: { does: "this host's metrics", file: undefined },
  sidecar: { does: "an application's OTLP, and the metrics of the container", file: 'sidecar' },
  gateway: { does: 'the OTLP of many applications, with a queue on disk', file: 'otlp_gateway' },
} as const

/** The variable of each exporter's key, by the file in `config/` that uses the exporter. */
const KEYS = {
  datadog_native: 'DD_API_KEY',
  datadog_otlp: 'DD_API_KEY',
  newrelic_otlp: 'NEW_RELIC_LICENSE_KEY',
  otlp_http: undefined,
} as const

/** The processors that the destination of an exporter needs, from those in its file. */
const NEEDED = 'cumulative_to_delta'

/** Logs and traces go to Datadog through `datadog_otlp`. */
const METRICS_ONLY = 'datadog_native'

type Preset = keyof typeof PRESETS
type ExporterType = keyof typeof KEYS

/** The options of the command; in a terminal, missing ones are asked for, elsewhere they have their defaults. */
export interface InitOptions {
  readonly preset?: string
  readonly exporter?: string
  readonly site?: string
  readonly endpoint?: string
  readonly apiKey?: string
  readonly checkKey: boolean
  readonly output: string
  readonly force: boolean
}

interface Choices {
  readonly preset: Preset
  readonly exporter: ExporterType
  /** The settings that are set in the exporter's YAML. */
  readonly settings: Readonly<Record<'site' | 'endpoint' | 'api_key', string | undefined>>
  readonly checkKey: boolean
}

/**
 * `heka-pipeline init`: writes a configuration to start from, made of the shipped ones, and shows the next steps. Asks
 * questions only in a terminal. Returns the exit code; nothing is written unless it is 0.
 * @throws ConfigError if the key is to be checked and the configuration has a mistake
 */
export async function init(options: InitOptions): Promise<number> {
  const { output, force } = options
  if (!force && existsSync(output)) return refuse(ExitCode.usage, `${output} already exists; --force overwrites it`)
  const mistake = mistakeIn(options)
  if (mistake !== undefined) return refuse(ExitCode.usage, mistake)
  let choices: Choices
  try {
    const answers = process.stdin.isTTY && process.stdout.isTTY ? await ask(options) : options
    choices = chosen(answers)
  } catch (error) {
    if ((error as Error).name !== 'AbortError') throw error
    return refuse(ExitCode.failure, 'nothing was written')
  }
  const text = presetYaml(choices, output)
  if (choices.checkKey) {
    const problem = await keyProblem(choices.exporter, text, output)
    if (problem !== undefined) return refuse(ExitCode.failure, `${problem}; nothing was written`)
    process.stdout.write('Datadog knows the key.\n')
  }
  try {
    if (force) await rm(output, { force })
    // A file with a key in it is readable for its owner only.
    await writeFile(output, text, { flag: 'wx', mode: isReference(options.apiKey) ? 0o666 : 0o600 })
  } catch (error) {
    return refuse(ExitCode.failure, `${output} cannot be written: ${errorMessage(error)}`)
  }
  process.stdout.write(
    `Wrote ${output}.${await billing(choices, text, output)} Next:\n\n${nextCommands(choices, output).join('\n')}\n`,
  )
  return ExitCode.ok
}

function refuse(code: number, message: string): number {
  process.stderr.write(`heka-pipeline init: ${visible(message)}\n`)
  return code
}

/** The mistakes in the given options. */
function mistakeIn({ preset, exporter = 'datadog_native', site, endpoint, apiKey, checkKey }: InitOptions) {
  const sites: readonly string[] = datadogSettings.site.format
  for (const [name, value, allowed] of [
    ['preset', preset, Object.keys(PRESETS)],
    ['exporter', exporter, Object.keys(KEYS)],
    ['site', site, sites],
  ] as const) {
    if (value !== undefined && !allowed.includes(value)) return `--${name} must be ${words(allowed)}`
  }
  const url = endpoint === undefined ? undefined : readText('url', endpoint)
  if (url !== undefined && 'mistake' in url) return `--endpoint ${url.mistake}`
  if (!isDatadog(exporter) && site !== undefined) return `${exporter} has no --site`
  if (!isDatadog(exporter) && checkKey) return `--check-key is for keys of Datadog, not for ${exporter}`
  if (KEYS[exporter as ExporterType] === undefined && apiKey !== undefined) return `${exporter} has no --api-key`
  if (apiKey === '') return '--api-key must not be empty'
  return undefined
}

function isDatadog(exporter: string): boolean {
  return exporter.startsWith('datadog_')
}

/** Whether a key is outside of the YAML itself. */
function isReference(apiKey = '${env:}'): boolean {
  return /^\$\{(env|file):/.test(apiKey)
}

/** Asks for the missing options. Rejects with an AbortError if the terminal ends it, by Ctrl-C or Ctrl-D. */
async function ask(options: InitOptions): Promise<InitOptions> {
  const terminal = createInterface({ input: process.stdin, output: process.stdout })
  const closed = new AbortController()
  terminal.once('close', () => closed.abort())
  const answerTo = async (question: string, otherwise: string): Promise<string> =>
    (await terminal.question(`${question} [${otherwise}] `, { signal: closed.signal })).trim() || otherwise
  /** `asked` with a further answer, asked for again until it is valid. */
  const choose = async (asked: InitOptions, name: keyof InitOptions, question: string, otherwise: string) => {
    if (asked[name] !== undefined) return asked
    for (;;) {
      const answered = { ...asked, [name]: await answerTo(question, otherwise) }
      const mistake = mistakeIn(answered)
      if (mistake === undefined) return answered
      process.stdout.write(`It ${mistake.replace(/^\S+ /, '')}.\n`)
    }
  }
  try {
    for (const [preset, { does }] of Object.entries(PRESETS)) process.stdout.write(`  ${preset.padEnd(8)} ${does}\n`)
    let asked = await choose(options, 'preset', 'Which preset?', 'agent')
    asked = await choose(
      asked,
      'exporter',
      `Where should the data go (${Object.keys(KEYS).join(', ')})?`,
      'datadog_native',
    )
    if (asked.exporter === 'otlp_http') {
      return await choose(asked, 'endpoint', 'What is the address of the receiver?', 'http://localhost:4318')
    }
    if (!isDatadog(asked.exporter as string)) return asked
    asked = await choose(
      asked,
      'site',
      'What is the Datadog site of your account?',
      process.env.DD_SITE ?? 'datadoghq.com',
    )
    if (asked.checkKey || asked === options) return asked
    return { ...asked, checkKey: /^y/i.test(await answerTo('Check the key with Datadog (y, n)?', 'n')) }
  } finally {
    terminal.close()
  }
}

function chosen({
  preset = 'agent',
  exporter = 'datadog_native',
  site,
  endpoint,
  apiKey,
  checkKey,
}: InitOptions): Choices {
  const key = KEYS[exporter as ExporterType]
  const ofEnvironment = isDatadog(exporter) && endpoint === undefined ? '${env:DD_SITE:-datadoghq.com}' : undefined
  const settings = { site: site ?? ofEnvironment, endpoint, api_key: key && (apiKey ?? `\${env:${key}}`) }
  return { preset: preset as Preset, exporter: exporter as ExporterType, settings, checkKey }
}

/**
 * The configuration of a preset: a file in `config/`, with its exporter replaced by that of another file, except for
 * the queue.
 */
function presetYaml(choices: Choices, output: string): string {
  const { preset, exporter, settings } = choices
  const sending = shipped(exporter)
  const { items } = sending.getIn(['exporters', exporter]) as YAMLMap
  const { file, does } = PRESETS[preset]
  const document = file === undefined ? sending : shipped(file)
  if (document !== sending) {
    const [{ value: own }] = (document.get('exporters') as YAMLMap).items
    const queue = isMap(own) ? own.items.find(({ key }) => String(key) === 'sending_queue') : undefined
    document.set('exporters', sending.get('exporters', true))
    if (queue !== undefined) items.push(queue)
    sendTo(document.getIn(['service', 'pipelines']) as YAMLMap<Scalar, YAMLMap>, exporter)
    if (sending.hasIn(['processors', NEEDED])) {
      document.setIn(['processors', NEEDED], sending.getIn(['processors', NEEDED], true))
      document.addIn(['service', 'pipelines', 'metrics', 'processors'], NEEDED)
    }
  }
  for (const [name, value] of Object.entries(settings).reverse()) {
    if (value === undefined) continue
    const given = items.findIndex(({ key }) => String(key) === name)
    if (given >= 0) items.splice(given, 1)
    items.unshift(document.createPair(name, value))
  }
  const lines = [`${preset}, to ${exporter}: ${does}.`, '', ...nextCommands(choices, output)]
  document.commentBefore = lines.map((line) => ` ${line}`).join('\n')
  // Empty lines stay with the moved lines.
  return `${document
    .toString({ lineWidth: 0 })
    .replaceAll(/\n{3,}/g, '\n\n')
    .trimEnd()}\n`
}

/** Points pipelines to an exporter; pipelines of a signal that it does not serve are removed. */
function sendTo(pipelines: YAMLMap<Scalar, YAMLMap>, exporter: ExporterType): void {
  for (const { key, value } of [...pipelines.items]) {
    if (key.value !== 'metrics' && exporter === METRICS_ONLY) pipelines.delete(key)
    else value?.setIn(['exporters', 0], exporter)
    // The comment is about Datadog.
    if (!isDatadog(exporter)) key.commentBefore = undefined
  }
}

function shipped(name: string): Document {
  return parseDocument(readFileSync(new URL(`../../config/${name}.yaml`, import.meta.url), 'utf8'))
}

function nextCommands({ exporter, settings }: Choices, output: string): string[] {
  const key = KEYS[exporter]
  return [
    ...(key !== undefined && settings.api_key === `\${env:${key}}` ? [`  export ${key}=<key>`] : []),
    `  heka-pipeline validate --config ${output}`,
    `  heka-pipeline --config ${output}`,
  ]
}

/**
 * A sentence that says how many custom metrics Datadog would bill for the metrics that the agent collects on this
 * machine, found by a rehearsal as in `explain`. For other presets that depends on the applications.
 */
async function billing({ preset, exporter }: Choices, text: string, output: string): Promise<string> {
  if (!isDatadog(exporter)) return ''
  if (preset !== 'agent') {
    return ` How many custom metrics it sends depends on its applications; \`heka-pipeline explain --from FILE\` counts those of a file.`
  }
  try {
    // Nothing is sent, so any key will do.
    const sets = [`exporters.${exporter}.api_key=none`]
    const config = await loadConfig({ files: [{ name: output, text }], sets })
    const log = createLogger({ level: 'error', encoding: 'console' }, config.secrets)
    const [{ explanation }] = (await rehearse(config, { log })).exporters
    const billed = explanation?.billedMetrics
    return billed === undefined ? '' : ` It sends about ${numberText(billed)} custom metrics from this machine.`
  } catch (error) {
    return ` How many custom metrics it sends could not be counted: ${errorMessage(error)}.`
  }
}

/** Why Datadog does not accept the exporter's key, if it does not. @throws ConfigError */
async function keyProblem(exporter: ExporterType, text: string, output: string): Promise<string | undefined> {
  const { exporters, secrets } = await loadConfig({ files: [{ name: output, text }] })
  const config = exporters.get(exporter)?.config as Parameters<typeof isKeyValid>[0]
  try {
    const log = createLogger({ level: 'error', encoding: 'console' }, secrets)
    return (await isKeyValid(config, log)) ? undefined : 'Datadog does not know the key at this site'
  } catch (error) {
    return `Datadog could not be asked about the key: ${errorMessage(error)}`
  }
}
