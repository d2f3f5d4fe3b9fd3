import process from 'node:process'

/** @type {import('jest').Config} */
export default {
  roots: ['<rootDir>/test'],
  testMatch: ['**/*.test.ts'],
  // Processes are started and sockets opened: on a busy machine that takes its time.
  testTimeout: 30_000,
  // Jest leaves a core idle, which of two is half.
  maxWorkers: '100%',
  // `*.slow.test.ts` takes its time: `npm run test:all` runs these as well.
  testPathIgnorePatterns: [
    '/node_modules/',
    '<rootDir>/test/bench/',
    ...(process.env.TEST_ALL === undefined ? ['\\.slow\\.test\\.ts$'] : []),
  ],
  extensionsToTreatAsEsm: ['.ts'],
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      { jsc: { parser: { syntax: 'typescript' }, target: 'es2023' }, module: { type: 'es6' }, sourceMaps: 'inline' },
    ],
  },
}
