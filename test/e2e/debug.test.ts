import { describe, expect, it } from '@jest/globals'
import { startCommand, temporaryFolder } from '../kit/command.ts'

/** Ten consumers that give up waiting soon, and batches that fill a pipe before long. */
async function pipeline(): Promise<string> {
  const folder = await temporaryFolder({
    'pipeline.yaml': `
receivers:
  host_metrics: { collection_interval: 5ms, initial_delay: 0s, scrapers: { cpu: , memory: , disk: , network: } }
exporters:
  debug: { format: otlp_json, timeout: 250ms, retry_on_failure: { initial_interval: 20ms, max_interval: 20ms } }
service:
  pipelines:
    metrics: { receivers: [host_metrics], exporters: [debug] }
`,
  })
  return folder.path('pipeline.yaml')
}

const onLinux = process.platform === 'linux' ? it : it.skip

describe('debug', () => {
  onLinux('writes every batch once and in order when its reader is slow', async () => {
    const command = startCommand(['--config', await pipeline()])
    command.pause()
    await command.logged('request_retried')
    command.resume()
    await command.logged('destination_recovered')
    command.kill('SIGTERM')
    await expect(command.ended).resolves.toBe(0)
    const times = command
      .stdout()
      .trim()
      .split('\n')
      .map((line) => /"timeUnixNano":"(\d+)"/.exec(line)?.[1])
    expect(times).toEqual([...new Set(times)].sort())
    expect(times).not.toContain(undefined)
    expect(command.stderr()).toMatch(/exporter debug: handed in (\d+) = sent \1\n/)
    expect(command.stderr()).not.toContain('MaxListenersExceededWarning')
  })

  onLinux('loses its own points and nothing else when the disk behind its output is full', async () => {
    const command = startCommand(['--config', await pipeline()], { stdoutTo: '/dev/full' })
    await command.waitFor('Standard output: ENOSPC')
    command.kill('SIGTERM')
    await expect(command.ended).resolves.toBe(0)
    expect(command.stderr()).toMatch(/exporter debug: handed in (\d+) = sent 0 \+ dropped\(closed\) \1\n/)
    expect(command.stderr()).not.toContain('outside the pipeline')
  })
})
