import { readFileSync } from 'node:fs'
import { describe, expect, it } from '@jest/globals'
import { runCommand, startCommand, temporaryFolder } from '../kit/command.ts'

async function file(text: string): Promise<string> {
  const folder = await temporaryFolder({ 'pipeline.yaml': text })
  return folder.path('pipeline.yaml')
}

const minimal = `
receivers:
  host_metrics: { collection_interval: 1s, initial_delay: 0s, scrapers: { load: } }
exporters:
  debug: { format: otlp_json }
service:
  pipelines:
    metrics: { receivers: [host_metrics], exporters: [debug] }
`

const tenMistakes = `receivers:
  host_metrics:
    collection_intervall: 10s
    scrapers:
      cpu: { metrics: { system.cpu.tim: { enabled: false } } }
processors:
  metric_prefx: { prefix: heka }
  tag_merge:
    tags: [env=prod]
  hostname_override:
    hostname: true
    mode: overide
exporters:
  datadog_native:
    site: datadoghq.org
    api_key: \${env:NOT_SET_ANYWHERE}
    timeout: 10
service:
  pipelines:
    metrics:
      receivers: [host_metrics]
      processors: [tag_merge, hostname_override, filter]
      exporters: [datadog_native]
    profiles:
      receivers: [host_metrics]
      exporters: [datadog_native]
`

