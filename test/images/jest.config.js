'use strict';

/** `npm run test:images`, which starts the Docker engine that these tests use. */
module.exports = {
  rootDir: __dirname,
  testEnvironment: 'node',
  transform: { '^.+\\.ts$': ['@swc/jest', { jsc: { target: 'es2022' }, sourceMaps: 'inline' }] },
  reporters: ['default', './progress-reporter.js'],
  testTimeout: 600_000,
};
