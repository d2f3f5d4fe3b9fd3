import { defineComponent } from '../component/define.ts'
import { keepInParts, repeatedKeys, tagMerger } from '../datadog/tags.ts'
import { inTurns, partByPart } from '../component/part_by_part.ts'

export default defineComponent({
  kind: 'processor',
  type: 'tag_merge',
  signals: ['metrics', 'logs', 'traces'],
  summary: 'Adds the same tags to all data that passes.',
  description: `
Each tag becomes a resource attribute. Where the data has an attribute of the same key, on the resource or on a data point,
\`on_conflict\` says which of the two counts; the other one is gone, so the result is the same for every destination.
With \`keep\`, where only some data points of a resource have the key, the tag becomes an attribute of the others.
Attributes that stay keep their order, new ones follow in the order of the setting. Attributes of log records and spans stay as they are.
`,
  config: {
    tags: {
      doc: 'The tags, each as `key:value`, as a list or as one text with commas.',
      format: 'tags',
      default: null,
    },
    on_conflict: {
      doc: 'What counts when the data has the key already: these tags (`override`), or what is there (`keep`).',
      format: ['override', 'keep'],
      default: 'override',
    },
  },
  examples: [
    {
      title: 'Who owns this host',
      yaml: `
tag_merge:
  tags:
    - env:production
    - team:platform
`,
    },
    { title: 'Only where the data does not say it', yaml: 'tag_merge: { tags: "env:production", on_conflict: keep }' },
  ],
  check: ({ tags }) => repeatedKeys(tags),
  create({ config: { tags, on_conflict } }) {
    const merge = tagMerger(tags, on_conflict)
    return on_conflict === 'override' ? partByPart(merge) : inTurns(merge, (batch) => keepInParts(batch, tags))
  },
})
