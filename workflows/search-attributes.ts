import { defineSearchAttributeKey, type SearchAttributeUpdatePair } from '@temporalio/common';
import type { RegionState } from './region-state';

/** By these the Temporal UI's list of workflows shows and finds who is active. */
export const searchAttributeKeys = {
  lock: defineSearchAttributeKey('BatonLock', 'KEYWORD'),
  region: defineSearchAttributeKey('BatonRegion', 'KEYWORD'),
  state: defineSearchAttributeKey('BatonState', 'KEYWORD'),
  /** The present tenure's; without one it is not set. */
  token: defineSearchAttributeKey('BatonToken', 'INT'),
};

/** The attributes' values, and a key that changes with them: each change costs an event in history. */
export function searchAttributesOf(state: RegionState): { key: string; pairs: SearchAttributeUpdatePair[] } {
  const { lock, region, phase, tenure } = state;
  return {
    key: `${phase} ${tenure?.token ?? ''}`,
    pairs: [
      { key: searchAttributeKeys.lock, value: lock },
      { key: searchAttributeKeys.region, value: region },
      { key: searchAttributeKeys.state, value: phase },
      { key: searchAttributeKeys.token, value: tenure?.token ?? null },
    ],
  };
}
