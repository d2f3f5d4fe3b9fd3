import { describe, expect, it } from '@jest/globals'
import { readFileSync } from 'node:fs'
import { mkdtemp, rename as moveTo, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parse } from 'yaml'
import { MetricBatch } from '../../src/otlp/metrics/batch.ts'
import { toOtlpJson } from '../../src/otlp/json/write.ts'
import type { Metric } from '../../src/otlp/metrics/metric.ts'
import { HistogramPoint, NumberPoint } from '../../src/otlp/metrics/points.ts'
import { checkComponent } from '../../src/pipeline/config/config.ts'
import { loadBuiltin } from '../../src/pipeline/modules/load.ts'
import filter from '../../src/processors/filter.ts'
import rename from '../../src/processors/rename.ts'
import { gauge, sum, testProcessor } from '../../src/testing.ts'
import { describeBatch, startScraping } from '../kit/scraping.ts'
import { cleanups } from '../kit/cleanups.ts'

const at = { timeUnixNano: 1_700_000_000_000_000_000n }

/** What the transforms, one a line of YAML, make of the metrics, which come as they do over the wire. */
async function renamed(transforms: readonly string[], ...metrics: readonly Metric[]): Promise<string[]> {
  const { process } = await testProcessor(rename, `rename: { transforms: [${transforms.join(', ')}] }`)
  return describeBatch(await process(MetricBatch.fromOtlp(MetricBatch.of({ metrics }).toOtlp())))
}

/** Puts points of one name into one metric. */
function joined(...metrics: readonly Metric[]): Metric {
  return metrics[0].withPoints(metrics.flatMap(({ points }) => points))
}

const cpu = joined(
  sum('cpu', 1, { cpu: 'a', state: 'user' }, at),
  sum('cpu', 2, { cpu: 'a', state: 'idle' }, at),
  sum('cpu', 4, { cpu: 'b', state: 'user' }, at),
  sum('cpu', 9, { cpu: 'b', state: 'idle' }, at),
)

describe('rename: names', () => {
  it('gives a metric another name and leaves the others alone', async () => {
    expect(await renamed(['{ include: a, new_name: b }'], gauge('a', 1), gauge('ab', 2))).toEqual([
      '# b: gauge, ',
      '{} double 1',
      '# ab: gauge, ',
      '{} double 2',
    ])
  })

  it('puts what groups found into the new name', async () => {
    const transforms = [
      "{ include: '^system\\.(\\w+)\\.(?<rest>.*)$', match_type: regexp, new_name: '$rest.$${1}.of.$1_$9' }",
      "{ include: '^usage', match_type: regexp, new_name: '$2' }",
    ]
    // `$1_` is a name of its own, and unknown.
    expect(await renamed(transforms, gauge('system.cpu.time', 1), gauge('usage', 2))).toEqual([
      '# time.cpu.of.: gauge, ',
      '{} double 1',
      '# $2: gauge, ',
      '{} double 2',
    ])
  })

  it('lets a transform find what those before it made, copies included', async () => {
    const transforms = [
      '{ include: a, new_name: b }',
      '{ include: b, action: insert, new_name: c }',
      '{ include: c, new_name: d, new_unit: By }',
    ]
    expect(await renamed(transforms, gauge('a', 1))).toEqual([
      '# b: gauge, ',
      '{} double 1',
      '# d: gauge, By',
      '{} double 1',
    ])
  })

  it('copies only the data points whose labels match, one that is not there counting as empty', async () => {
    const transforms = [
      "{ include: cpu, match_type: regexp, action: insert, new_name: busy, experimental_match_labels: { state: '^us', zone: '^$' } }",
      '{ include: cpu, action: insert, new_name: none, experimental_match_labels: { state: us } }',
    ]
    const lines = await renamed(transforms, cpu)
    expect(lines.slice(5)).toEqual([
      '# busy: monotonic cumulative sum, ',
      '{cpu="a",state="user"} double 1',
      '{cpu="b",state="user"} double 4',
    ])
  })

  it('changes nothing but the name, histograms and unknown fields included, and counts every point', async () => {
    const metrics = [
      sum('a', 2n ** 60n, { route: '/' }, { ...at, unit: '{request}', startTimeUnixNano: 1n }),
      gauge('h', 1, {}, at).with({
        type: 'histogram',
        temporality: 'delta',
        points: [new HistogramPoint({ ...at, count: 1, bucketCounts: [1] })],
      }),
    ]
    const unknown = Buffer.from([0xf8, 0x07, 0x2a])
    const bytes = MetricBatch.of({ metrics: [metrics[0].with({ unknown }), metrics[1]] }).toOtlp()
    const yaml = 'rename: { transforms: [{ include: "^(.)$", match_type: regexp, new_name: x.$1 }] }'
    const { process, balance } = await testProcessor(rename, yaml)
    const batch = MetricBatch.fromOtlp(bytes)
    const out = await process(batch)
    // Nothing below the name was read.
    const encodings = (of: MetricBatch) => Array.from(of.metrics(), ({ metric }) => metric.encoded)
    expect(encodings(out)).toEqual(encodings(batch))
    expect(encodings(out)).not.toContain(undefined)
    const expected = metrics.map((metric) => metric.withName(`x.${metric.name}`))
    expect(toOtlpJson(MetricBatch.fromOtlp(out.toOtlp()))).toEqual(toOtlpJson(MetricBatch.of({ metrics: expected })))
    expect(Buffer.from(out.toOtlp()).includes(unknown)).toBe(true)
    expect(balance()).toMatchObject({ accepted: 2, merged: 0, created: 0, handed_on: 2, dropped: {} })
  })

  it('returns the same batch when no name fits', async () => {
    const { process } = await testProcessor(rename, 'rename: { transforms: [{ include: a, new_name: b }] }')
    const batch = MetricBatch.of({ metrics: [gauge('c', 1)] })
    expect(await process(batch)).toBe(batch)
  })
})

