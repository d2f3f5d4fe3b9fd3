import { decimal } from '../../host/numbers.ts'
import { forEachLine } from './proc_text.ts'
import { defineScraper, gauge } from './scraper.ts'

export const system = defineScraper({
  doc: 'How long the system has been running.',
  metrics: {
    'system.uptime': { ...gauge, doc: 'Seconds since the system started.', unit: 's', enabled: true },
  },
  settings: {},
  linux(_config, root) {
    return (scrape) => {
      forEachLine(scrape, '/proc/uptime', root.text('proc/uptime'), ([seconds]) => {
        scrape.record('system.uptime', decimal(seconds))
      })
    }
  },
  portable(_config, { os }) {
    return (scrape) => scrape.record('system.uptime', os.uptime())
  },
})
