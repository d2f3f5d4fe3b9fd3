/** Imports nothing: a bare literal. */
export default {
  kind: 'processor',
  type: 'label',
  summary: 'Sets attributes of the resource.',
  config: { words: { doc: 'Attributes by key.', format: { map: 'string' }, default: {} } },
  create({ config }) {
    return (batch) => batch.mapResources((resource) => resource.withAttributes(resource.attributes.with(config.words)))
  },
}
