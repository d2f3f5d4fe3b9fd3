export default {
  kind: 'processor',
  type: 'fail_on',
  summary: 'Throws when a batch holds a value.',
  config: { value: { doc: 'The value.', format: 'number', default: null } },
  create({ config }) {
    return (batch) => {
      for (const { metric } of batch.metrics()) {
        if (metric.points.some(({ value }) => value === config.value)) throw new Error('not this one')
      }
      return batch
    }
  },
}
