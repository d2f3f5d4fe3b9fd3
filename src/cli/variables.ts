import type { Problem } from '../errors.ts'
import { readText, words } from '../formats.ts'
import type { FormatTypes } from '../formats.ts'

export type Environment = Readonly<Record<string, string | undefined>>

/** Reads the environment, and collects its mistakes. Never repeats a value. */
export class Variables {
  readonly problems: Problem[] = []

  constructor(private readonly env: Environment) {}

  report(name: string, message: string): void {
    this.problems.push({ severity: 'error', place: { source: name }, path: '', message })
  }

  /** The value; an empty one counts as unset. */
  text(name: string): string | undefined {
    return this.env[name] || undefined
  }

  /** The text of a variable that is required and has a format. A dollar is doubled, as YAML requires here. */
  required(name: string, exporter: string, format: keyof FormatTypes = 'string'): string | undefined {
    if (this.text(name) === undefined) this.report(name, `is required when EXPORTER_TYPE is ${exporter}`)
    return this.checked(name, format)
  }

  /** The same for a variable that may be unset. */
  checked(name: string, format: keyof FormatTypes, change = (text: string) => text): string | undefined {
    const text = this.text(name)
    if (text === undefined) return undefined
    const changed = change(text)
    const read = readText(format, changed)
    if ('mistake' in read) this.report(name, read.mistake)
    return literal(changed)
  }

  /** One of the words, in any case: the first if it is unset, `undefined` if it is none of them. */
  word<const Word extends string>(name: string, allowed: readonly Word[]): Word | undefined {
    const text = this.text(name)?.toLowerCase() ?? allowed[0]
    const word = allowed.find((each) => each === text)
    if (word === undefined) this.report(name, `must be ${words(allowed)}`)
    return word
  }

  /** A number of seconds above 0. */
  seconds(name: string, otherwise: number): number {
    const seconds = Number(this.text(name) ?? otherwise)
    if (seconds > 0 && 'value' in readText('duration', `${seconds}s`)) return seconds
    this.report(name, 'must be a number of seconds above 0')
    return otherwise
  }

  wholeSeconds(name: string, otherwise: number): number {
    const value = this.seconds(name, otherwise)
    if (!Number.isInteger(value)) this.report(name, 'must be a whole number above 0')
    return value
  }

  /** A whole number, at least one. */
  times(name: string, otherwise: number): number {
    const times = Number(this.text(name) ?? otherwise)
    if (times > 0 && Number.isInteger(times)) return times
    this.report(name, 'must be a whole number above 0')
    return otherwise
  }

  /** `key=value` pairs with commas between them, with values escaped for YAML unless they are to be encoded. */
  pairs(name: string, change = literal): Readonly<Record<string, string>> {
    const text = this.text(name)
    if (text === undefined) return {}
    const pairs = text.split(',').map((pair) => /^\s*([^=\s][^=]*?)\s*=\s*(\S.*?)\s*$/.exec(pair))
    if (!pairs.every((pair) => pair !== null)) {
      this.report(name, 'must be `key=value` pairs, separated by commas')
      return {}
    }
    return Object.fromEntries(pairs.map(([, key, value]) => [key, change(value)]))
  }
}

/** Escaped for YAML, in which a dollar is written as two. */
export function literal(text: string): string {
  return text.replaceAll('$', () => '$$')
}
