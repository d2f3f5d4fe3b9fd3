import type { MetricDeclaration, Scraper } from './scraper.ts'

/** The part of the receiver's page that follows from the tables of its scrapers, in Markdown. */
export function describeScrapers(scrapers: Readonly<Record<string, Scraper>>): string {
  const tables = Object.entries(scrapers).map(
    ([name, { doc, metrics }]) => `### ${name}

${doc}

| Metric | Unit | Type | Attributes | Default | |
| --- | --- | --- | --- | --- | --- |
${Object.entries(metrics)
  .map(([metric, declaration]) => tableRow(metric, declaration))
  .join('\n')}`,
  )
  const rows = Object.values(scrapers).flatMap(({ metrics }) => Object.entries(metrics))
  const list = (on: MetricDeclaration['on']) =>
    rows
      .filter(([, declaration]) => declaration.on === on)
      .map(([metric]) => `- \`${metric}\``)
      .join('\n')
  return `## Metrics

Sums are cumulative since the system started. A gauge that is a share or mean over time needs two scrapes.

${tables.join('\n\n')}

## Other systems than Linux

There the figures come from systeminformation and Node.js. These metrics cannot be filled and have no points:

${list('linux')}

On Windows nor can these:

${list('unix')}`
}

function tableRow(
  metric: string,
  { doc, unit, type, monotonic, value, attributes, enabled }: MetricDeclaration,
): string {
  const kind = `${monotonic ? 'monotonic ' : ''}${type}, ${value}`
  const keys = (attributes ?? []).map((key) => `\`${key}\``).join(', ')
  return `| \`${metric}\` | \`${unit}\` | ${kind} | ${keys} | ${enabled ? 'on' : 'off'} | ${doc} |`
}
