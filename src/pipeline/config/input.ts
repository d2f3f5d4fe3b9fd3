import { dirname, resolve } from 'node:path'
import { ConfigError, readFailure } from '../../errors.ts'
import type { Problem } from '../../errors.ts'
import { readSmallFile } from '../../small_file.ts'
import { merge, parseSet, parseYaml } from './yaml.ts'
import type { Node } from './yaml.ts'

/** The sources of a configuration. */
export interface ConfigInput {
  /** Each file is merged over the ones before it: maps merge deeply, everything else is replaced. */
  readonly files: readonly ({ readonly path: string } | { readonly name: string; readonly text: string })[]
  /** `path=value`, merged over the files. */
  readonly sets?: readonly string[]
  /** Default: `process.env`. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** The folder for relative paths that are not written in a file: those of `files` and `sets`. Default: the working directory. */
  readonly baseDirectory?: string
}

interface MergedInput {
  readonly root: Node
  readonly problems: Problem[]
  /** The sources of positions, in the order of the input. */
  readonly sources: readonly string[]
  /** The folder of each file, by source. */
  readonly directories: ReadonlyMap<string, string>
}

/** Reads and merges the input. If a file cannot be read or is not YAML, throws a ConfigError about that alone. */
export async function readInput({ files, sets = [] }: ConfigInput, baseDirectory: string): Promise<MergedInput> {
  const broken: Problem[] = []
  const problems: Problem[] = []
  const sources: string[] = []
  const directories = new Map<string, string>()
  let root: Node = { kind: 'empty', place: { source: 'configuration' } }
  for (const file of files) {
    const source = 'path' in file ? file.path : file.name
    sources.push(source)
    let text: string
    if ('path' in file) {
      const path = resolve(baseDirectory, file.path)
      directories.set(source, dirname(path))
      try {
        text = (await readSmallFile(path)).toString()
      } catch (error) {
        broken.push({ severity: 'error', place: { source }, path: '', message: readFailure(error) })
        continue
      }
    } else text = file.text
    const parsed = parseYaml(text, source)
    broken.push(...parsed.broken)
    problems.push(...parsed.problems)
    root = merge(root, parsed.node)
  }
  if (broken.length > 0) throw new ConfigError(broken)
  for (const [index, set] of sets.entries()) {
    const source = `--set ${index + 1}`
    sources.push(source)
    const parsed = parseSet(set, source)
    problems.push(...parsed.problems)
    root = merge(root, parsed.node)
  }
  return { root, problems, sources, directories }
}

/** The problems in the order of the input, file by file; those without a position in it come last. */
export function inOrder(problems: readonly Problem[], sources: readonly string[]): Problem[] {
  const rank = ({ place }: Problem) => (sources.includes(place.source) ? sources.indexOf(place.source) : sources.length)
  return [...problems].sort(
    (a, b) =>
      rank(a) - rank(b) ||
      (a.place.line ?? 0) - (b.place.line ?? 0) ||
      (a.place.column ?? 0) - (b.place.column ?? 0) ||
      Number(a.path > b.path) - Number(a.path < b.path),
  )
}
