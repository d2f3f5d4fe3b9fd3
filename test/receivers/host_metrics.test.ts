import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals'
import { execFile, execFileSync } from 'node:child_process'
import { closeSync, constants, existsSync, openSync, readFileSync, readdirSync, statfsSync } from 'node:fs'
import { cp, mkdir, mkdtemp, open, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { hostname, tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { ConfigError, formatProblem } from '../../src/errors.ts'
import { loadConfig } from '../../src/pipeline/config/config.ts'
import hostMetrics from '../../src/receivers/host_metrics.ts'
import { loadPortableSystem } from '../../src/receivers/host_metrics/portable.ts'
import type { PortableSystem } from '../../src/receivers/host_metrics/portable.ts'
import { scrapers } from '../../src/receivers/host_metrics/receiver.ts'
import type { Scraper } from '../../src/receivers/host_metrics/scraper.ts'
import type { NumberPoint } from '../../src/otlp/metrics/points.ts'
import { testComponent } from '../../src/testing.ts'
import { describeBatch, startScraping, valuesOf } from '../kit/scraping.ts'
import type { Scraping } from '../kit/scraping.ts'
import { cleanups } from '../kit/cleanups.ts'

const CASES = new URL('../cases/host_metrics/', import.meta.url).pathname
const BOOT = 1_700_000_000_000_000_000n
const CONTAINER_START = BOOT + 1_234_560_000_000n

async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'host-metrics-'))
  cleanups.push(() => rm(folder, { recursive: true }))
  return folder
}

/** A YAML entry that scrapes as fast as it is asked to, with everything in the given scrapers switched on. */
function everything(names: readonly string[], settings = ''): string {
  const switches = names.map((name) => {
    const { metrics }: Scraper = scrapers[name as keyof typeof scrapers]
    return `${name}: { metrics: { ${Object.keys(metrics)
      .map((metric) => `${metric}: { enabled: true }`)
      .join(', ')} } }`
  })
  return `host_metrics: { collection_interval: 1ms, initial_delay: 0s, ${settings} scrapers: { ${switches.join(', ')} } }`
}

/** `major:minor` of the file system that a file is on, by coreutils. */
function numberOf(path: string): string {
  return execFileSync('stat', ['--format=%Hd:%Ld', path], { encoding: 'utf8' }).trim()
}

/** The rows of a CSV file without quotes, by the names in its first line. */
function readCsv(path: string): Record<string, string>[] {
  const [head, ...rows] = readFileSync(path, 'utf8').trim().split('\n')
  return rows.map((row) => Object.fromEntries(head.split(',').map((name, index) => [name, row.split(',')[index]])))
}

describe('the tables of the scrapers', () => {
  const declared = Object.entries<Scraper>(scrapers).flatMap(([scraper, { metrics }]) =>
    Object.entries(metrics).map(([metric, declaration]) => ({ scraper, metric, ...declaration })),
  )
  const rows = readCsv(join(CASES, 'metrics.csv'))

  // The container is no matter of the collector's receiver.
  const ofHost = declared.filter(({ scraper }) => scraper !== 'container')

  it("declare the collector's metrics, with their units, types, attributes and defaults, but for the memory limit", () => {
    const rowOf = (row: Record<string, string>) => ({
      scraper: row.scraper,
      metric: row.metric,
      unit: row.unit,
      type: row.instrument,
      monotonic: row.monotonic === 'true',
      value: row.value_type,
      attributes: row.attributes === '' ? [] : row.attributes.split(';'),
      enabled: row.default_enabled === 'true',
    })
    expect(
      ofHost.map(({ scraper, metric, unit, type, monotonic = false, value, attributes = [], enabled }) => {
        return { scraper, metric, unit, type, monotonic, value, attributes, enabled }
      }),
    ).toEqual(rows.map(rowOf))
  })

  it('give each metric a sentence', () => {
    for (const { doc } of declared) expect(doc).toMatch(/^[A-Z].*\.$/)
  })
})

