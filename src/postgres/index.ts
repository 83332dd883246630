/** `import … from 'baton/postgres'`: a store that checks the token. On its own, so that a handler loads nothing else. */
export { fencedTransaction } from './fenced-transaction';
export type {
  FencedOutcome,
  FencedTransactionOptions,
  FencePool,
  FencePoolClient,
} from './fenced-transaction';
export { fenceMessage } from './fence-message';
export type { FenceClient, FencedMessage } from './fence-message';
export { fenceTables } from './fence-tables';
export type { FenceSchema } from './fence-tables';
export { StaleTokenError } from './stale-token-error';