describe('rename: labels and values', () => {
  it.each([
    ['sum', ['{state="user"} double 5', '{state="idle"} double 11']],
    ['mean', ['{state="user"} double 2.5', '{state="idle"} double 5.5']],
    ['min', ['{state="user"} double 1', '{state="idle"} double 2']],
    ['max', ['{state="user"} double 4', '{state="idle"} double 9']],
  ])('aggregates labels away by their %s', async (type, points) => {
    const operation = `{ action: aggregate_labels, label_set: [state], aggregation_type: ${type} }`
    const lines = await renamed([`{ include: cpu, operations: [${operation}] }`], cpu)
    expect(lines.slice(1)).toEqual(points)
  })

  it.each([
    ['merged: three of four', '', 2, { merged: 3, created: 0 }],
    ['created, what its copy has more', 'action: insert, new_name: total,', 6, { merged: 0, created: 1 }],
  ])('counts what is aggregated as %s', async (_what, action, points, changed) => {
    const operation = '{ action: aggregate_labels, label_set: [], aggregation_type: sum }'
    const yaml = `rename: { transforms: [{ include: cpu, ${action} operations: [${operation}] }] }`
    const { process, balance } = await testProcessor(rename, yaml)
    const out = await process(MetricBatch.fromOtlp(MetricBatch.of({ metrics: [cpu, gauge('other', 1)] }).toOtlp()))
    expect(out.pointCount).toBe(points)
    expect(MetricBatch.fromOtlp(out.toOtlp()).pointCount).toBe(points)
    expect(balance()).toMatchObject({ accepted: 5, ...changed, handed_on: points, dropped: {} })
  })

  it('aggregates neither over times nor with points without a value, and sums large ints exactly', async () => {
    const metric = joined(
      sum('a', 2n ** 62n, { x: '1' }, { ...at, startTimeUnixNano: 5n }),
      sum('a', 3n, { x: '2' }, { ...at, startTimeUnixNano: 4n }),
      sum('a', 7n, { x: '1' }, { timeUnixNano: 1n }),
    )
    const none = new NumberPoint({ ...at, flags: 1 })
    const operation = '{ action: aggregate_labels, label_set: [], aggregation_type: sum }'
    const { process } = await testProcessor(
      rename,
      `rename: { transforms: [{ include: a, operations: [${operation}] }] }`,
    )
    const out = await process(MetricBatch.of({ metrics: [metric.withPoints([...metric.points, none])] }))
    const points = [...out.metrics()].flatMap(({ metric: { points } }) => points)
    expect(points).toMatchObject([
      { value: 2n ** 62n + 3n, isInt: true, startTimeUnixNano: 4n },
      { value: 7n, timeUnixNano: 1n },
      { value: undefined, hasValue: false },
    ])
  })

  it.each(['sum', 'mean', 'min', 'max'])('aggregates by bytes what it does by objects: the %s', async (type) => {
    const start = { startTimeUnixNano: 5n }
    const metric = joined(
      sum('a', 2n ** 62n, { x: '1', y: 'p', z: 'q' }, { ...at, ...start }),
      sum('a', -3n, { z: 'q', x: '2', y: 'p' }, { ...at, startTimeUnixNano: 4n }),
      sum('a', 0.5, { x: '3', y: 'p' }, { ...at, ...start }),
      sum('a', 7n, { y: 'p', x: '1' }, { ...at, ...start }),
      sum('a', 9n, { y: 'alone' }, { ...at, ...start }),
      sum('a', 1n, { x: '1' }, { ...at, ...start }),
      sum('a', 2n, {}, { ...at, ...start }),
    )
    const operation = `{ action: aggregate_labels, label_set: [y, z], aggregation_type: ${type} }`
    const yaml = `rename: { transforms: [{ include: a, operations: [${operation}] }] }`
    const { process } = await testProcessor(rename, yaml)
    const batch = MetricBatch.of({ metrics: [metric] })
    const byObjects = toOtlpJson(await process(batch))
    const bytes = batch.toOtlp()
    // The second time, the attributes are known.
    for (let time = 0; time < 2; time++) {
      expect(toOtlpJson(await process(MetricBatch.fromOtlp(bytes)))).toEqual(byObjects)
    }
    const [{ metric: result }] = [
      ...MetricBatch.fromOtlp((await process(MetricBatch.fromOtlp(bytes))).toOtlp()).metrics(),
    ]
    expect(result.points).toHaveLength(4)
  })

  it('makes one value of several', async () => {
    const memory = joined(
      gauge('memory', 1, { state: 'slab_a', node: 'x' }, at),
      gauge('memory', 2, { state: 'slab_b', node: 'x' }, at),
      gauge('memory', 4, { state: 'slab', node: 'x' }, at),
      gauge('memory', 8, { state: 'free', node: 'x' }, at),
    )
    const operation =
      '{ action: aggregate_label_values, label: state, aggregated_values: [slab_a, slab_b], new_value: slab, aggregation_type: sum }'
    const lines = await renamed([`{ include: memory, operations: [${operation}] }`], memory)
    expect(lines.slice(1)).toEqual(['{state="slab",node="x"} double 7', '{state="free",node="x"} double 8'])
  })

  it('renames labels and their values, and adds labels', async () => {
    const operations = [
      '{ action: update_label, label: state, new_label: mode, value_actions: [{ value: wait, new_value: iowait }] }',
      '{ action: add_label, new_label: source, new_value: host }',
    ]
    const lines = await renamed(
      [`{ include: a, operations: [${operations.join(', ')}] }`],
      joined(gauge('a', 1, { state: 'wait', mode: 'old' }, at), gauge('a', 2, { cpu: '0', source: 'own' }, at)),
    )
    expect(lines.slice(1)).toEqual(['{mode="iowait",source="host"} double 1', '{cpu="0",source="own"} double 2'])
  })

  it.each([
    ['update', ['# a: gauge, ', '{cpu="0"} double 1', '{mode="idle"} double 4'], { filtered: 3, created: 0 }],
    [
      'insert, new_name: b',
      [
        '# a: gauge, ',
        '{cpu="0"} double 1',
        '{state="idle"} double 2',
        '{state="idle",cpu="1"} double 3',
        '{mode="idle"} double 4',
        '# idle: gauge, ',
        '{state="idle"} double 5',
        '# b: gauge, ',
        '{cpu="0"} double 1',
        '{mode="idle"} double 4',
      ],
      { filtered: 3, created: 5 },
    ],
  ])(
    'deletes the data points whose label has a value, and metrics without any left (%s)',
    async (action, lines, counts) => {
      const points = joined(
        gauge('a', 1, { cpu: '0' }, at),
        gauge('a', 2, { state: 'idle' }, at),
        gauge('a', 3, { state: 'idle', cpu: '1' }, at),
        gauge('a', 4, { mode: 'idle' }, at),
      )
      const transform = `{ include: ., match_type: regexp, action: ${action}, operations: [{ action: delete_label_value, label: state, label_value: idle }] }`
      const { process, balance } = await testProcessor(rename, `rename: { transforms: [${transform}] }`)
      const batch = MetricBatch.of({ metrics: [points, gauge('idle', 5, { state: 'idle' }, at)] })
      expect(describeBatch(await process(MetricBatch.fromOtlp(batch.toOtlp())))).toEqual(lines)
      expect(balance()).toMatchObject({ accepted: 5, merged: 0, ...counts, dropped: {} })
    },
  )

  it('leaves nothing of a batch whose data points are all deleted', async () => {
    const transform = '{ include: a, operations: [{ action: delete_label_value, label: x, label_value: "1" }] }'
    const { process, balance } = await testProcessor(rename, `rename: { transforms: [${transform}] }`)
    expect((await process(MetricBatch.of({ metrics: [gauge('a', 1, { x: 1 })] }))).resources).toEqual([])
    expect(balance()).toMatchObject({ accepted: 1, filtered: 1, handed_on: 0 })
  })

  it('tells what it deleted from what it aggregated', async () => {
    const operations = [
      '{ action: delete_label_value, label: state, label_value: idle }',
      '{ action: aggregate_labels, label_set: [], aggregation_type: sum }',
    ]
    const yaml = `rename: { transforms: [{ include: cpu, operations: [${operations.join(', ')}] }] }`
    const { process, balance } = await testProcessor(rename, yaml)
    await process(MetricBatch.fromOtlp(MetricBatch.of({ metrics: [cpu] }).toOtlp()))
    expect(balance()).toMatchObject({ accepted: 4, filtered: 2, merged: 1, created: 0, handed_on: 1 })
  })

  it.each([
    [3n, 'double 3'],
    [2n ** 53n + 1n, `double ${2 ** 53}`],
    [2.75, 'int 2'],
    [-2.75, 'int -2'],
    [2 ** 62, `int ${2n ** 62n}`],
    [1e19, 'double 10000000000000000000'],
    [NaN, 'double NaN'],
    [-Infinity, 'double -Infinity'],
  ])('toggles the type of %s', async (value, expected) => {
    const lines = await renamed(
      ['{ include: a, operations: [{ action: toggle_scalar_data_type }] }'],
      gauge('a', value, {}, at),
    )
    expect(lines).toEqual(['# a: gauge, ', `{} ${expected}`])
  })

  it.each([
    [gauge('a', 3n), 2, 'int 6'],
    [gauge('a', 3n), 0.5, 'double 1.5'],
    [gauge('a', 0.25), 100, 'double 25'],
    [gauge('a', 2n ** 60n), 3, `int ${3n * 2n ** 60n}`],
    [gauge('a', 2n ** 62n), 4, `double ${2 ** 64}`],
  ])('scales %#', async (metric, factor, value) => {
    const operation = `{ action: experimental_scale_value, experimental_scale: ${factor} }`
    const lines = await renamed([`{ include: a, operations: [${operation}] }`], metric)
    expect(lines).toEqual(['# a: gauge, ', `{} ${value}`])
  })
})

