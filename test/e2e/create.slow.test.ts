import { afterAll, beforeAll, describe, expect, it } from '@jest/globals'
import { makeFolder, runCommand, startCommand, temporaryFolder } from '../kit/command.ts'
import { latestOf } from '../kit/events.ts'

const module = `
const make = (kind, type, create) => ({ kind, type, summary: 'Is wrong.', config: {}, create })
module.exports = [
  make('receiver', 'no_source', () => {}),
  make('receiver', 'late_source', async () => []),
  make('receiver', 'plain_source', () => ({})),
  make('processor', 'number', () => 5),
  make('processor', 'late', async () => { throw new Error('nobody hears this') }),
  make('processor', 'throws', () => { throw new Error('the moon is full') }),
  make('processor', 'no_operator', () => ({ operator: 'map' })),
  make('exporter', 'nothing', () => null),
  make('exporter', 'half', () => ({ encode() {} })),
]
`
const yaml = `modules: [mistakes.cjs]
receivers:
  no_source:
  late_source:
  plain_source:
processors:
  number:
  late:
  throws:
  no_operator:
exporters:
  nothing:
  half:
  debug:
  otlp_http: { endpoint: http://localhost:4318 }
service:
  pipelines:
    metrics/a:
      receivers: [no_source, late_source, plain_source]
      processors: [number, late, throws, no_operator]
      exporters: [nothing, half, debug]
    metrics/b: { receivers: [no_source], processors: [number], exporters: [half] }
`
const source = 'its `create` must return an Observable of batches, or an async iterable of them, not'
const step = 'its `create` must return a function from batch to batch, or `{ operator }` with an operator of RxJS, not'
const sink = 'its `create` must return an object with the functions `encode` and `send`, not'
const late = 'a promise of it; it cannot be asynchronous'
const mistakes = `pipeline.yaml:3:3 receivers.no_source: ${source} nothing
pipeline.yaml:4:3 receivers.late_source: ${source} ${late}
pipeline.yaml:5:3 receivers.plain_source: ${source} another object
pipeline.yaml:7:3 processors.number: ${step} a number
pipeline.yaml:8:3 processors.late: ${step} ${late}
pipeline.yaml:9:3 processors.throws: its \`create\` failed: the moon is full
pipeline.yaml:10:3 processors.no_operator: ${step} another object
pipeline.yaml:12:3 exporters.nothing: ${sink} null
pipeline.yaml:13:3 exporters.half: ${sink} another object

9 mistakes in the configuration.
`

let folder: Awaited<ReturnType<typeof makeFolder>>
beforeAll(async () => {
  folder = await makeFolder({ 'mistakes.cjs': module, 'pipeline.yaml': yaml })
})
afterAll(() => folder.remove())

describe('a component whose create is wrong', () => {
  const unused = 'warning: pipeline.yaml:15:3 exporters.otlp_http: is not used by any pipeline\n'

  it('is a mistake at its place in the YAML for validate', async () => {
    const result = await runCommand(['validate', '--config', 'pipeline.yaml'], { cwd: folder.path('.') })
    expect(result).toEqual({ code: 78, stdout: '', stderr: unused + mistakes })
  })

  it('is the same mistake at the start, which opens nothing', async () => {
    const { code, stdout, stderr } = await runCommand(['--config', 'pipeline.yaml'], { cwd: folder.path('.') })
    expect({ code, stdout }).toEqual({ code: 78, stdout: '' })
    expect(stderr.slice(-mistakes.length)).toBe(mistakes)
    expect(latestOf(stderr, 'started')).toBeUndefined()
  })
})

/** What validate says of a configuration that loads this module. */
async function validated(module: string): Promise<{ code: number | string; stdout: string; stderr: string }> {
  const yaml = `
modules: [./module.mjs]
receivers: { otlp: { protocols: { http: } } }
exporters: { debug: }
service: { pipelines: { metrics: { receivers: [otlp], exporters: [debug] } } }
`
  const folder = await temporaryFolder({ 'module.mjs': module, 'pipeline.yaml': yaml })
  return runCommand(['validate', '--config', 'pipeline.yaml'], { cwd: folder.path('.') })
}

describe('a module', () => {
  it('is a mistake at its place in the YAML if its loading never ends', async () => {
    const { code, stderr } = await validated('await new Promise(() => {})\nexport default {}\n')
    expect(code).toBe(78)
    expect(stderr).toContain(
      'pipeline.yaml:2:11 modules[0]: cannot be loaded: it awaits something at its top level that has not settled within 10 s',
    )
  }, 30_000)

  it('does not keep validate from ending by what it has begun', async () => {
    const { code, stdout } = await validated('setInterval(() => undefined, 1000)\nexport default []\n')
    expect(code).toBe(0)
    expect(stdout).toContain('is valid')
  })

  it('does not cost a slow reader anything of what validate and its like write', async () => {
    const whole = await runCommand(['schema'])
    const command = startCommand(['schema'])
    command.pause()
    // Longer than anything that ends the process by itself.
    await new Promise((resolve) => setTimeout(resolve, 2000))
    command.resume()
    await expect(command.ended).resolves.toBe(0)
    expect(command.stdout()).toBe(whole.stdout)
  })
})
