import type { ObservableInput } from 'rxjs'
import type { Batch } from '../otlp/signal.ts'
import type { ReceiverContext } from './context.ts'
import type { Declaration } from './declaration.ts'
import type { ConfigOf, Settings } from './settings.ts'

/** A source of batches, each for the pipelines of its signal that name the receiver. The pipeline subscribes to start it; to stop, it aborts `signal` and then unsubscribes. */
export interface ReceiverComponent<S extends Settings = Settings> extends Declaration<S> {
  readonly kind: 'receiver'
  create(context: ReceiverContext<ConfigOf<S>>): ObservableInput<Batch>
}
