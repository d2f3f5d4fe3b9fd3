import type { ExporterComponent } from './exporter.ts'
import type { ProcessorComponent } from './processor.ts'
import type { ReceiverComponent } from './receiver.ts'
import type { Settings } from './settings.ts'

export type Component<S extends Settings = Settings> =
  ReceiverComponent<S> | ProcessorComponent<S> | ExporterComponent<S>

export type ComponentKind = Component['kind']

/** Lends types to a component's declaration and returns it as it is; a literal that imports nothing works just as well. */
export function defineComponent<const S extends Settings>(component: ReceiverComponent<S>): ReceiverComponent<S>
export function defineComponent<const S extends Settings>(component: ProcessorComponent<S>): ProcessorComponent<S>
export function defineComponent<const S extends Settings>(component: ExporterComponent<S>): ExporterComponent<S>
export function defineComponent(component: unknown): unknown {
  return component
}
