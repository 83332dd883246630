/** Apart from the contract, so that a listener, which reads receipts, does not load Temporal's SDK for it. */

/** When a hook is asked: before anything stops, after the hand-over is committed, after the first message. */
export const hookStages = ['before-release', 'after-release', 'after-takeover'] as const;
export type HookStage = (typeof hookStages)[number];
