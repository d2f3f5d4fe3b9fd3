import zlib from 'node:zlib'
import { Attributes } from '../../src/otlp/common/attributes.ts'
import { MetricBatch } from '../../src/otlp/metrics/batch.ts'
import { NumberPoint } from '../../src/otlp/metrics/points.ts'

/*
 * What compressing OTLP costs at each level of zlib: `npm run bench:compression`. Points per second of CPU time, and how many
 * times smaller the body becomes.
 */

const NOON = 1_767_268_800_000_000_000n

/** A request of so many points, with five attributes each as in practice: some repeat, one does not. */
function request(count: number): Uint8Array {
  const points = Array.from({ length: count }, (_, index) => {
    const host = `web-${index % 50}`
    const values = { host, path: `/api/v1/items/${index}`, method: 'GET', status: `20${index % 5}`, zone: 'eu-west-1a' }
    const timeUnixNano = NOON + BigInt(index)
    // Digits that repeat no more than those of measurements do.
    const value = Math.abs(Math.sin(index)) * 1e6
    return new NumberPoint({ value, timeUnixNano, startTimeUnixNano: NOON, attributes: Attributes.of(values) })
  })
  const metric = { name: 'http.server.requests', type: 'sum', temporality: 'cumulative', monotonic: true } as const
  return MetricBatch.of({ resource: { 'service.name': 'shop' }, metrics: [{ ...metric, points }] }).toOtlp()
}

for (const count of [10, 1000, 8192]) {
  const bytes = request(count)
  for (const level of [1, 2, 3, 4, 6, 9]) {
    const size = zlib.gzipSync(bytes, { level }).length
    let runs = 0
    const before = process.cpuUsage()
    for (const until = performance.now() + 500; performance.now() < until; runs++) zlib.gzipSync(bytes, { level })
    const { user, system } = process.cpuUsage(before)
    const rate = (count * runs) / (user + system)
    const ratio = bytes.length / size
    console.log(`${count} points, level ${level}: ${rate.toFixed(2)} M points/s, ${ratio.toFixed(1)} times smaller`)
  }
}