describe('rename: metrics of many data points', () => {
  /** Six thousand points of three hosts, in metrics of at most so many. */
  const many = (size: number): Metric[] =>
    Array.from({ length: 6000 / size }, (_, part) =>
      joined(
        ...Array.from({ length: size }, (_, index) => {
          const number = part * size + index
          return sum('a', number, { host: `h${number % 3}`, path: `/${number % 2000}` }, at)
        }),
      ),
    )
  const pointsOf = (lines: readonly string[]): string[] => lines.filter((line) => !line.startsWith('#'))

  it.each([
    '{ include: a, new_name: b }',
    '{ include: a, operations: [{ action: update_label, label: host, new_label: node }] }',
    '{ include: a, operations: [{ action: add_label, new_label: env, new_value: test }] }',
    '{ include: a, operations: [{ action: delete_label_value, label: host, label_value: h1 }] }',
    '{ include: a, operations: [{ action: toggle_scalar_data_type }] }',
    '{ include: a, operations: [{ action: experimental_scale_value, experimental_scale: -2 }] }',
    '{ include: a, experimental_match_labels: { path: /7 }, action: insert, new_name: c }',
  ])('become what the same data points become in several metrics: %s', async (transform) => {
    const one = await renamed([transform], ...many(6000))
    expect(pointsOf(one)).toHaveLength(transform.includes('delete') ? 4000 : transform.includes('insert') ? 6003 : 6000)
    expect(pointsOf(one)).toEqual(pointsOf(await renamed([transform], ...many(1500))))
  })

  it('are divided by labels', async () => {
    const transform =
      '{ include: a, experimental_match_labels: { host: h2 }, action: group, group_resource_labels: { x: y } }'
    const lines = await renamed([transform], ...many(6000))
    expect(pointsOf(lines)).toEqual(pointsOf(await renamed([transform], ...many(1500))))
  })

  it.each([
    '{ include: a, operations: [{ action: aggregate_labels, label_set: [path], aggregation_type: max }] }',
    '{ include: a, match_type: regexp, action: combine, new_name: b, aggregation_type: max }',
  ])('stay apart where their labels differ: %s', async (transform) => {
    const numbered = joined(...Array.from({ length: 6000 }, (_, index) => sum('a', index, { path: `/${index}` }, at)))
    const lines = pointsOf(await renamed([transform], numbered))
    expect(lines).toEqual(pointsOf(await renamed(['{ include: a, new_name: b }'], numbered)))
  })

  it.each([
    '{ include: a, operations: [{ action: aggregate_labels, label_set: [host], aggregation_type: sum }] }',
    '{ include: a, match_type: regexp, action: combine, new_name: a, aggregation_type: sum, operations: [{ action: aggregate_labels, label_set: [host], aggregation_type: sum }] }',
  ])('are aggregated over all of them: %s', async (transform) => {
    const total = (host: number): number => (2000 * (host + 5997 + host)) / 2
    expect(pointsOf(await renamed([transform], ...many(6000)))).toEqual(
      [0, 1, 2].map((host) => expect.stringMatching(new RegExp(`h${host}.* ${total(host)}\\b`))),
    )
  })
})

