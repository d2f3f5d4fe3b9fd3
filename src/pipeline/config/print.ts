import { Document, Scalar, stringify, visit } from 'yaml'
import { hidingSecrets, SHORTEST_PART } from '../../text/secrets.ts'
import { steers, visibleYaml } from '../../text/terminal.ts'

/**
 * Writes checked values as YAML that means the same when it is read again, except for what is hidden: a variable that went into
 * a secret may also stand in another value.
 */
export function printYaml(shown: unknown, secrets: readonly string[]): string {
  const hide = hidingSecrets(secrets.filter(({ length }) => length >= SHORTEST_PART))
  // A dollar is doubled, so that nothing is put in a second time.
  const document = new Document(texts(shown, (text) => hide(text).replaceAll('$', () => '$$')))
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

/** A value with each text in it replaced. */
function texts(value: unknown, replace: (text: string) => string): unknown {
  if (typeof value === 'string') return replace(value)
  if (Array.isArray(value)) return value.map((item) => texts(item, replace))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, texts(item, replace)]))
}