describe('scrapes in a row of a host below a folder', () => {
  for (const name of readdirSync(CASES).filter((entry) => entry !== 'recorded' && !entry.includes('.'))) {
    it(`yield what is expected: ${name.replaceAll('_', ' ')}`, async () => {
      const folder = join(CASES, name)
      const temporary = await temporaryFolder()
      const root = join(temporary, 'root')
      const scraping = await startScraping(readFileSync(join(folder, 'config.yaml'), 'utf8'), {
        env: { ROOT: root },
        own: `${root}/own`,
      })
      for (const step of readdirSync(folder).filter((entry) => /^\d+$/.test(entry))) {
        await cp(join(folder, step), `${root}.${step}`, { recursive: true, verbatimSymlinks: true })
        await mountHere(`${root}.${step}/proc/1/mountinfo`)
        await symlink(`${root}.${step}`, `${root}.next`)
        await rename(`${root}.next`, root)
        expect(await describeScrape(scraping, root)).toEqual(readFileSync(join(folder, `expected.${step}.txt`), 'utf8'))
      }
    })
  }

  /** Gives the mounts of a case whose number is `HERE` the number of the file system that its folder is on. */
  async function mountHere(path: string): Promise<void> {
    if (!existsSync(path)) return
    await writeFile(path, readFileSync(path, 'utf8').replaceAll(/\bHERE\b/g, numberOf(path)))
  }

  /** One scrape as the golden files hold it: the resource, the points, what was counted so far and what was logged. */
  async function describeScrape(scraping: Scraping, root: string): Promise<string> {
    const before = BigInt(Date.now()) * 1_000_000n
    const batch = await scraping.next()
    const resource = batch.resources[0].resource.attributes.toObject()
    const times = new Set<bigint>()
    for (const { metric } of batch.metrics()) {
      for (const point of metric.points) {
        times.add(point.timeUnixNano)
        const start = metric.name.startsWith('container.') ? CONTAINER_START : BOOT
        expect(point.startTimeUnixNano).toBe(metric.type === 'sum' ? start : 0n)
      }
    }
    expect(times.size).toBe(batch.pointCount === 0 ? 0 : 1)
    for (const time of times) expect(time).toBeGreaterThanOrEqual(before)
    const points = describeBatch(batch).join('\n')
    const lines = [
      ...Object.entries(resource).map(([key, value]) => `${key}: ${JSON.stringify(value)}`),
      // How full the disk below the folder is, is no matter of the case.
      points.replaceAll(/(?<=\{device="[^"]*",mode="[^"]*",mountpoint=.*\} (int|double) )\d.*/g, '*'),
      // How many ticks of a millisecond pass between two scrapes, the machine decides.
      ...Object.entries(scraping.counters())
        .filter(([counter]) => !counter.startsWith('skipped_scrapes'))
        .map(([counter, count]) => `${counter} ${count}`),
      ...scraping.logs(),
    ]
    return `${lines
      .join('\n')
      .replaceAll(root, 'ROOT')
      .replaceAll(`(${numberOf(root)})`, '(HERE)')}\n`
  }
})