describe('rename: settings', () => {
  it('goes by the names it has in the collector, which writes its settings the same', async () => {
    for (const name of ['metrics_transform', 'metricstransform']) {
      expect(await loadBuiltin('processor', name)).toBe(rename)
      const yaml = `${name}: { transforms: [{ include: a, match_type: strict, action: update, new_name: b, operations: [] }] }`
      await expect(checkComponent(rename, yaml)).resolves.toBeDefined()
    }
  })

  it.each([
    ['{}', 'rename.transforms: is required'],
    ['{ transforms: [{ include: a }] }', 'transforms[0]: changes nothing'],
    ['{ transforms: [{ include: a, action: insert }] }', 'transforms[0].new_name: is missing; insert needs it'],
    ['{ transforms: [{ include: a, new_name: "" }] }', 'transforms[0].new_name: must not be empty'],
    ['{ transforms: [{ include: "(", match_type: regexp, new_name: b }] }', 'transforms[0].include: is not a regular'],
    [
      '{ transforms: [{ include: a, new_name: b, experimental_match_labels: { x: y } }] }',
      'transforms[0].experimental_match_labels: allows, with `action: update`, only the operations update_label, toggle_scalar_data_type, experimental_scale_value',
    ],
    [
      '{ transforms: [{ include: a, experimental_match_labels: { x: y }, operations: [{ action: add_label, new_label: b, new_value: c }] }] }',
      'transforms[0].experimental_match_labels: allows, with `action: update`, only',
    ],
    [
      '{ transforms: [{ include: a, operations: [{ action: aggregate_labels, label_set: [] }] }] }',
      'transforms[0].operations[0].aggregation_type: is missing; aggregate_labels needs it',
    ],
    [
      '{ transforms: [{ include: a, operations: [{ action: add_label, new_label: b, new_value: c, label: d }] }] }',
      'operations[0].label: has no meaning for add_label, which takes new_label, new_value',
    ],
    [
      '{ transforms: [{ include: a, operations: [{ action: update_label, label: d }] }] }',
      'operations[0]: changes nothing: give new_label or value_actions',
    ],
    [
      '{ transforms: [{ include: a, operations: [{ action: experimental_scale_value, experimental_scale: 0 }] }] }',
      'experimental_scale: must not be 0',
    ],
    [
      '{ transforms: [{ include: a, action: delete }] }',
      'transforms[0].action: must be `update`, `insert`, `combine` or `group`',
    ],
    [
      '{ transforms: [{ include: a, action: combine, new_name: b }] }',
      'transforms[0].aggregation_type: is missing; combine needs it',
    ],
    [
      '{ transforms: [{ include: a, action: combine, new_name: b.$1, aggregation_type: sum }] }',
      'transforms[0].new_name: must be one name; the texts of groups become labels',
    ],
    [
      '{ transforms: [{ include: a, action: combine, new_name: b, aggregation_type: sum, submatch_case: lower }] }',
      'transforms[0].submatch_case: needs `match_type: regexp`',
    ],
    [
      '{ transforms: [{ include: a, action: combine, new_name: b, aggregation_type: avg }] }',
      'transforms[0].aggregation_type: must be `sum`, `mean`, `min`, `max`, `count` or `median`',
    ],
    [
      '{ transforms: [{ include: a, action: group }] }',
      'transforms[0].group_resource_labels: is missing; group needs it',
    ],
    [
      '{ transforms: [{ include: a, action: group, group_resource_labels: { b: c }, new_name: d }] }',
      'transforms[0].new_name: has no meaning for group, which takes group_resource_labels, experimental_match_labels',
    ],
    [
      '{ transforms: [{ include: a, new_name: b, submatch_case: upper }] }',
      'transforms[0].submatch_case: has no meaning for update',
    ],
    [
      '{ transforms: [{ include: a, operations: [{ action: toggle_scalar_data_type, label: b }] }] }',
      'operations[0].label: has no meaning for toggle_scalar_data_type, which takes no settings',
    ],
    [
      '{ transforms: [{ include: a, operations: [{ action: delete_label_value, label: b }] }] }',
      'operations[0].label_value: is missing; delete_label_value needs it',
    ],
    [
      '{ transforms: [{ include: a, operations: [{ action: add_label, new_label: b, new_value: "v{{version}}" }] }] }',
      'operations[0].new_value: must not contain {{version}}',
    ],
  ])('refuses %s', async (yaml, message) => {
    await expect(testProcessor(rename, `rename: ${yaml}`)).rejects.toThrow(message)
  })
})

