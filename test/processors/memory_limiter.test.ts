import { describe, expect, it } from '@jest/globals'
import { errorMessage } from '../../src/errors.ts'
import { collect } from '../../src/host/memory.ts'
import { MetricBatch } from '../../src/otlp/metrics/batch.ts'
import { loadConfig } from '../../src/pipeline/config/config.ts'
import memoryLimiter from '../../src/processors/memory_limiter.ts'
import { gauge, testProcessor } from '../../src/testing.ts'
import { until } from '../kit/until.ts'

const MIB = 2 ** 20

const batch = MetricBatch.of({ metrics: [gauge('a', 1), gauge('b', 2)] })

describe('memory_limiter', () => {
  it('lets data through, and refuses it to its receiver while memory is short', async () => {
    collect('urgent')
    const limit = Math.round(process.memoryUsage.rss() / MIB) + 100
    const yaml = `memory_limiter: { limit_mib: ${limit}, spike_limit_mib: 1, check_interval: 1ms }`
    const { process: pass, balance, logs, stop } = await testProcessor(memoryLimiter, yaml, { signal: 'metrics' })
    await expect(pass(batch)).resolves.toBe(batch)
    const held = Buffer.alloc(400 * MIB, 1)
    // Until the memory is looked at again, data passes.
    await until(async () => (await pass(batch)).pointCount === 0)
    expect(held).toHaveLength(400 * MIB)
    const { accepted, handed_on, refused, dropped } = balance()
    expect({ refused, dropped }).toEqual({ refused: 2, dropped: {} })
    expect(accepted).toBe(handed_on + refused)
    expect(logs).toHaveLength(1)
    expect(logs[0]).toMatchObject({ level: 'warn', fields: { soft_limit: `${limit - 1} MiB`, limit: `${limit} MiB` } })
    await stop()
  })

  it.each([
    ['{ }', '', 'needs a limit: `limit_mib: 512`, or `limit_percentage: 80`'],
    ['{ limit_mib: 0 }', '.limit_mib', 'must be at least 1'],
    [
      '{ limit_mib: 9000, limit_percentage: 80 }',
      '.limit_percentage',
      'cannot be used together with limit_mib; keep one of them',
    ],
    ['{ limit_percentage: 101 }', '.limit_percentage', 'must be at most 100'],
    ['{ limit_mib: 9000, spike_limit_mib: 9000 }', '.spike_limit_mib', 'must be less than limit_mib, 9000'],
    [
      '{ limit_percentage: 80, spike_limit_percentage: 90 }',
      '.spike_limit_percentage',
      'must be less than limit_percentage, 80',
    ],
    [
      '{ limit_percentage: 80, spike_limit_mib: 90 }',
      '.spike_limit_mib',
      'needs limit_mib; it is a part of that limit',
    ],
    ['{ limit_mib: 9000, check_interval: 0s }', '.check_interval', 'must be longer than 0s'],
    ['{ limit_mib: 1.5 }', '.limit_mib', 'must be a whole number from 0, not "1.5"'],
  ])('says what is wrong with %s, in the service and as a processor', async (settings, path, message) => {
    const text = `
receivers: { host_metrics: { scrapers: { load: } } }
processors: { memory_limiter: ${settings} }
exporters: { debug: }
service:
  memory_limiter: ${settings}
  pipelines: { metrics: { receivers: [host_metrics], processors: [memory_limiter], exporters: [debug] } }
`
    const loading = loadConfig({ files: [{ name: 'pipeline.yaml', text }], env: {} })
    const lines = (await loading.then(() => 'valid', errorMessage)).split('\n')
    expect(lines).toHaveLength(2)
    for (const [index, section] of ['processors', 'service'].entries()) {
      const line = section === 'processors' ? 3 : 6
      expect(lines[index]).toMatch(new RegExp(`^pipeline\\.yaml:${line}:\\d+ ${section}\\.memory_limiter`))
      expect(lines[index]).toContain(`memory_limiter${path}: ${message}`)
    }
  })
})
