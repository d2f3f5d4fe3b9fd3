import { resolve } from 'node:path'
import { errorMessage } from '../../errors.ts'

export interface Expansion {
  readonly text: string
  /** A reference that could not be expanded. `unset`: a variable or file that another environment may have. */
  readonly mistakes: readonly { readonly message: string; readonly unset: boolean }[]
  /** Names of variables after a dollar without braces, as a shell or an older Collector expands them. */
  readonly unbraced: readonly string[]
  /** The values of variables and files. */
  readonly pieces: readonly string[]
}

/** The name of an environment variable at the beginning of a text. */
const VARIABLE = /^[A-Za-z_]\w*/

interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>
  /** The folder that relative files start from. */
  readonly directory: string
  /** The contents of a file. @throws an Error that says why the file cannot be read */
  readonly read: (file: string) => string
}

/**
 * Expands environment variables and files in the text of a scalar. Inserted text is not expanded again.
 *
 * - `${env:NAME}`: the variable. Unset without a default is a mistake.
 * - `${env:NAME:-text}`: the text if the variable is unset or empty, as in a shell. May hold further `${...}`.
 * - `${env:NAME:+text}`: the text if the variable is set and not empty, otherwise nothing. May hold further `${...}`.
 * - `${env:NAME:?message}`: the variable; if it is unset or empty, a mistake with the message.
 * - `${file:path}`: the contents of the file, without the line break at its end.
 * - `$$`: a dollar. A dollar before anything but `{` and `$` stands for itself, also before a name, as in the Collector today
 *   (go.opentelemetry.io/collector/confmap 1.71, expand.go).
 */
export function expand(text: string, surroundings: Surroundings): Expansion {
  if (!text.includes('$')) return { text, mistakes: [], unbraced: [], pieces: [] }
  const mistakes: { message: string; unset: boolean }[] = []
  const unbraced: string[] = []
  const pieces: string[] = []
  const expanded = expandUntil(text, 0)
  return { text: expanded.text, mistakes, unbraced, pieces }

  /** Expands up to the end, or up to `closing`, which closes a default. */
  function expandUntil(source: string, start: number, closing?: '}'): { text: string; end: number } {
    let result = ''
    let position = start
    while (position < source.length && source[position] !== closing) {
      if (source.startsWith('$$', position)) {
        result += '$'
        position += 2
      } else if (source.startsWith('${', position)) {
        const reference = expandReference(source, position)
        result += reference.text
        position = reference.end
      } else {
        const name = source[position] === '$' ? VARIABLE.exec(source.slice(position + 1))?.[0] : undefined
        if (name !== undefined && isVariable(name)) unbraced.push(name)
        result += source[position++]
      }
    }
    return { text: result, end: position }
  }

  /** Not every dollar before a word is a reference: `$name` may stand for a group of a regular expression. */
  function isVariable(name: string): boolean {
    return name === name.toUpperCase() || surroundings.env[name] !== undefined
  }

  function expandReference(source: string, start: number): { text: string; end: number } {
    const [head, scheme, name, operator] = /^\$\{(?:(\w+):)?((?:(?!:[-+?])[^{}$])*)(:[-+?])?/.exec(source.slice(start))!
    const before = [mistakes.length, unbraced.length]
    const rest = expandUntil(source, start + head.length, '}')
    if (source[rest.end] !== '}') {
      mistakes.push({
        message: `\`${source.slice(start)}\` has no closing brace; write a literal dollar as $$`,
        unset: false,
      })
      return { text: '', end: source.length }
    }
    const end = rest.end + 1
    const written = source.slice(start, end)
    const put = (text: string) => {
      pieces.push(text)
      return { text, end }
    }
    const fail = (message: string, { unset } = { unset: false }) => {
      mistakes.push({ message, unset })
      return { text: '', end }
    }
    if (operator === undefined && rest.text !== '')
      return fail(`\`${written}\` is not a reference; write a literal dollar as $$`)
    if (scheme === 'file' && operator === undefined) return put(readFile(name, fail))
    if (scheme !== 'env') {
      const meant = scheme === undefined ? `; write \${env:${name}} for a variable, $$ for a dollar` : ''
      return fail(`\`${written}\`: only \${env:NAME} and \${file:path} can be used${meant}`)
    }
    if (VARIABLE.exec(name)?.[0] !== name) return fail(`"${name}" is not the name of an environment variable`)
    const value = surroundings.env[name]
    if (operator === undefined) {
      return value === undefined ? fail(`the environment variable ${name} is not set`, { unset: true }) : put(value)
    }
    const isSet = value !== undefined && value !== ''
    if (operator === (isSet ? ':+' : ':-')) return { text: rest.text, end }
    if (isSet || operator === ':+') {
      ;[mistakes.length, unbraced.length] = before // of the text, which is not needed
      return isSet ? put(value) : { text: '', end }
    }
    return fail(`the environment variable ${name} is not set: ${rest.text}`, { unset: true })
  }

  function readFile(path: string, fail: (message: string, how: { unset: boolean }) => unknown): string {
    const file = resolve(surroundings.directory, path)
    try {
      return surroundings.read(file).replace(/\r?\n$/, '')
    } catch (error) {
      fail(`${file} ${errorMessage(error)}`, { unset: true })
      return ''
    }
  }
}
