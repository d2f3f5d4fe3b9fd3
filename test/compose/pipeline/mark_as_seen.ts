import { defineComponent } from 'heka-pipeline'

export default defineComponent({
  kind: 'processor',
  type: 'mark_as_seen',
  summary: 'Marks what passes, to show that processors in TypeScript run in the image, too.',
  config: {},
  create() {
    return (batch) =>
      batch.mapResources((resource) => resource.withAttributes(resource.attributes.with({ seen: 'yes' })))
  },
})
