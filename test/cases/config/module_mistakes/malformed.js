const setting = { doc: 'Something.', format: 'nat', default: 1 }

export default [
  'text',
  { kind: 'source' },
  {
    kind: 'processor',
    type: 'Not-Snake',
    summary: '',
    desciption: 'x',
    changes: 'some',
    config: {
      without_doc: { format: 'string', default: '' },
      without_default: { doc: 'Something.', format: 'string' },
      wrong_format: { doc: 'Something.', format: 'integer', default: 1 },
      wrong_default: { doc: 'Something.', format: 'duration', default: 10 },
      nested: { list: { doc: 'Something.', format: { list: { settings: { inner: 1 } } }, default: [] } },
      several: { format: 'integer', secret: 'yes' },
      misspelt: { ...setting, defualt: 1, env: 'NAME', secret: 'yes' },
      two_formats: { ...setting, format: { list: 'nat', map: 'nat' } },
      no_words: { ...setting, format: [] },
      changed_badly: { ...setting, changed: { in: '1.0.0' } },
      changed_to_wrong: { doc: 'Something.', format: 'nat', default: 1, changed: { in: '1.0.0', from: 'one' } },
      changed_secret: { doc: 'Something.', format: 'string', default: 'a', secret: true, changed: { in: '1.0.0', from: 'hunter2' } },
    },
    examples: [{ yaml: 'x:' }],
  },
  {
    kind: 'exporter',
    type: 'shadow',
    summary: 'Has a setting the pipeline owns.',
    timeout: 5,
    config: { sending_queue: setting },
    create() {},
  },
  { kind: 'receiver', type: 'no_config', summary: 'Without settings.', create() {} },
]
