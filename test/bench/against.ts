import { spawnSync } from 'node:child_process'
import { loadavg } from 'node:os'
import { join, resolve } from 'node:path'

/*
 * `npm run bench:against -- <checkout>`: the rows of `npm run bench` with this code and with that of another checkout, which has
 * its packages installed, in turns, each row in a process of its own. What counts is the ratio: the median of seven pairs.
 * BENCH_ROW chooses rows by a regular expression, BENCH_SECONDS sets how long each runs (1).
 */

const PAIRS = 7
const [, , other] = process.argv
if (other === undefined) throw new Error('name the other checkout: npm run bench:against -- <folder>')
const trees = [resolve('.'), resolve(other)]
const scripts = trees.map((tree, index) => {
  const script = join(tree, `node_modules/.cache/bench_against_${index}.mjs`)
  const options = ['--bundle', '--packages=external', '--platform=node', '--format=esm', '--log-level=warning']
  run(tree, [join(tree, 'node_modules/.bin/esbuild'), 'test/bench/otlp.ts', ...options, `--outfile=${script}`])
  return script
})

/*
 * The allocator of glibc keeps the memory that it was given back, instead of returning it to the system and taking it again: whether it
 * does depends on what happens to lie behind, and is a third of the time of large requests, for the same code.
 */
const KEEPS_MEMORY = { MALLOC_TRIM_THRESHOLD_: String(2 ** 30), MALLOC_MMAP_THRESHOLD_: String(2 ** 25) }

/** Million points a second of CPU time, by row. */
function rates(index: number): Map<string, number> {
  const env = { BENCH_SECONDS: '1', ...KEEPS_MEMORY, ...process.env, BENCH_OURS: '1' }
  const out = run(trees[index], [process.execPath, scripts[index]], env)
  const found = new Map<string, number>()
  let payload = ''
  for (const line of out.split('\n')) {
    const [, row, rate] = /^ {2}(.+?) +([\d.]+) M\/s/.exec(line) ?? []
    if (row !== undefined) found.set(`${payload}: ${row}`, Number(rate))
    else if (line !== '') payload = line
  }
  return found
}

function run(cwd: string, [command, ...args]: readonly string[], env: NodeJS.ProcessEnv = process.env): string {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd, env, encoding: 'utf8' })
  if (status !== 0) throw new Error(`${command} failed in ${cwd}: ${stderr}`)
  return stdout
}

const loads = [loadavg()[0]]
const ratios = new Map<string, number[]>()
for (let pair = 0; pair < PAIRS; pair++) {
  // Whoever is first in one pair is second in the next.
  const order = pair % 2 === 0 ? [0, 1] : [1, 0]
  const [first, second] = order.map(rates)
  const [mine, theirs] = pair % 2 === 0 ? [first, second] : [second, first]
  for (const [row, rate] of mine) {
    const before = theirs.get(row)
    if (before !== undefined) ratios.set(row, [...(ratios.get(row) ?? []), rate / before])
  }
  loads.push(loadavg()[0])
}
console.log(
  `Load average ${loads.map((load) => load.toFixed(1)).join(' ')}. Points per CPU second, this code to the other:`,
)
for (const [row, all] of ratios) {
  const sorted = all.toSorted((left, right) => left - right)
  const pairs = all.map((ratio) => ratio.toFixed(2)).join(' ')
  console.log(`${sorted[sorted.length >> 1].toFixed(3)}  ${row}  (${pairs})`)
}
