import { Document, Scalar, stringify, visit } from 'yaml'
import { hidingSecrets, SHORTEST_PART } from '../../text/secrets.ts'
import { steers, visibleYaml } from '../../text/terminal.ts'

/**
 * Writes checked values as YAML that has the same meaning when it is read again, except for hidden values: a variable
 * that is part of a secret may also be part of another value.
 */
export function printYaml(shown: unknown, secrets: readonly string[]): string {
  const hide = hidingSecrets(secrets.filter(({ length }) => length >= SHORTEST_PART))
  // A dollar is doubled, so that nothing is expanded a second time.
  const document = new Document(texts(shown, (text) => hide(text).replaceAll('$', () => '$$')))
  visit(document, {
    Scalar(_key, node) {
      // A text of several lines stays a block.
      if (typeof node.value === 'string' && steers(node.value.replaceAll('\n', ''))) node.type = Scalar.QUOTE_DOUBLE
    },
  })
  return visibleYaml(document.toString({ lineWidth: 0 }))
}

/** Writes a value as YAML within a line. */
export function inlineYaml(value: unknown): string {
  return stringify(value, { collectionStyle: 'flow', lineWidth: 0 }).trim()
}

/** A value with each text in it replaced. */
function texts(value: unknown, replace: (text: string) => string): unknown {
  if (typeof value === 'string') return replace(value)
  if (Array.isArray(value)) return value.map((item) => texts(item, replace))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, texts(item, replace)]))
}