describe('the host itself', () => {
  const names = Object.keys(scrapers)
  // What a virtual machine may lack: swap space, frequencies, huge pages, a firewall, and a disk of its own.
  const mayLack =
    /^container\.|^system\.(paging\.(usage|utilization)|cpu\.frequency|memory\.linux|network\.conntrack|disk|filesystem)/

  const onLinux = process.platform === 'linux' ? it : it.skip

  onLinux('shows every metric of every scraper from /proc, but those that the machine lacks', async () => {
    const scraping = await startScraping(everything(names))
    await scraping.next()
    const seen = [...(await scraping.next()).metrics()].map(({ metric }) => metric.name)
    const all = Object.values<Scraper>(scrapers).flatMap(({ metrics }) => Object.keys(metrics))
    expect(all.filter((name) => !seen.includes(name) && !mayLack.test(name))).toEqual([])
    expect(seen.filter((name) => !all.includes(name))).toEqual([])
  })

  it('shows what systeminformation can fill, and nothing else, where there is no /proc', async () => {
    const scraping = await startScraping(everything(names), { portable: await loadPortableSystem() })
    await scraping.next()
    const seen = [...(await scraping.next()).metrics()].map(({ metric }) => metric.name)
    const declared = Object.values<Scraper>(scrapers).flatMap(({ metrics }) => Object.entries(metrics))
    const linuxOnly = declared.filter(([, { on }]) => on === 'linux').map(([name]) => name)
    expect(seen.filter((name) => linuxOnly.includes(name))).toEqual([])
    const others = declared.map(([name]) => name).filter((name) => !linuxOnly.includes(name))
    expect(others.filter((name) => !seen.includes(name) && !mayLack.test(name))).toEqual([])
    expect(scraping.logs()).toEqual([
      'A scraper has no data on this operating system. {"scraper":"disk"}',
      'A scraper has no data on this operating system. {"scraper":"container"}',
    ])
  })

  onLinux('is said to be as full as statfs says', async () => {
    const scraping = await startScraping(
      'host_metrics: { initial_delay: 0s, root_path: /, scrapers: { filesystem: { include_virtual_filesystems: true } } }',
    )
    const usage = valuesOf(await scraping.next(), 'system.filesystem.usage')
    const { blocks, bfree, bavail, bsize } = statfsSync('/')
    const [, used] = Object.entries(usage).find(([key]) => /mountpoint=\/ .*state=used/.test(key)) ?? []
    // Others may write meanwhile.
    expect(Math.abs(Number(used) - (blocks - bfree) * bsize)).toBeLessThan(1e9)
    const [, reserved] = Object.entries(usage).find(([key]) => /mountpoint=\/ .*state=reserved/.test(key)) ?? []
    expect(Math.abs(Number(reserved) - (bfree - bavail) * bsize)).toBeLessThan(1e9)
    expect(Object.keys(usage).filter((key) => /type=(nfs|cifs|autofs)/.test(key))).toEqual([])
  })

  it('is named in the resource, with more on request', async () => {
    const scraping = await startScraping(
      'host_metrics: { initial_delay: 0s, scrapers: { system: }, resource_attributes: { host.arch: { enabled: true }, host.cpu.model.name: { enabled: true }, host.ip: { enabled: true } } }',
    )
    const resource = (await scraping.next()).resources[0].resource.attributes.toObject()
    expect(Object.keys(resource)).toEqual(['host.name', 'os.type', 'host.arch', 'host.ip', 'host.cpu.model.name'])
    expect(resource['host.name']).toBe(hostname())
    expect(resource['host.arch']).toMatch(/^(amd64|arm64)$/)
  })
})

describe('recorded answers of another system', () => {
  for (const platform of ['darwin', 'win32']) {
    it(`yield what is expected: ${platform}`, async () => {
      const path = join(CASES, 'recorded', platform)
      const recorded = JSON.parse(readFileSync(`${path}.json`, 'utf8')) as Record<'os' | 'information', object>[]
      let scrape = -1
      /** Functions that answer what was recorded for the present scrape. */
      const replay = (part: 'os' | 'information') =>
        Object.fromEntries(
          Object.keys(recorded[0][part]).map((name) => {
            const answer = () => recorded[Math.max(0, scrape)][part][name as never]
            return [name, part === 'os' ? answer : () => Promise.resolve(answer())]
          }),
        )
      const portable = { platform, os: replay('os'), information: replay('information') } as unknown as PortableSystem
      const attributes = ['host.id', 'os.description', 'os.version', 'host.cpu.vendor.id', 'host.cpu.cache.l2.size']
      const scraping = await startScraping(
        everything(
          Object.keys(scrapers),
          `resource_attributes: { host.name: { enabled: false }, ${attributes.map((name) => `${name}: { enabled: true }`).join(', ')} },`,
        ),
        { portable },
      )
      const lines: string[] = []
      for (scrape = 0; scrape < recorded.length; scrape++) {
        const batch = await scraping.next()
        const resource = Object.entries(batch.resources[0].resource.attributes.toObject())
        lines.push(
          `## Scrape ${scrape}`,
          ...resource.map(([key, value]) => `${key}: ${JSON.stringify(value)}`),
          ...describeBatch(batch),
          ...scraping.logs(),
        )
      }
      expect(`${lines.join('\n')}\n`).toBe(readFileSync(`${path}.expected.txt`, 'utf8'))
    })
  }
})

