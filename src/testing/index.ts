/** For the tests of a project that uses Baton: docs/testing-your-handler.md. */
export { startTestSystem, TestSystem } from './test-system';
export type { TestSystemOptions, Takeover } from './test-system';
export type { TestVerdict } from './test-verdict';
export type { Duplicate, Execution, Holder, TokenChange } from '../demo/ledger-checker';
