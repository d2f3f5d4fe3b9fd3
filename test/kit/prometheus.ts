/** What an exposition says. */
export interface Samples {
  /** The type of each metric, by its name. */
  readonly types: ReadonlyMap<string, string>
  /** The sum of all samples of a metric that have these labels; 0 when there is none. */
  total(name: string, labels: Readonly<Record<string, string>>): number
}

const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*'
const LABEL = '([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\\\\n]|\\\\[\\\\n"])*)"'
const VALUE = '(?:[+-]?\\d+(?:\\.\\d+)?(?:e[+-]?\\d+)?|NaN|[+-]Inf)'
const HELP = new RegExp(`^# HELP (${NAME}) (?:[^\\\\\\n]|\\\\[\\\\n])+$`)
const TYPE = new RegExp(`^# TYPE (${NAME}) (counter|gauge|histogram|summary|untyped)$`)
const SAMPLE = new RegExp(`^(${NAME})(?:\\{(${LABEL}(?:,${LABEL})*)\\})? (${VALUE})$`)

/**
 * Reads gauges and counters in the text format of Prometheus, version 0.0.4, and holds it to the rules: each line is one of the
 * three kinds, the samples of a metric stand together behind its only type, none stands twice.
 * Source: https://prometheus.io/docs/instrumenting/exposition_formats/#text-format-details
 * @throws naming what breaks a rule
 */
export function readPrometheus(text: string): Samples {
  if (!text.endsWith('\n')) throw new Error('The last line does not end.')
  const types = new Map<string, string>()
  const samples = new Map<string, { name: string; labels: Map<string, string>; value: number }>()
  let current: string | undefined
  let helped: string | undefined
  for (const line of text.slice(0, -1).split('\n')) {
    const [, help] = HELP.exec(line) ?? []
    const [, typed, type] = TYPE.exec(line) ?? []
    const sample = SAMPLE.exec(line)
    if (help !== undefined) {
      if (types.has(help)) throw new Error(`${help} comes again: ${line}`)
      helped = help
    } else if (typed !== undefined) {
      if (types.has(typed)) throw new Error(`${typed} comes again: ${line}`)
      if (helped !== typed) throw new Error(`There is no help before ${line}`)
      types.set(typed, type)
      current = typed
    } else if (sample !== null) {
      const [, name, labelText = ''] = sample
      if (name !== current) throw new Error(`This does not stand behind its type: ${line}`)
      const labels = new Map(Array.from(labelText.matchAll(new RegExp(LABEL, 'g')), ([, key, value]) => [key, value]))
      const key = `${name} ${JSON.stringify([...labels].sort())}`
      if (samples.has(key)) throw new Error(`This comes twice: ${line}`)
      samples.set(key, { name, labels, value: Number(sample.at(-1)) })
    } else throw new Error(`This is no line of the format: ${line}`)
  }
  return {
    types,
    total(name, wanted) {
      const found = [...samples.values()].filter(
        (sample) =>
          sample.name === name && Object.entries(wanted).every(([key, value]) => sample.labels.get(key) === value),
      )
      return found.reduce((sum, { value }) => sum + value, 0)
    },
  }
}