describe('what does not answer', () => {
  it('costs a scraper its figures, counted and logged once, and no other scraper anything', async () => {
    let answer = () => {}
    const system = await loadPortableSystem()
    const mem = () => new Promise<never>((_, reject) => (answer = () => reject(new Error('too late'))))
    const portable = { ...system, information: { ...system.information, mem } }
    const scraping = await startScraping(
      'host_metrics: { collection_interval: 1ms, initial_delay: 0s, timeout: 20ms, scrapers: { memory: , system: } }',
      { portable },
    )
    for (let scrape = 1; scrape <= 3; scrape++) {
      const names = [...(await scraping.next()).metrics()].map(({ metric }) => metric.name)
      expect(names).toEqual(['system.uptime'])
      expect(scraping.counters()['scraper_errors{component="host_metrics",scraper="memory"}']).toBe(scrape)
      expect(scraping.logs()).toHaveLength(scrape === 1 ? 1 : 0)
      if (scrape === 2) answer()
    }
  })

  const asRoot = process.platform === 'linux' ? it : it.skip

  asRoot('is a mount that is left out, counted, not asked again meanwhile, and back once it has answered', async () => {
    const root = await fakeRoot({
      'proc/stat': 'btime 1700000000\n',
      'proc/filesystems': '\text4\n',
      'proc/1/mountinfo': `1 0 ${numberOf(tmpdir())} / /data rw - ext4 /dev/root rw\n`,
      'data/.keep': '',
    })
    await symlink('../devices/sda9', join(root, 'sys/dev/block', numberOf(tmpdir())))
    const scraping = await startScraping(
      `host_metrics: { collection_interval: 1ms, initial_delay: 0s, root_path: ${root}, scrapers: { filesystem: , system: } }`,
    )
    await writeFile(join(root, 'proc/uptime'), '5.00 5.00\n')
    // A pipe without a writer holds one of the threads of Node.js each, so that no statfs is ever begun.
    const pipes = await Promise.all(['a', 'b', 'c', 'd'].map((name) => makePipe(join(root, name))))
    const opened = pipes.map((pipe) => open(pipe, constants.O_RDONLY))

    const started = performance.now()
    expect(valuesOf(await scraping.next(), 'system.filesystem.usage')).toEqual({})
    expect(performance.now() - started).toBeGreaterThan(900)
    expect(scraping.logs()).toEqual([expect.stringContaining('/data does not answer')])

    const again = performance.now()
    const batch = await scraping.next()
    expect(performance.now() - again).toBeLessThan(500)
    expect([...batch.metrics()].map(({ metric }) => metric.name)).toEqual(['system.uptime'])
    expect(scraping.counters()['scraper_errors{component="host_metrics",scraper="filesystem"}']).toBe(1)

    for (const pipe of pipes) closeSync(openSync(pipe, constants.O_WRONLY))
    for (const file of await Promise.all(opened)) await file.close()
    const usage = valuesOf(await scraping.next(), 'system.filesystem.usage')
    expect(Object.keys(usage)[0]).toBe('device=/dev/sda9 mode=rw mountpoint=/data type=ext4 state=used')
    expect(scraping.logs()).toEqual([])
  })

  async function makePipe(path: string): Promise<string> {
    await promisify(execFile)('mkfifo', [path])
    return path
  }

  async function fakeRoot(files: Record<string, string>): Promise<string> {
    const root = await temporaryFolder()
    for (const [path, text] of Object.entries(files)) {
      await mkdir(dirname(join(root, path)), { recursive: true })
      await writeFile(join(root, path), text)
    }
    await mkdir(join(root, 'sys/dev/block'), { recursive: true })
    return root
  }
})

describe('a figure that cannot be', () => {
  it('is left out, counted and logged once, where it is less than 0, and is the largest int where it is beyond', async () => {
    const system = await loadPortableSystem()
    const mem = () => Promise.resolve({ total: 100, free: 10, available: 120, swaptotal: 0 })
    const disk = { fs: '/dev/disk1', type: 'apfs', mount: '/', rw: true, used: 2 ** 64, available: NaN }
    const information = { ...system.information, mem, fsSize: () => Promise.resolve([disk]) }
    const scraping = await startScraping(
      'host_metrics: { collection_interval: 1ms, initial_delay: 0s, scrapers: { memory: , filesystem: } }',
      { portable: { ...system, information } as unknown as PortableSystem },
    )
    const batch = await scraping.next()
    expect(describeBatch(batch)).toEqual([
      '# system.memory.usage: cumulative sum, By',
      '{state="free"} int 10',
      '{state="inactive"} int 110',
      '# system.memory.limit: cumulative sum, By',
      '{} int 100',
      '# system.filesystem.usage: cumulative sum, By',
      '{device="/dev/disk1",mode="rw",mountpoint="/",type="apfs",state="used"} int 9223372036854775807',
    ])
    expect(scraping.logs()).toEqual([expect.stringContaining('system.memory.usage is negative')])
    await scraping.next()
    expect(scraping.logs()).toEqual([])
    expect(scraping.counters()).toMatchObject({ 'scraper_errors{component="host_metrics",scraper="memory"}': 2 })
  })
})

