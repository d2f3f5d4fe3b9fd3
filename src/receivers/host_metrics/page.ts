import type { MetricDeclaration, Scraper } from './scraper.ts'

/** The part of the receiver's page that is generated from the tables of its scrapers, in Markdown. */
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

Sums are cumulative since the system started. A gauge that is a fraction or mean over time needs two scrapes.

${tables.join('\n\n')}

## Fewer series

Attributes that a metric does not keep (\`attributes\`) are dropped at the source, and points that are equal without them become
one, by its \`aggregation_strategy\`: \`sum\`, \`avg\`, \`min\` or \`max\`. By default, sums are added up and gauges are averaged; the
average of whole numbers is a double. Counters (monotonic sums) can only be added up. Their sum starts at the boot, as each of
them does, and never falls: a counter that vanishes, such as that of a removed interface, keeps its part of the sum. After a
restart of the process, only the existing counters are added up.

These attributes cannot be dropped, because their values overlap: ${requiredAttributes(rows)}. Keep \`state\` and \`direction\`
if metrics are sent to Datadog under the names of its Agent (\`host_metrics_names\`): these metrics are made from them, and are missing without them.

## Other systems than Linux

On other systems, the figures come from systeminformation and Node.js. These metrics are not available there and have no points:

${list('linux')}

On Windows, these are not available either:

${list('unix')}`
}

function requiredAttributes(rows: readonly (readonly [string, MetricDeclaration])[]): string {
  return rows
    .flatMap(([metric, { required = [] }]) => required.map((attribute) => `\`${attribute}\` of \`${metric}\``))
    .join(', ')
}

function tableRow(
  metric: string,
  { doc, unit, type, monotonic, value, attributes, enabled }: MetricDeclaration,
): string {
  const kind = `${monotonic ? 'monotonic ' : ''}${type}, ${value}`
  const keys = (attributes ?? []).map((key) => `\`${key}\``).join(', ')
  return `| \`${metric}\` | \`${unit}\` | ${kind} | ${keys} | ${enabled ? 'on' : 'off'} | ${doc} |`
}
