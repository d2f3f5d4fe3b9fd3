import type { Batch, Signal } from '../otlp/signal.ts'
import type { BatchOf } from '../otlp/signals.ts'
import type { ExporterComponent } from './exporter.ts'
import type { ProcessorComponent } from './processor.ts'
import type { ReceiverComponent } from './receiver.ts'
import type { Settings } from './settings.ts'

export type Component<S extends Settings = Settings> =
  ReceiverComponent<S> | ProcessorComponent<S, Batch> | ExporterComponent<S, Batch>

export type ComponentKind = Component['kind']

/** The signals that determine the type of the batches. */
interface Declares<G extends Signal> {
  readonly signals?: readonly G[]
}

/** Adds types to a component's declaration and returns it unchanged; a literal that imports nothing works just as well. */
export function defineComponent<const S extends Settings>(component: ReceiverComponent<S>): ReceiverComponent<S>
export function defineComponent<const S extends Settings, const G extends Signal = 'metrics'>(
  component: ProcessorComponent<S, BatchOf[G]> & Declares<G>,
): ProcessorComponent<S, BatchOf[G]>
export function defineComponent<const S extends Settings, const G extends Signal = 'metrics'>(
  component: ExporterComponent<S, BatchOf[G]> & Declares<G>,
): ExporterComponent<S, BatchOf[G]>
export function defineComponent(component: unknown): unknown {
  return component
}