describe('the start of the sums', () => {
  const NOON = 1_796_000_000

  async function rootWithBoot(seconds: number): Promise<string> {
    const root = await temporaryFolder()
    await mkdir(join(root, 'proc'))
    await writeFile(join(root, 'proc/stat'), `cpu0 1 1 1 1 1 1 1 1\nbtime ${seconds}\n`)
    return root
  }

  /** The start and time of the next scrape, in seconds; the clock says `now`. */
  async function timesOf(scraping: Scraping, now: number): Promise<[start: number, time: number]> {
    jest.setSystemTime(now * 1000)
    const [{ metric }] = (await scraping.next()).metrics()
    const [{ startTimeUnixNano, timeUnixNano }] = metric.points
    return [Number(startTimeUnixNano) / 1e9, Number(timeUnixNano) / 1e9]
  }

  const yaml = (root: string) =>
    `host_metrics: { collection_interval: 1ms, initial_delay: 0s, root_path: ${root}, scrapers: { cpu: } }`

  beforeEach(() => {
    jest.useFakeTimers({ doNotFake: ['performance', 'nextTick', 'setImmediate', 'setInterval', 'setTimeout'] })
  })
  afterEach(() => {
    jest.useRealTimers()
  })

  it('is the boot as it was first read, while the clock goes on', async () => {
    const root = await rootWithBoot(NOON - 600)
    const scraping = await startScraping(yaml(root))
    expect(await timesOf(scraping, NOON)).toEqual([NOON - 600, NOON])
    await writeFile(join(root, 'proc/stat'), `cpu0 1 1 1 1 1 1 1 1\nbtime ${NOON - 599}\n`)
    expect(await timesOf(scraping, NOON + 10)).toEqual([NOON - 600, NOON + 10])
  })

  it('is read again when the clock is set back, since the kernel moves the boot with it', async () => {
    const root = await rootWithBoot(NOON - 600)
    const scraping = await startScraping(yaml(root))
    expect(await timesOf(scraping, NOON)).toEqual([NOON - 600, NOON])
    await writeFile(join(root, 'proc/stat'), `cpu0 1 1 1 1 1 1 1 1\nbtime ${NOON - 4200}\n`)
    expect(await timesOf(scraping, NOON - 3600)).toEqual([NOON - 4200, NOON - 3600])
    expect(await timesOf(scraping, NOON - 3590)).toEqual([NOON - 4200, NOON - 3590])
  })

  it('is never after the time of the scrape, and stays', async () => {
    const scraping = await startScraping(yaml(await rootWithBoot(NOON + 3600)))
    expect(await timesOf(scraping, NOON)).toEqual([NOON, NOON])
    expect(await timesOf(scraping, NOON + 10)).toEqual([NOON, NOON + 10])
  })
})

