import { json, serve, shared } from '../../net/process_server.ts'
import type { Door } from '../../net/process_server.ts'
import type { MetricBatch } from '../../otlp/metrics/batch.ts'
import { toPrometheus } from '../../text/openmetrics.ts'

/** Answers `/metrics` with the result of `metrics`, in the text format of Prometheus. Returns a function that closes the server. */
export function serveMetrics(door: Door, metrics: () => Promise<MetricBatch>): Promise<() => void> {
  const page = shared(async () => ({
    code: 200,
    type: 'text/plain; version=0.0.4; charset=utf-8',
    body: toPrometheus(await metrics()),
  }))
  return serve({
    ...door,
    setting: 'service.telemetry.metrics.address',
    answer: (path) => (path === '/metrics' ? page() : json(404, { error: 'Unknown path; known paths: /metrics.' })),
    listening: (real) =>
      door.log.info('Metrics endpoint listening', {
        event: 'listening',
        server: 'metrics',
        url: `http://${real}/metrics`,
      }),
  })
}
