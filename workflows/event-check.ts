import { hookStages } from './hook-stages';
import type { Happening } from './region-event';
import {
  isRecord,
  list,
  number,
  optional,
  orNull,
  record,
  type Shape,
  text,
  variants,
  flag,
  whole,
  within,
  wrongIn,
} from './shape';

const party = record({ region: text, pod: text, token: whole });
const tenure = record({ lock: text, region: text, pod: text, leaseId: text, token: whole, since: text });
const answer = record({ stage: text, from: text, verdict: text, at: text, why: text });
const receipt = record({
  id: text,
  lock: text,
  cause: text,
  why: text,
  by: text,
  from: orNull(party),
  to: orNull(party),
  at: text,
  gapMs: orNull(number),
  answers: optional(list(answer)),
});
const marked = record({ who: text, why: text, when: text });
const address = record({ region: text, pod: text, queue: text });
const attempts = list(record({ at: text, pod: text, outcome: text, why: text }));
const truth = record({ holder: orNull(tenure), paused: orNull(marked), last: orNull(receipt) });
const gates = record({
  // What a date can still be made of.
  approvalWithinMs: optional(within(0, 2_147_483_647)),
  hooks: optional(list(record({ name: text, at: text, timeoutMs: number, onFailure: text }))),
});
const request = record({ switchId: text, to: orNull(text), reason: text, by: text });
const who = { reason: text, by: text };
const ofSwitch = { switchId: text };
const ofPod = { pod: text, seq: whole };

/** What each event must have for the state machine to decide on it. */
const shapes: Record<Happening['type'], Shape> = {
  'pod-ready': { ready: record({ pod: text, queue: text }) },
  'pod-stopping': { stopping: record({ pod: text, why: text }) },
  'tenure-ended': { ended: record({ pod: text, token: whole, why: text }) },
  'switch-requested': { request },
  'abort-requested': { ...ofSwitch, ...who },
  forced: {
    force: record({ ...ofSwitch, ...who, to: text, token: whole }),
    outcome: variants('outcome', {
      released: { receipt, broker: optional(record({ why: text })) },
      refused: { why: text },
    }),
  },
  marked: { mark: record({ kind: text, region: optional(text), ...who }), result: record({ why: text }) },
  configured: { change: record({ pod: text, settings: isRecord }) },
  malformed: { signal: text, why: text, switchId: optional(text) },
  'tenure-reported': { ...ofPod, result: record({ tenure, receipt: orNull(receipt), attempts }) },
  'not-yet': { ...ofPod, tookMs: number, result: record({ why: text, attempts, paused: optional(flag) }) },
  'await-failed': { ...ofPod, no: text, why: text },
  'stand-due': ofPod,
  'beat-due': {},
  renewed: {
    token: whole,
    result: variants('outcome', {
      extended: {
        marginMs: number,
        processed: number,
        inFlight: number,
        receipt: orNull(receipt),
        cordoned: optional(orNull(marked)),
        failback: optional(record({ to: text, why: text })),
      },
      lost: { why: text, holder: orNull(tenure) },
      unknown: { why: text, marginMs: number },
    }),
  },
  'beat-silent': { token: whole, why: text },
  'listener-checked': {
    token: whole,
    why: text,
    result: orNull(record({ outcome: text, why: text })),
  },
  'preflight-done': {
    ...ofSwitch,
    token: whole,
    failed: list(text),
    targets: list(address),
    gates: optional(gates),
  },
  'approval-answered': { approval: record({ ...ofSwitch, ...who, verdict: text }) },
  'approval-due': ofSwitch,
  'hook-answered': {
    ...ofSwitch,
    answer: variants('stage', Object.fromEntries(hookStages.map((stage) => [stage, hookAnswer()]))),
  },
  'hand-over-answered': {
    ...ofSwitch,
    outcome: variants('outcome', {
      'handed-over': { receipt },
      resumed: { why: text },
      refused: { why: text },
      lost: { why: text },
    }),
  },
  'hand-over-failed': { ...ofSwitch, why: text },
  'switch-aborted': ofSwitch,
  'abort-failed': { ...ofSwitch, why: text },
  inspected: { switchId: orNull(text), token: whole, truth },
  'inspect-failed': { switchId: orNull(text), token: whole, why: text },
  'successor-seen': { ...ofSwitch, result: record({ receipt: orNull(receipt) }) },
  'successor-failed': { ...ofSwitch, why: text },
  'step-due': ofSwitch,
  'abort-due': ofSwitch,
  cancelled: {},
};

function hookAnswer(): Shape {
  return { from: text, verdict: text, at: text, why: text };
}

/** What is wrong with an event that somebody outside had a hand in, `null` for nothing. */
export function whyUnsound(event: unknown): string | null {
  if (!isRecord(event) || typeof event['type'] !== 'string') return 'it has no type';
  const { type } = event;
  if (!Object.hasOwn(shapes, type)) return 'its type is unknown';
  const wrong = wrongIn(event, shapes[type as Happening['type']]);
  return wrong === null ? null : `its ${wrong} is not what is expected`;
}
