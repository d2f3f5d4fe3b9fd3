import { spawnSync } from 'node:child_process'
import { describe, expect, it } from '@jest/globals'
import { fromOtlpJson } from '../../src/otlp/json/read.ts'
import { main, runCommand, startProcess, temporaryFolder } from '../kit/command.ts'
import { valuesOf } from '../kit/scraping.ts'

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

const NAMESPACES = ['--mount', '--pid', '--fork', '--mount-proc', '--kill-child']
const mayMount = process.platform === 'linux' && spawnSync('unshare', [...NAMESPACES, 'true']).status === 0
const withMounts = mayMount ? it : it.skip

describe(`host_metrics of mounts${mayMount ? '' : ' (skipped: this user may not mount anything)'}`, () => {
  /**
   * Runs a shell script in namespaces of its own, in which `SCRAPE` scrapes the mounts below the current folder once.
   * Returns the bytes of each mount and state, by their paths from that folder, and what was logged.
   */
  async function scrapeMounts(script: string): Promise<{ usage: Record<string, number>; log: string }> {
    const folder = await temporaryFolder({
      'pipeline.yaml': `
receivers:
  host_metrics:
    initial_delay: 0s
    root_path: \${env:ROOT_PATH:-/}
    scrapers:
      filesystem:
        include_virtual_filesystems: true
        include_mount_points: { mount_points: ['^\${env:FOLDER}/'], match_type: regexp }
exporters: { debug: { format: otlp_json } }
service: { telemetry: { metrics: { level: none } }, pipelines: { metrics: { receivers: [host_metrics], exporters: [debug] } } }
`,
      'mounts/.keep': '',
      'host/.keep': '',
    })
    const FOLDER = folder.path('mounts')
    const scrape = `exec ${process.execPath} ${main} -c ${folder.path('pipeline.yaml')}`
    const steps = `set -e; cd ${FOLDER}; mount -t tmpfs tmpfs .; cd ${FOLDER}; ${script.replace('SCRAPE', scrape)}`
    const scraping = startProcess('unshare', [...NAMESPACES, 'sh', '-c', steps], { env: { FOLDER } })
    await scraping.waitFor(']}\n')
    scraping.kill('SIGKILL')
    await scraping.ended
    const usage = valuesOf(fromOtlpJson(scraping.stdout().split('\n')[0]), 'system.filesystem.usage')
    const shorten = (key: string) => key.replace(/.* mountpoint=(\S+) .* (state=.*)/, '$1 $2').replace(FOLDER, '')
    return {
      usage: Object.fromEntries(Object.entries(usage).map(([key, value]) => [shorten(key), value])),
      log: scraping.stderr().replaceAll(FOLDER, ''),
    }
  }

  withMounts('says of one with more room than an int holds that it has the most an int holds', async () => {
    const { usage } = await scrapeMounts('mkdir over; mount -t tmpfs -o size=16777215T tmpfs over; SCRAPE')
    expect(usage).toEqual({ '/over state=used': 0, '/over state=free': 2 ** 63, '/over state=reserved': 0 })
  })

  const MIB = 1024 * 1024
  const shown = { '/shown state=used': 0, '/shown state=free': MIB, '/shown state=reserved': 0 }
  const SHOWN = 'mkdir shown hidden; mount -t tmpfs -o size=1M tmpfs shown'

  withMounts('leaves out one below a later mount, and says so', async () => {
    const below = 'mkdir hidden/below; mount -t tmpfs -o size=2M tmpfs hidden/below'
    const later = 'mount -t tmpfs -o size=4M tmpfs hidden; mkdir hidden/below'
    const { usage, log } = await scrapeMounts(`${SHOWN}; ${below}; ${later}; SCRAPE`)
    expect(usage).toEqual({
      ...shown,
      '/hidden state=used': 0,
      '/hidden state=free': 4 * MIB,
      '/hidden state=reserved': 0,
    })
    expect(log).toMatch(
      /\/hidden\/below leads to another file system \(0:\d+\) than the mount \/hidden\/below \(0:\d+\)/,
    )
  })

  withMounts('leaves out one that is only in the mount namespace of process 1, and says so', async () => {
    const { usage, log } = await scrapeMounts(
      `${SHOWN}; mount -t tmpfs -o size=2M tmpfs hidden; unshare --mount sh -c 'umount hidden; SCRAPE' & wait $!`,
    )
    expect(usage).toEqual(shown)
    expect(log).toContain('/hidden leads to another file system')
  })

  withMounts('leaves out one that came after the root_path was mounted, and says so', async () => {
    const root = 'mount --rbind / ../host; mount --make-rprivate ../host; export ROOT_PATH=$(realpath ../host)'
    const { usage, log } = await scrapeMounts(`${SHOWN}; ${root}; mount -t tmpfs -o size=2M tmpfs hidden; SCRAPE`)
    expect(usage).toEqual(shown)
    expect(log).toContain('/host/hidden leads to another file system')
  })

  withMounts('asks the files of overlay, whose numbers are not those of their mount', async () => {
    const folders = 'mkdir low up over; mount -t tmpfs tmpfs up; mkdir up/data up/work; echo > low/file; echo > bound'
    const overlay = 'mount -t overlay -o lowerdir=low,upperdir=up/data,workdir=up/work,xino=off overlay over'
    const { usage } = await scrapeMounts(`${SHOWN}; ${folders}; ${overlay}; mount --bind over/file bound; SCRAPE`)
    expect(usage).toMatchObject(shown)
    expect(Object.keys(usage).filter((key) => /^\/(over|bound) /.test(key))).toHaveLength(6)
  })
})
