import type { PodActivities } from '../workflows/contract';
import { hookStages } from '../workflows/hook-stages';
import { isName } from '../workflows/names';
import type { OperatorActivities } from '../workflows/operations-contract';
import {
  flag,
  type Is,
  isRecord,
  list,
  oneOf,
  optional,
  orNull,
  record,
  type Shape,
  text,
  variants,
  whole,
  within,
  wrongIn,
} from '../workflows/shape';
import { RefusedError } from './errors';

/** No instruction waits for longer: 24 days, the longest delay that a timer takes. */
const ms = within(0, 2_147_483_647);
const who = { reason: text, by: text };
const stamp = { lock: isName, seq: whole };
const tenure = record({
  lock: isName,
  region: isName,
  pod: isName,
  leaseId: text,
  token: whole,
  since: text,
});
const onLock = { lock: isName };
const answers = list(record({ stage: text, from: text, verdict: text, at: text, why: text }));
const ofLock = record({ kind: oneOf('pause', 'resume', 'ack'), ...who });
const ofRegion = record({ kind: oneOf('cordon', 'uncordon'), region: isName, ...who });
const mark: Is = (value) => ofLock(value) || ofRegion(value);
const date: Is = (value) => typeof value === 'string' && !Number.isNaN(Date.parse(value));

const shapes: Record<keyof PodActivities | keyof OperatorActivities, Shape> = {
  awaitTenure: { ...stamp, afterToken: whole, paused: optional(flag) },
  standDown: stamp,
  startListener: { ...stamp, tenure },
  renewLease: { ...stamp, tenure },
  drainAndHandOver: {
    ...stamp,
    ...who,
    tenure,
    switchId: isName,
    targets: list(record({ region: isName, pod: isName })),
    answers: optional(answers),
  },
  releaseLock: { ...stamp, ...who, tenure, switchId: isName, towards: optional(isName) },
  abortSwitch: { ...onLock, switchId: isName, why: text },
  force: {
    ...onLock,
    force: variants('waitFor', {
      deadline: { ...who, switchId: isName, token: whole, to: isName },
      nothing: { ...who, switchId: isName, token: whole, to: isName },
    }),
  },
  crash: { ...onLock, ...who, token: whole, drillId: text },
  mark: { ...onLock, mark },
  inspectLock: { ...onLock, gaps: optional(flag) },
  probe: onLock,
  awaitSuccessor: { ...onLock, switchId: isName, waitMs: ms },
  runHook: {
    ...onLock,
    ...who,
    hook: text,
    stage: oneOf(...hookStages),
    switchId: isName,
    from: record({ region: text, pod: text, token: whole }),
    to: orNull(text),
    receipt: orNull(isRecord),
  },
  switchLock: { ...onLock, ...who, to: isName, switchId: isName },
  whyNotSwitch: { ...onLock, to: isName },
  activeRegion: onLock,
  awaitElsewhere: { ...onLock, region: isName, waitMs: ms },
  crashTarget: onLock,
  awaitRecovery: { ...onLock, token: whole, killedAt: date },
};

/**
 * Whoever reaches Temporal can put anything on a pod's task queues. One wrong number would do harm for long: a sequence
 * number that is none lets every stale instruction pass from then on, a mark of no kind takes a pause away.
 *
 * @throws RefusedError naming the field; nothing was changed.
 */
export function checkInstruction(name: keyof typeof shapes, input: unknown): void {
  const wrong = isRecord(input) ? wrongIn(input, shapes[name]) : 'input';
  if (wrong !== null) throw new RefusedError(`${name}: its ${wrong} is missing or not what is expected`);
}
