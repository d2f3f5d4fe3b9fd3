/*
 * The intake of docker-compose.test.yml: stands in for Datadog on port 8080, for what is behind the collector on 8081, and
 * shows on 8082 as JSON what was taken: `/series` of the native API, `/otlp` of OTLP, `/collector` of the collector.
 */
import { createServer } from 'node:http'
import { startIntake } from '../kit/intake.ts'
import type { Intake } from '../kit/intake.ts'

const host = '0.0.0.0'
const datadog = await startIntake({ apiKey: process.env.DD_API_KEY, listen: { host, port: 8080 } })
const behindCollector = await startIntake({ keyHeader: '', listen: { host, port: 8081 } })

const otlp = ({ requests }: Intake): unknown[] =>
  requests.filter(({ path, status }) => path === '/v1/metrics' && status === 200).map(({ body }) => body)

const shown = new Map<string | undefined, () => readonly unknown[]>([
  ['/series', () => datadog.series()],
  ['/otlp', () => otlp(datadog)],
  ['/collector', () => otlp(behindCollector)],
])

createServer((request, response) => {
  const show = shown.get(request.url)
  response.writeHead(show === undefined ? 404 : 200, { 'content-type': 'application/json' })
  response.end(JSON.stringify(show?.()))
}).listen(8082, host)

process.on('SIGTERM', () => process.exit())
