'use strict';

/** Sources run uncompiled, as they are; only the child processes that tests start run from dist/. */
const shared = {
  rootDir: __dirname,
  testEnvironment: 'node',
  transform: { '^.+\\.ts$': ['@swc/jest', { jsc: { target: 'es2022' }, sourceMaps: 'inline' }] },
  modulePathIgnorePatterns: ['<rootDir>/dist/'],
  globalSetup: '<rootDir>/test/support/global-setup.ts',
  globalTeardown: '<rootDir>/test/support/global-teardown.ts',
};

/**
 * `fast` waits more than it computes and runs four files at a time; `pods` starts real pods, which mostly wait for a
 * TTL; `serial` measures times or needs the machine for itself. `npm test` runs one project
 * after the other (scripts/run-tests.mjs). `kubernetes` (`npm run test:kubernetes`) needs programs that take minutes to
 * build.
 */
module.exports = {
  // Not in the temporary folder, which is another one in every run (test/support/test-environment.ts).
  cacheDirectory: '<rootDir>/node_modules/.cache/jest',
  testTimeout: 60_000,
  projects: [
    {
      ...shared,
      displayName: 'fast',
      testMatch: ['<rootDir>/test/**/*.test.ts'],
      testPathIgnorePatterns: ['pods', 'serial', 'images', 'kubernetes', 'nomad'].map(
        (folder) => `<rootDir>/test/${folder}/`,
      ),
    },
    { ...shared, displayName: 'pods', testMatch: ['<rootDir>/test/pods/**/*.test.ts'] },
    { ...shared, displayName: 'serial', testMatch: ['<rootDir>/test/serial/**/*.test.ts'] },
    {
      ...shared,
      displayName: 'kubernetes',
      testMatch: ['<rootDir>/test/kubernetes/**/*.test.ts', '<rootDir>/test/nomad/**/*.test.ts'],
    },
  ].map((project) => ({ ...project, cacheDirectory: '<rootDir>/node_modules/.cache/jest' })),
};
