import { describe, expect, it } from '@jest/globals'
import { request } from 'undici'
import { MetricBatch } from '../../src/otlp/metrics/batch.ts'
import { sum } from '../../src/testing.ts'
import { startCommand, temporaryFolder } from '../kit/command.ts'
import { startDestination } from '../kit/intake.ts'

/** With an engine that tries one way after the other, a name that does not match takes years. */
const CATASTROPHIC = "'^([a-z]+\\.?)+_total$'"
const NAME = 'a'.repeat(60)

describe('a regular expression that could run away', () => {
  it.each([
    ['filter', `{ exclude: { match_type: regexp, metric_names: [${CATASTROPHIC}] } }`, NAME],
    ['filter', `{ include: { match_type: regexp, attributes: [{ key: text, value: '(x+x+)+y|d$' }] } }`, NAME],
    ['rename', `{ transforms: [{ include: ${CATASTROPHIC}, match_type: regexp, new_name: $1 }] }`, NAME],
    ['metric_prefix', `{ prefix: heka, exclude: { match_type: regexp, metrics: [${CATASTROPHIC}] } }`, `heka.${NAME}`],
    ['cumulative_to_delta', `{ include: { match_type: regexp, metrics: [${CATASTROPHIC}] } }`, NAME],
    ['./matches.js', `{ pattern: ${CATASTROPHIC} }`, NAME],
  ])('does not keep %s from answering', async (processor, settings, expected) => {
    const destination = await startDestination()
    const type = processor.replace(/^\.\/|\.js$/g, '')
    const folder = await temporaryFolder({
      'pipeline.yaml': `
modules: [${processor === type ? '' : processor}]
receivers: { otlp: { protocols: { http: { endpoint: "127.0.0.1:0" } } } }
processors: { ${type}: ${settings} }
exporters: { otlp_http: { endpoint: "${destination.url}" } }
service:
  health: { address: "127.0.0.1:0" }
  telemetry: { logs: { encoding: json } }
  pipelines: { metrics: { receivers: [otlp], processors: [${type}], exporters: [otlp_http] } }
`,
      'matches.js': `export default {
        kind: 'processor',
        type: 'matches',
        changes: 'filters',
        summary: 'Drops what matches.',
        config: { pattern: { doc: 'What is dropped.', format: 'regexp', default: null } },
        examples: [{ title: 'All', yaml: 'matches: { pattern: . }' }],
        create: ({ config: { pattern } }) => (batch) =>
          batch.filterMetrics(({ name }) => !pattern.test(name) && name.replace(pattern, '') === name),
      }`,
    })
    const command = startCommand(['--config', folder.path('pipeline.yaml')])
    const name = expected.replace('heka.', '')
    const batch = MetricBatch.of({ metrics: [sum(name, 1, { text: `${'x'.repeat(60)}d` })] })
    const answer = await request(`http://${await command.address('otlp_http')}/v1/metrics`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-protobuf' },
      body: batch.toOtlp(),
      headersTimeout: 2000,
    })
    expect(answer.statusCode).toBe(200)
    const health = await request(`http://${await command.address('health')}/healthz`, { headersTimeout: 2000 })
    expect(health.statusCode).toBe(200)
    command.kill('SIGTERM')
    expect(await command.ended).toBe(0)
    const sent = destination.requests.flatMap(({ raw }) => [...MetricBatch.fromOtlp(raw).metrics()])
    expect(sent.map(({ metric }) => metric.name)).toEqual([expected])
  })
})
