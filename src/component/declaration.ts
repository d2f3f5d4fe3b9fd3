import type { Signal } from '../otlp/signal.ts'
import type { ConfigOf, Finding, Settings } from './settings.ts'

export interface Declaration<S extends Settings> {
  /** The name in the YAML and of the component's file. */
  readonly type: string
  /** Other names for it in the YAML, such as earlier names in the Collector. A component whose type is such a name comes first. */
  readonly aliases?: readonly string[]
  /** The signals of the pipelines that may name it; default: `['metrics']`. */
  readonly signals?: readonly Signal[]
  /** One sentence for the list of components. */
  readonly summary: string
  /** Markdown paragraphs for the component's page. */
  readonly description?: string
  readonly config: S
  /** Each is loaded by a test. The YAML is the component's entry, `type: {...}`. */
  readonly examples?: readonly Example[]
  /** The rules that span settings. Returns or yields the mistakes, each with the path of the setting below the component. */
  check?(config: ConfigOf<S>): Iterable<Finding>
}

export interface Example {
  readonly title: string
  readonly yaml: string
}
