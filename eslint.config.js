import eslint from '@eslint/js'
import importPlugin from 'eslint-plugin-import-x'
import tseslint from 'typescript-eslint'

/**
 * The import arrows of docs/architecture.md: each folder may import itself and what stands before it.
 * `errors, formats, clock, regular_expression, terminal, secrets, otlp <- component, metric_selection, host, http, datadog <- receivers, processors, exporters <- pipeline <- cli`
 */
const arrows = [
  {
    target: [
      './src/errors.ts',
      './src/formats.ts',
      './src/clock.ts',
      './src/regular_expression.ts',
      './src/regular_expression',
      './src/terminal.ts',
      './src/secrets.ts',
      './src/otlp',
    ],
    from: ['./src/component.ts', './src/metric_selection.ts', './src/host', './src/http', './src/datadog'],
  },
  {
    target: [
      './src/errors.ts',
      './src/formats.ts',
      './src/clock.ts',
      './src/regular_expression.ts',
      './src/regular_expression',
      './src/terminal.ts',
      './src/secrets.ts',
      './src/otlp',
      './src/component.ts',
      './src/metric_selection.ts',
      './src/host',
      './src/http',
      './src/datadog',
    ],
    from: ['./src/receivers', './src/processors', './src/exporters'],
  },
  {
    target: ['./src/!(pipeline|cli|index.ts|testing.ts|testing)/**/*', './src/!(index|testing).ts'],
    from: ['./src/pipeline', './src/cli'],
  },
  { target: './src/pipeline', from: ['./src/receivers', './src/processors', './src/exporters', './src/cli'] },
  { target: './src/receivers', from: ['./src/processors', './src/exporters'] },
  { target: './src/processors', from: ['./src/receivers', './src/exporters'] },
  { target: './src/exporters', from: ['./src/receivers', './src/processors'] },
]

/** Time comes from `src/clock.ts` alone, so that a test or a simulation can move it. */
const message = 'Use the clock: `context.clock` in a component (src/clock.ts).'

const time = {
  'no-restricted-globals': [
    'error',
    ...['setTimeout', 'setInterval', 'clearTimeout', 'clearInterval'].map((name) => ({ name, message })),
  ],
  'no-restricted-properties': [
    'error',
    { object: 'Date', property: 'now', message },
    { object: 'performance', message },
    { object: 'process', property: 'hrtime', message },
    { object: 'AbortSignal', property: 'timeout', message },
  ],
  'no-restricted-syntax': [
    'error',
    { selector: 'NewExpression[callee.name="Date"][arguments.length=0]', message },
    {
      selector:
        'ImportDeclaration[source.value="rxjs"] > ImportSpecifier[imported.name=/^(asyncScheduler|interval|timer)$/]',
      message,
    },
  ],
  'no-restricted-imports': [
    'error',
    { name: 'node:timers', message },
    { name: 'node:timers/promises', importNames: ['setTimeout', 'setInterval', 'scheduler'], message },
  ],
}

export default tseslint.config(
  { ignores: ['dist', 'coverage', 'test/cases'] },
  eslint.configs.recommended,
  tseslint.configs.recommendedTypeChecked,
  {
    languageOptions: {
      parserOptions: {
        projectService: { allowDefaultProject: ['*.js', 'scripts/*.js', 'config/*/*.js', 'config/*/*.mjs'] },
      },
    },
    plugins: { 'import-x': importPlugin },
    rules: {
      'import-x/no-restricted-paths': ['error', { zones: arrows }],
      'import-x/no-cycle': 'error',
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/prefer-promise-reject-errors': 'off',
    },
    settings: { 'import-x/extensions': ['.ts'], 'import-x/parsers': { '@typescript-eslint/parser': ['.ts'] } },
  },
  { files: ['src/**/*.ts'], ignores: ['src/clock.ts'], rules: time },
  { files: ['**/*.js', '**/*.mjs'], extends: [tseslint.configs.disableTypeChecked] },
)