describe('the settings', () => {
  it('take a scraper without settings for its defaults, and run only what is listed', async () => {
    const scraping = await startScraping('host_metrics: { initial_delay: 0s, scrapers: { memory: } }')
    const names = [...(await scraping.next()).metrics()].map(({ metric }) => metric.name)
    expect(names).toEqual(['system.memory.usage', 'system.memory.limit'])
  })

  it.each([
    ['scrapers: { }', 'needs at least one of cpu, memory, disk'],
    ['scrapers: { cpus: }', 'did you mean "cpu"'],
    ['scrapers: { cpu: { metrics: { system.cpu.tme: { enabled: true } } } }', 'did you mean "system.cpu.time"'],
    ['scrapers: { disk: { include: { devices: ["("], match_type: regexp } } }', 'scrapers.disk.include.devices[0]'],
    ['scrapers: { load: }, collection_interval: 0s', 'must be more than 0s'],
  ])('refuse %s', async (settings, message) => {
    const refused = testComponent(hostMetrics, `host_metrics: { ${settings} }`)
    await expect(refused).rejects.toThrow(ConfigError)
    await expect(refused).rejects.toThrow(message)
  })

  /** The problems of a pipeline that has these scrapers from line 4 on, each a line. */
  async function problemsOf(scrapers: string): Promise<string> {
    const pipeline = `receivers:
  host_metrics:
    scrapers:
${scrapers}
exporters: { debug: }
service: { pipelines: { metrics: { receivers: [host_metrics], exporters: [debug] } } }
`
    const config = loadConfig({ files: [{ name: 'pipeline.yaml', text: pipeline }], env: {} })
    const { warnings } = await config.catch((error: ConfigError) => ({ warnings: error.problems }))
    const lines = warnings.map((problem) => `${problem.severity} ${formatProblem(problem)}`)
    return lines.join('\n').replaceAll('receivers.host_metrics.scrapers.', '')
  }

  it('say where attributes or a strategy are not those of a metric', async () => {
    const problems = await problemsOf(`
      cpu:
        metrics:
          system.cpu.time: { attributes: [state, core], aggregation_strategy: avg }
          system.cpu.utilization: { aggregation_strategy: median }
          system.cpu.logical.count: { attributes: [] }
      memory:
        metrics:
          system.memory.usage: { attributes: [] }`)
    expect(problems.split('\n')).toEqual([
      'error pipeline.yaml:7:50 cpu.metrics.system.cpu.time.attributes[1]: must be `cpu` or `state`, not "core"',
      'error pipeline.yaml:7:79 cpu.metrics.system.cpu.time.aggregation_strategy: must be `sum`, not "avg"',
      'error pipeline.yaml:8:59 cpu.metrics.system.cpu.utilization.aggregation_strategy: must be `sum`, `avg`, `min` or `max`, not "median"',
      'error pipeline.yaml:9:39 cpu.metrics.system.cpu.logical.count.attributes: unknown setting; known settings: enabled',
    ])
  })

  it('keep the attribute without which a sum would count something twice', async () => {
    const problems = await problemsOf(`
      memory:
        metrics:
          system.memory.usage: { attributes: [] }
      paging:
        metrics:
          system.paging.operations: { attributes: [direction] }`)
    expect(problems.split('\n')).toEqual([
      'error pipeline.yaml:7:34 memory.metrics.system.memory.usage.attributes: must have `state`: its values overlap, so points cannot be aggregated over it',
      'error pipeline.yaml:10:39 paging.metrics.system.paging.operations.attributes: must have `type`: its values overlap, so points cannot be aggregated over it',
    ])
  })

  it('warn of a sum over devices that are parts of one another, until it is said which of them count', async () => {
    const disk =
      'metrics: { system.disk.io: { attributes: [direction] }, system.disk.io_time: { enabled: false, attributes: [] } }'
    expect(await problemsOf(`      disk: { ${disk} }`)).toBe(
      'warning pipeline.yaml:4:44 disk.metrics.system.disk.io.attributes: joins points of every `device`, and a partition is a device of its own, in addition to its disk: choose with include or exclude which ones count, or some are counted twice',
    )
    expect(await problemsOf(`      disk: { include: { devices: [sda] }, ${disk} }`)).toBe('')
    const usage = 'system.filesystem.usage: { attributes: [device, state], aggregation_strategy: max }'
    expect(await problemsOf(`      filesystem: { metrics: { ${usage} } }`)).toBe('')
  })
})

