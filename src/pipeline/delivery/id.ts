import type { Signal } from '../../otlp/signal.ts'
import { SIGNALS } from '../../otlp/signals.ts'

/**
 * Names the delivery of one signal by an exporter: in the balance and, encoded, its folder on disk. For metrics it is
 * the id of the exporter, as in versions that had only metrics; for the others, `<id>:logs` and `<id>:traces`.
 */
export function deliveryId(exporter: string, signal: Signal): string {
  return signal === 'metrics' ? exporter : `${exporter}:${signal}`
}

/** The exporter and the signal of a delivery. */
export function readDeliveryId(id: string): { readonly exporter: string; readonly signal: Signal } {
  const signal = SIGNALS.find((known) => known !== 'metrics' && id.endsWith(`:${known}`)) ?? 'metrics'
  return { exporter: signal === 'metrics' ? id : id.slice(0, -signal.length - 1), signal }
}
