/**
 * A custom processor in plain JavaScript. It imports nothing, so the file works wherever it lies.
 *
 * @typedef {{ metric_names: readonly string[], factor: number, unit: string | undefined }} Config
 */
export default {
  kind: 'processor',
  type: 'scale',
  summary: 'Multiplies the values of some metrics and gives them the unit that fits.',
  config: {
    metric_names: {
      doc: 'The gauges and sums to scale.',
      format: { list: 'string' },
      default: null,
    },
    factor: {
      doc: 'Each value is multiplied by this.',
      format: 'number',
      default: null,
    },
    unit: {
      doc: 'The unit of the scaled values, in UCUM. Unset: the unit stays.',
      format: 'string',
      default: undefined,
    },
  },
  examples: [
    {
      title: 'Shares as percentages',
      yaml: "scale: { metric_names: [system.cpu.utilization], factor: 100, unit: '%' }",
    },
  ],

  /** @param {Config} config */
  *check({ factor }) {
    if (factor === 0) yield { path: 'factor', message: 'must not be 0: it would make every value the same' }
  },

  /** @param {import('heka-pipeline').Context<Config>} context */
  create({ config }) {
    const names = new Set(config.metric_names)
    return (/** @type {import('heka-pipeline').MetricBatch} */ batch) =>
      batch.mapMetrics((metric) => {
        if (!names.has(metric.name)) return metric
        const points = metric.points.map((point) =>
          point.kind === 'number' && point.value !== undefined
            ? point.with({ value: Number(point.value) * config.factor, isInt: false })
            : point,
        )
        return metric.with({ points, unit: config.unit ?? metric.unit })
      })
  },
}