describe('counters that are added up', () => {
  const onLinux = process.platform === 'linux' ? it : it.skip

  /** A receiver of the bytes received by all interfaces, which are given by name before each scrape. */
  async function totalReceived() {
    const root = await temporaryFolder()
    await mkdir(join(root, 'proc/1/net'), { recursive: true })
    await writeFile(join(root, 'proc/stat'), `btime ${BOOT / 1_000_000_000n}\n`)
    await writeFile(join(root, 'proc/1/net/tcp'), '')
    const io = 'system.network.io: { attributes: [direction] }'
    const scraping = await startScraping(
      `host_metrics: { collection_interval: 1ms, initial_delay: 0s, root_path: ${root}, scrapers: { network: { metrics: { ${io} } } } }`,
    )
    return async (interfaces: Readonly<Record<string, number | bigint>>) => {
      const lines = Object.entries(interfaces).map(([name, bytes]) => `${name}: ${bytes}${' 0'.repeat(15)}\n`)
      await writeFile(join(root, 'proc/1/net/dev'), `\n\n${lines.join('')}`)
      const [{ metric }] = [...(await scraping.next()).metrics()]
      expect(metric.points.map(({ startTimeUnixNano }) => startTimeUnixNano)).toEqual([BOOT, BOOT])
      return (metric.points[0] as NumberPoint).value
    }
  }

  onLinux('never fall, however many interfaces come and go', async () => {
    const receive = await totalReceived()
    const many = Array.from({ length: 10_001 }, (_, index) => [`veth${index}`, 2] as const)
    expect(await receive({ eth0: 100, ...Object.fromEntries(many) })).toBe(20_102)
    expect(await receive({ eth0: 101 })).toBe(20_103)
    expect(await receive({ eth0: 101, veth0: 1 })).toBe(20_104)
    expect(await receive({ eth0: 90, veth0: 1 })).toBe(20_104)
    expect(await receive({ eth0: 95, veth0: 1 })).toBe(20_109)
  })

  onLinux('begin again at 0 beyond 63 bits, as a counter does', async () => {
    const receive = await totalReceived()
    expect(await receive({ eth0: 2n ** 63n - 1n, eth1: 0 })).toBe(2n ** 63n - 1n)
    expect(await receive({ eth0: 2n ** 63n - 1n, eth1: 3 })).toBe(2n)
  })
})

describe('root_path', () => {
  const onLinux = process.platform === 'linux' ? it : it.skip

  async function warningsOf(rootPath: string): Promise<string[]> {
    const folder = await temporaryFolder()
    await mkdir(join(folder, 'host/proc'), { recursive: true })
    await writeFile(join(folder, 'host/proc/loadavg'), '0.25 0.5 0.75 1/100 1000\n')
    const pipeline = `
receivers: { host_metrics: { initial_delay: 0s, root_path: ${rootPath}, scrapers: { load: } } }
exporters: { debug: }
service: { pipelines: { metrics: { receivers: [host_metrics], exporters: [debug] } } }
`
    await writeFile(join(folder, 'pipeline.yaml'), pipeline)
    const config = await loadConfig({ files: [{ path: join(folder, 'pipeline.yaml') }], env: {} })
    const receiver = config.receivers.get('host_metrics')?.config as { root_path: string | undefined }
    expect(receiver.root_path).toBe(rootPath === '' ? undefined : resolve(folder, rootPath))
    return config.warnings.map(({ path, message }) => `${path}: ${message}`.replaceAll(folder, 'FOLDER'))
  }

  it("is found from the YAML's folder, wherever the command runs", async () => {
    expect(await warningsOf('./host')).toEqual([])
  })

  it('may be left empty for the host itself', async () => {
    expect(await warningsOf('')).toEqual([])
  })

  it.each(['absent', 'pipeline.yaml', 'pipeline.yaml/below'])('is warned of when it is no folder: %s', async (path) => {
    expect(await warningsOf(path)).toEqual([`receivers.host_metrics.root_path: FOLDER/${path} is not a folder here`])
  })

  onLinux('is the host itself when it is /', async () => {
    const scraping = await startScraping('host_metrics: { initial_delay: 0s, root_path: /, scrapers: { load: } }')
    expect(valuesOf(await scraping.next(), 'system.cpu.load_average.1m')).toHaveProperty([''])
  })
})

describe('the end', () => {
  it('comes at once, in the middle of an interval and before the first scrape', async () => {
    for (const delay of ['0s', '1h']) {
      const { created, stop } = await testComponent(
        hostMetrics,
        `host_metrics: { collection_interval: 1h, initial_delay: ${delay}, scrapers: { load: } }`,
      )
      const batches = (created as AsyncIterable<unknown>)[Symbol.asyncIterator]()
      if (delay === '0s') expect((await batches.next()).done).toBe(false)
      const next = batches.next()
      await stop()
      expect((await next).done).toBe(true)
    }
  })
})