describe('config/heka_names.yaml', () => {
  it("yields the Heka Insights Agent's metrics from those of a host", async () => {
    const cases = new URL('../cases/heka_names/', import.meta.url).pathname
    const shipped = parse(readFileSync(new URL('../../config/heka_names.yaml', import.meta.url), 'utf8')) as {
      receivers: { host_metrics: object }
      processors: Record<string, object>
    }
    const folder = await mkdtemp(join(tmpdir(), 'heka-names-'))
    cleanups.push(() => rm(folder, { recursive: true }))
    const settings = { ...shipped.receivers.host_metrics, collection_interval: '1ms', initial_delay: '0s' }
    const root = join(folder, 'root')
    await symlink(join(cases, '0'), root)
    const scraping = await startScraping(JSON.stringify({ host_metrics: { ...settings, root_path: root } }))
    const entry = (id: string) => JSON.stringify({ [id]: shipped.processors[id] })
    const renaming = await testProcessor(rename, entry('rename/heka_names'))
    const filtering = await testProcessor(filter, entry('filter/heka_names'))

    await scraping.next()
    await symlink(join(cases, '1'), `${root}.next`)
    await moveTo(`${root}.next`, root)
    const out = await filtering.process(await renaming.process(await scraping.next()))
    expect(`${describeBatch(out).join('\n')}\n`).toEqual(readFileSync(join(cases, 'expected.txt'), 'utf8'))
  })
})
