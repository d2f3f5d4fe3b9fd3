/** A receiver with settings of every form, which keeps the cases apart from the built-in ones. */
export default {
  kind: 'receiver',
  type: 'test_source',
  summary: 'Emits nothing.',
  config: {
    every: { doc: 'A time.', format: 'duration', default: '10s' },
    switches: {
      doc: 'Settings whose names hold dots.',
      format: {
        settings: {
          'cpu.time': { enabled: { doc: 'On or off.', format: 'boolean', default: true } },
          'cpu.utilization': { enabled: { doc: 'On or off.', format: 'boolean', default: false } },
        },
      },
      default: undefined,
    },
    labels: { doc: 'Texts by free keys.', format: { map: 'string' }, default: { kind: 'test' } },
    parts: {
      doc: 'Settings in a list.',
      format: {
        list: {
          settings: {
            name: { doc: 'The name.', format: 'string', default: 'a' },
            value: { doc: 'The value.', format: 'number', default: null },
          },
        },
      },
      default: [],
    },
    size: { doc: 'A size.', format: 'bytes', default: '1MiB' },
    pattern: { doc: 'A regular expression.', format: 'regexp', default: undefined },
    file: { doc: 'A file.', format: 'path', default: undefined },
  },
  *check({ every }) {
    if (every > 3_600_000) yield { path: 'every', message: 'must be at most 1h' }
    if (every > 60_000) yield { path: 'every', message: 'is a long time', severity: 'warning' }
  },
  async *create() {},
}
