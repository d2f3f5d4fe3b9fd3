import { defineComponent } from '../component/define.ts'
import { keepInParts, repeatedKeys, tagMerger } from '../datadog/tags.ts'
import { inTurns, partByPart } from '../component/part_by_part.ts'

export default defineComponent({
  kind: 'processor',
  type: 'tag_merge',
  signals: ['metrics', 'logs', 'traces'],
  summary: 'Adds the same tags to all data that passes.',
  description: `
Each tag becomes a resource attribute. If the data has an attribute with the same key, on the resource or on a data point,
\`on_conflict\` decides which of the two is kept; the other one is removed, so the result is the same for every destination. With
\`keep\`, if only some data points of a resource have the key, the tag becomes an attribute of the others. Existing attributes keep
their order, and new ones follow in the order of the setting. Attributes of log records and spans are not changed.
`,
  config: {
    tags: {
      doc: 'The tags, each as `key:value`, as a list or as one text with commas.',
      format: 'tags',
      default: null,
    },
    on_conflict: {
      doc: 'What happens if the data already has the key: these tags replace it (`override`), or the data keeps its own (`keep`).',
      format: ['override', 'keep'],
      default: 'override',
    },
  },
  examples: [
    {
      title: 'Naming the owner of this host',
      yaml: `
tag_merge:
  tags:
    - env:production
    - team:platform
`,
    },
    { title: 'Only for data without the tag', yaml: 'tag_merge: { tags: "env:production", on_conflict: keep }' },
  ],
  check: ({ tags }) => repeatedKeys(tags),
  create({ config: { tags, on_conflict } }) {
    const merge = tagMerger(tags, on_conflict)
    return on_conflict === 'override' ? partByPart(merge) : inTurns(merge, (batch) => keepInParts(batch, tags))
  },
})
