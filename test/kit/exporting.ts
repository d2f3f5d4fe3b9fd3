import type { ExporterComponent } from '../../src/component/exporter.ts'
import type { Batch } from '../../src/otlp/signal.ts'
import type { Settings } from '../../src/component/settings.ts'
import { unlimited } from '../../src/host/memory_limiter.ts'
import { checkComponent } from '../../src/pipeline/config/config.ts'
import { deliveryOf } from '../../src/pipeline/config/settings.ts'
import { Delivery } from '../../src/pipeline/delivery/delivery.ts'
import { Receipt } from '../../src/pipeline/graph/receipt.ts'
import { ExporterSheet } from '../../src/pipeline/telemetry/telemetry.ts'
import type { ExporterBalance } from '../../src/pipeline/telemetry/telemetry.ts'
import { testComponent } from '../../src/testing.ts'
import type { LogLine } from '../../src/testing.ts'
import { cleanups } from './cleanups.ts'

/** An exporter under test, with the pipeline's own delivery around it. */
export interface ExporterTest {
  /** Hands batches over, one after the other, and resolves with the balance once nothing is queued or in flight. */
  readonly deliver: (...batches: readonly Batch[]) => Promise<ExporterBalance>
  /** The same without a pause between them, so that those that wait are joined. */
  readonly deliverTogether: (...batches: readonly Batch[]) => Promise<ExporterBalance>
  /** The lines that the exporter and the delivery logged. */
  readonly logs: readonly LogLine[]
  readonly stop: () => Promise<void>
}

/** Starts an exporter by its entry in the YAML. Retries follow each other at once, so that tests need not wait. It stops when the test has ended. */
export async function testExporter<S extends Settings, B extends Batch>(
  component: ExporterComponent<S, B>,
  yaml: string,
): Promise<ExporterTest> {
  const { delivery } = await checkComponent(component, yaml)
  const { created, log, logs, stop } = await testComponent(component, yaml)
  cleanups.push(stop)
  if (delivery === undefined) throw new Error(`${component.type} has no delivery settings`)
  const retry = { ...delivery.retry_on_failure, initial_interval: 1, max_interval: 1 }
  const sheet = new ExporterSheet(component.type)
  // The points of tests stand at fixed times.
  const settings = { ...deliveryOf({ component, delivery }, 'metrics'), retry_on_failure: retry, max_age: 0 }
  const deliverTogether = async (...batches: readonly Batch[]): Promise<ExporterBalance> => {
    const queue = new Delivery({ exporter: created, config: settings, sheet, log, memory: unlimited() })
    queue.begin()
    for (const batch of batches) queue.offer({ batch, receipt: new Receipt(1) })
    await queue.drain(new AbortController().signal)
    return sheet.balance()
  }
  return {
    logs,
    async deliver(...batches) {
      for (const batch of batches) await deliverTogether(batch)
      return sheet.balance()
    },
    deliverTogether,
    stop,
  }
}
