import { Document, Scalar, stringify, visit } from 'yaml'
import { steers, visibleYaml } from '../../terminal.ts'

/** Writes checked values as YAML that means the same when it is read again. */
export function printYaml(shown: unknown): string {
  const document = new Document(escaped(shown))
  visit(document, {
    Scalar(_key, node) {
      // A text that is nothing but lines stays a block.
      if (typeof node.value === 'string' && steers(node.value.replaceAll('\n', ''))) node.type = Scalar.QUOTE_DOUBLE
    },
  })
  return visibleYaml(document.toString({ lineWidth: 0 }))
}

/** Writes a value as YAML within a line. */
export function inlineYaml(value: unknown): string {
  return stringify(value, { collectionStyle: 'flow', lineWidth: 0 }).trim()
}

/** A dollar is doubled, so that nothing is put in a second time. */
function escaped(value: unknown): unknown {
  if (typeof value === 'string') return value.replaceAll('$', () => '$$')
  if (Array.isArray(value)) return value.map(escaped)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, escaped(item)]))
}
