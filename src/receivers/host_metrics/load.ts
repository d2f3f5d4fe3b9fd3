import { decimal } from '../../host/numbers.ts'
import { forEachLine } from './proc_text.ts'
import { defineScraper, gauge } from './scraper.ts'
import type { Scrape } from './scraper.ts'

const average = { ...gauge, unit: '{thread}', enabled: true, on: 'unix' } as const

const metrics = {
  'system.cpu.load_average.1m': { ...average, doc: 'Average over the last minute.' },
  'system.cpu.load_average.5m': { ...average, doc: 'Average over the last 5 minutes.' },
  'system.cpu.load_average.15m': { ...average, doc: 'Average over the last 15 minutes.' },
} as const

export const load = defineScraper({
  doc: 'Load averages: how many threads were running or ready to run.',
  metrics,
  settings: {
    cpu_average: {
      doc: 'Whether the averages are divided by the number of logical CPUs.',
      format: 'boolean',
      default: false,
    },
  },
  linux(config, root) {
    return (scrape) => {
      const cpus = config.cpu_average ? root.text('proc/stat').match(/^cpu\d/gm)?.length : 1
      if (cpus === undefined) throw new Error('/proc/stat lists no CPU, so the load averages cannot be divided.')
      forEachLine(scrape, '/proc/loadavg', root.text('proc/loadavg'), (fields, figure) => {
        record(
          scrape,
          [0, 1, 2].map((index) => figure(() => decimal(fields[index]))),
          cpus,
        )
      })
    }
  },
  portable(config, { os }) {
    return (scrape) => record(scrape, os.loadavg(), config.cpu_average ? os.cpus().length : 1)
  },
})

function record(scrape: Scrape<typeof metrics>, averages: number[], cpus: number): void {
  scrape.record('system.cpu.load_average.1m', averages[0] / cpus)
  scrape.record('system.cpu.load_average.5m', averages[1] / cpus)
  scrape.record('system.cpu.load_average.15m', averages[2] / cpus)
}
