import { readFailure } from '../../errors.ts'
import { readSmallFile } from '../../small_file.ts'
import type { Check } from './check.ts'
import { expand } from './expand.ts'
import type { Node } from './yaml.ts'

/**
 * The contents of each file that a value names with `${file:...}`, or why it cannot be read. All files are read before
 * any value is checked.
 */
export async function readReferences(
  root: Node,
  { env, directoryOf }: Pick<Check, 'env' | 'directoryOf'>,
): Promise<Map<string, string | Error>> {
  const found = new Map<string, string | Error>()
  for (const { text, place } of textsOf(root)) {
    const read = (file: string): string => {
      found.set(file, '')
      return ''
    }
    expand(text, { env, directory: directoryOf(place), read })
  }
  const reads = Array.from(found.keys(), async (file) => {
    const content = await readSmallFile(file).then(String, (error: unknown) => new Error(readFailure(error)))
    found.set(file, content)
  })
  await Promise.all(reads)
  return found
}

type Scalar = Extract<Node, { kind: 'scalar' }>

function* textsOf(node: Node): Generator<Scalar> {
  if (node.kind === 'scalar' && node.literal !== true) yield node
  if (node.kind === 'list') for (const item of node.items) yield* textsOf(item)
  if (node.kind === 'map') for (const { value } of node.entries.values()) yield* textsOf(value)
}
