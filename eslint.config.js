import eslint from '@eslint/js'
import tseslint from 'typescript-eslint'

/** Time comes from `src/time/clock.ts` alone, so that a test or a simulation can move it. */
const message = 'Use the clock: `context.clock` in a component (src/time/clock.ts).'

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
    rules: {
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/prefer-promise-reject-errors': 'off',
    },
  },
  { files: ['src/**/*.ts'], ignores: ['src/time/clock.ts'], rules: time },
  { files: ['**/*.js', '**/*.mjs', '**/*.cjs'], extends: [tseslint.configs.disableTypeChecked] },
  {
    files: ['**/*.cjs'],
    languageOptions: { sourceType: 'commonjs' },
    rules: { '@typescript-eslint/no-require-imports': 'off' },
  },
)
