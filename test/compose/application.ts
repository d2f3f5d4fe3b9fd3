/*
 * The application of docker-compose.test.yml: metrics by the OpenTelemetry SDK, sent over OTLP as its environment says.
 */
import { OTLPMetricExporter } from '@opentelemetry/exporter-metrics-otlp-proto'
import { detectResources, envDetector } from '@opentelemetry/resources'
import { MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics'

const provider = new MeterProvider({
  resource: detectResources({ detectors: [envDetector] }),
  readers: [
    new PeriodicExportingMetricReader({
      exporter: new OTLPMetricExporter(),
      exportIntervalMillis: 1000,
      exportTimeoutMillis: 900,
    }),
  ],
})
const meter = provider.getMeter('shop')

// Seven more with each collection, so that whoever adds up differences knows what they are made of.
let orders = 0
meter.createObservableCounter('shop.orders', { unit: '{order}' }).addCallback((result) => {
  result.observe((orders += 7), { kind: 'book' })
})
meter.createObservableGauge('shop.basket.size').addCallback((result) => result.observe(42))

// The SDK's own timer keeps no process alive.
setInterval(() => undefined, 60_000)
process.on('SIGTERM', () => void provider.shutdown().finally(() => process.exit()))