describe('heka-pipeline', () => {
  it('shows this host in the terminal when no configuration is given', async () => {
    const command = startCommand([], { env: { DD_ENV: 'demo' } })
    await command.waitFor('system.uptime')
    command.kill('SIGTERM')
    await expect(command.ended).resolves.toBe(0)
    expect(command.stdout()).toContain('env=demo')
    expect(command.stdout()).not.toContain('team=')
    expect(command.stderr()).toMatch(/Data points of exporter debug: handed in (\d+) = sent \1\n/)
  })

  it('collects twice with --once, delivers and ends with 0', async () => {
    const { code, stdout } = await runCommand(['--config', await file(minimal), '--once'])
    expect(code).toBe(0)
    const lines = stdout.trim().split('\n')
    expect(lines).toHaveLength(2)
    expect(lines[0]).toContain('system.cpu.load_average.1m')
  })

  it('shows every one of ten mistakes with file, line, column and what would be right, and ends with 78', async () => {
    const path = await file(tenMistakes)
    const { code, stdout, stderr } = await runCommand(['validate', '--config', path])
    expect(code).toBe(78)
    expect(stdout).toBe('')
    const lines = stderr.trim().split('\n')
    const at = (line: number, column: number): string => `${path}:${line}:${column} `
    for (const [line, column, text] of [
      [3, 5, 'collection_interval'],
      [5, 25, 'system.cpu.time'],
      [7, 3, 'metric_prefix'],
      [9, 12, 'env=prod'],
      [12, 11, 'override'],
      [15, 11, 'us3.datadoghq.com'],
      [16, 14, 'NOT_SET_ANYWHERE'],
      [17, 14, '10s'],
      [22, 50, 'filter'],
      [24, 5, 'profiles'],
    ] as const) {
      expect(lines.find((found) => found.startsWith(at(line, column)))).toContain(text)
    }
    expect(stderr).toMatch(/\n\n10 mistakes in the configuration\.\n$/)
    await expect(runCommand(['--config', path])).resolves.toMatchObject({ code: 78, stderr })
  })

  it('gives the same mistakes as data', async () => {
    const path = await file(tenMistakes)
    const { code, stdout } = await runCommand(['validate', '--config', path, '--format', 'json'])
    expect(code).toBe(78)
    const result = JSON.parse(stdout) as { valid: boolean; problems: { place: unknown; path: string }[] }
    expect(result.valid).toBe(false)
    expect(result.problems).toHaveLength(10)
    expect(result.problems[0]).toMatchObject({
      severity: 'error',
      place: { source: path, line: 3, column: 5 },
      path: 'receivers.host_metrics.collection_intervall',
      suggestion: 'collection_interval',
    })
  })

  it('ends with 64 on a bad command line', async () => {
    for (const args of [
      ['--bogus'],
      ['bogus'],
      ['--set', 'no-value'],
      ['components', 'bogus'],
      ['--format', 'xml', 'validate'],
      ['--once', 'validate'],
      ['--config', 'pipeline.yaml', 'schema'],
      ['explain', '--once', '--from', 'requests.json'],
      ['explain', '--from', 'not_there.json'],
    ]) {
      await expect(runCommand(args)).resolves.toMatchObject({ code: 64, stdout: '' })
    }
  })

  it('says what may have been meant by a command that there is not', async () => {
    const { code, stderr } = await runCommand(['validat', '--format', 'json'])
    expect(code).toBe(64)
    expect(stderr).toBe(
      'error: unknown command "validat"; known commands: validate, print-config, init, components, schema, queue, explain (did you mean "validate"?)\n',
    )
  })

  it.each([
    [['pipeline.yaml'], 'heka-pipeline does not take "pipeline.yaml"; did you mean --config pipeline.yaml?'],
    [['validate', 'pipeline.yml'], 'validate does not take "pipeline.yml"; did you mean --config pipeline.yml?'],
    [['explain', '--once', 'a', 'b'], 'explain does not take "a"'],
    [['queue', 'list', 'queues', 'more'], 'queue does not take "more"'],
    [['init', 'pipeline.yaml'], 'init does not take "pipeline.yaml"'],
  ])('%j is not run as if the rest were not there', async (args, message) => {
    await expect(runCommand(args)).resolves.toEqual({ code: 64, stdout: '', stderr: `error: ${message}\n` })
  })

  it('says that a good configuration is valid', async () => {
    const { code, stdout } = await runCommand(['validate', '--config', await file(minimal)])
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'The configuration is valid.\n' })
  })

  describe('about a default that a version changed', () => {
    const rounding = `export default {
      kind: 'processor', type: 'rounding', summary: 'Rounds.',
      config: {
        digits: { doc: 'Digits.', format: 'nat', default: 2, changed: { in: '1.2.0', from: 0 } },
        each: { doc: 'Some.', default: [], format: { list: { settings: {
          mode: { doc: 'How.', format: ['up', 'down'], default: 'down', env: ['ROUNDING'], changed: { in: '2.0.0', from: 'up' } },
        } } } },
      },
      create: () => (batch) => batch,
    }`
    const yaml = (settings: string) => `modules: [./rounding.mjs]
processors:
  rounding: ${settings}
  rounding/unused:
${minimal.replace('receivers: [host_metrics]', 'receivers: [host_metrics], processors: [rounding]')}`
    const started = async (args: readonly string[], settings: string, env: Record<string, string> = {}) => {
      const folder = await temporaryFolder({ 'rounding.mjs': rounding, 'pipeline.yaml': yaml(settings) })
      const path = folder.path('pipeline.yaml')
      return { ...(await runCommand([...args, '--config', path], { env })), path }
    }
    const changes = ({ stderr }: { stderr: string }) =>
      stderr.split('\n').filter((line) => line.includes('changed from'))

    it('validate warns where the file leaves the setting unset', async () => {
      const found = await started(['validate'], '{ each: [{}, { mode: up }] }')
      expect(found.code).toBe(0)
      expect(changes(found)).toEqual([
        `warning: ${found.path}:3:3 processors.rounding.digits: is unset, and its default changed from \`0\` to \`2\` in 1.2.0; set one of the two`,
        `warning: ${found.path}:3:22 processors.rounding.each[0].mode: is unset, and its default changed from \`up\` to \`down\` in 2.0.0; set one of the two`,
      ])
      const { stdout } = await started(['validate', '--format', 'json'], '')
      const { valid, problems } = JSON.parse(stdout) as { valid: boolean; problems: { path: string }[] }
      expect(valid).toBe(true)
      expect(problems.map(({ path }) => path)).toEqual(['processors.rounding/unused', 'processors.rounding.digits'])
    })

    it('and not where it is set, to the one or the other, or by a variable', async () => {
      expect(changes(await started(['validate'], '{ digits: 0, each: [{}] }', { ROUNDING: 'up' }))).toEqual([])
    })

    it('no other command speaks of it', async () => {
      const { code, stderr } = await started(['--once'], '')
      expect({ code, lines: changes({ stderr }) }).toEqual({ code: 0, lines: [] })
    })
  })

  it('says which configuration is valid when none is given', async () => {
    const { code, stdout } = await runCommand(['validate'])
    expect(code).toBe(0)
    expect(stdout).toMatch(/^The default configuration, .*default\.yaml, is valid\.\n$/)
  })

  it('takes --config and --set before a subcommand, and lays what stands after it over them', async () => {
    const wrong = await file(tenMistakes)
    await expect(runCommand(['--config', wrong, 'validate'])).resolves.toMatchObject({ code: 78, stdout: '' })
    const set = (format: string) => ['--set', `exporters.debug.format=${format}`]
    const { code, stdout } = await runCommand([
      ...['--config', await file(minimal), ...set('table')],
      ...['print-config', ...set('openmetrics')],
    ])
    expect(code).toBe(0)
    expect(stdout).toContain('format: openmetrics')
    expect(stdout).toContain('load:')
  })

  it('writes one line about what a module throws when nobody waits for it, and ends with 70', async () => {
    const folder = await temporaryFolder({
      'pipeline.yaml': `modules: [late.js]\n${minimal}`,
      'late.js': 'Promise.reject(new Error("too late"))\nmodule.exports = []',
    })
    const { code, stderr } = await runCommand(['validate', '--config', folder.path('pipeline.yaml')])
    expect({ code, stderr }).toEqual({ code: 70, stderr: `heka-pipeline: ${folder.path('late.js')}:1:16: too late\n` })
  })

  it('prints the merged configuration without secrets', async () => {
    const path = await file(
      `${minimal.replace('exporters: [debug]', 'exporters: [debug, datadog_native]')}`.replace(
        '  debug:',
        '  datadog_native: { api_key: hunter2hunter2 }\n  debug:',
      ),
    )
    const { code, stdout } = await runCommand(['print-config', '-c', path, '--set', 'exporters.debug.format=table'])
    expect(code).toBe(0)
    expect(stdout).toContain('format: table')
    expect(stdout).toContain('[REDACTED]')
    expect(stdout).not.toContain('hunter2')
  })

  it('lists its components, as data with their settings', async () => {
    const { stdout } = await runCommand(['components'])
    expect(stdout).toMatch(/^receivers\n {2}host_metrics +Collects/)
    const listed = JSON.parse((await runCommand(['components', '--format', 'json'])).stdout) as {
      type: string
      config: Record<string, unknown>
    }[]
    expect(listed.map(({ type }) => type)).toEqual(expect.arrayContaining(['metric_prefix', 'datadog_native', 'debug']))
    expect((await runCommand(['components', 'metric_prefix'])).stdout).toContain('Put in front of each name')
  })

  it('goes on when nobody reads its output any more, and counts what is lost', async () => {
    const command = startCommand(['--config', await file(minimal)])
    await command.waitFor('system.cpu.load_average.1m')
    command.close('stdout')
    await command.waitFor('Standard output is closed')
    command.kill('SIGTERM')
    await expect(command.ended).resolves.toBe(0)
    expect(command.stderr()).toMatch(/exporter debug: handed in \d+ = sent \d+ \+ dropped\(closed\) \d+\n/)
  })

  it('stops as always when nobody reads its log any more', async () => {
    const command = startCommand(['--config', await file(minimal), '--set', 'service.telemetry.logs.level=debug'])
    await command.logged('started')
    command.close('stderr')
    await command.waitFor('system.cpu.load_average.1m')
    command.kill('SIGTERM')
    await expect(command.ended).resolves.toBe(0)
  })

  it('delivers as always when its log cannot be written', async () => {
    const { code, stdout } = await runCommand(['--config', await file(minimal), '--once'], { stderrTo: '/dev/full' })
    expect(code).toBe(0)
    expect(stdout.trim().split('\n')).toHaveLength(2)
  })

  it('ends with 1 with --once when something stays behind in a processor', async () => {
    const folder = await temporaryFolder({
      'never.mjs': `export default { kind: 'processor', type: 'never', summary: 'Never answers.', config: {},
        create: () => () => new Promise(() => {}) }`,
      'pipeline.yaml': `modules: [./never.mjs]\nprocessors: { never: }\n${minimal
        .replace('receivers: [host_metrics]', 'receivers: [host_metrics], processors: [never]')
        .replace('service:', 'service:\n  shutdown_timeout: 100ms')}`,
    })
    const { code, stderr } = await runCommand(['--config', folder.path('pipeline.yaml'), '--once'])
    expect(stderr).toContain('accepted 6 = handed on 0 + dropped(shutdown) 6')
    expect(code).toBe(1)
  })

  it('drains on SIGHUP with --once, too, where there is nothing to reload', async () => {
    const command = startCommand(['--config', await file(minimal), '--once'])
    await command.waitFor('system.cpu.load_average.1m')
    command.kill('SIGHUP')
    await expect(command.ended).resolves.toBe(0)
    expect(command.stderr()).toContain('Data points of exporter debug')
  })

  it('prints its version and its help', async () => {
    const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
      version: string
    }
    await expect(runCommand(['--version'])).resolves.toMatchObject({ code: 0, stdout: `${version}\n` })
    const { stdout: help } = await runCommand(['--help'])
    expect(help).toContain('--config <file>')
    expect(help).not.toContain('(default')
  })
})
