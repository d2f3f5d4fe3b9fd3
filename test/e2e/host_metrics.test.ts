import { afterAll, describe, expect, it } from '@jest/globals'
import { runCommand, temporaryFolder } from '../kit/command.ts'

const cleanups: (() => Promise<void>)[] = []
afterAll(async () => {
  for (const cleanup of cleanups) await cleanup()
})

const onLinux = process.platform === 'linux' ? it : it.skip

describe('host_metrics with --once', () => {
  onLinux('ends although there is nothing it can read', async () => {
    const folder = await temporaryFolder({
      'pipeline.yaml': `
receivers: { host_metrics: { root_path: /nonexistent, scrapers: { cpu: , memory: , load: } } }
exporters: { debug: }
service: { pipelines: { metrics: { receivers: [host_metrics], exporters: [debug] } } }
`,
    })
    cleanups.push(folder.remove)
    const { code, stdout, stderr } = await runCommand(['--config', folder.path('pipeline.yaml'), '--once'])
    expect([0, 1]).toContain(code)
    expect(stdout).toBe('')
    expect(stderr).toContain('A part of the host could not be read.')
  })

  onLinux('shows CPU use from the second scrape on when no configuration is given', async () => {
    const { code, stdout } = await runCommand(['--once'])
    expect(code).toBe(0)
    const [, first, second] = stdout.split(/^NAME .*$/m)
    expect(first).toContain('system.memory.usage')
    expect(first).not.toContain('system.cpu.utilization')
    expect(second).toMatch(/^system\.cpu\.utilization +[\d.e-]+ +1 +cpu=cpu0 state=user$/m)
    expect(second).not.toContain('system.cpu.time')
  })
})
