import { condition, log, setHandler } from '@temporalio/workflow';
import {
  groupControlSignal,
  type GroupInput,
  type GroupReport,
  type GroupStatus,
  groupStatusQuery,
  type SwitchOrder,
  type SwitchReport,
} from './operations-contract';
import { moved, operator, switchNow } from './operator-calls';
import { checkedGroup, checkedOrder, readControl } from './workflow-input';

/** One planned switch, as a schedule starts it. What speaks against it is the result, not a failure. */
export async function scheduledSwitchWorkflow(order: SwitchOrder): Promise<SwitchReport> {
  return switchNow(checkedOrder(order));
}

/**
 * Several locks together: all preflights first, then one after the other or at once. One that cannot be switched, or an
 * abort, brings those that have moved back to where they were, the last one first.
 */
export async function groupSwitchWorkflow(input: GroupInput): Promise<GroupReport> {
  const { locks, to, order, reason, by } = checkedGroup(input);
  const switches: SwitchReport[] = [];
  const homes = new Map<string, string>();
  let phase: GroupStatus['phase'] = 'preflight';
  let why = 'asks whether every lock could be switched';
  let paused: string | null = null;
  let aborted: string | null = null;

  setHandler(groupControlSignal, (payload: unknown) => {
    const control = readControl(payload);
    if (!control) return log.warn('ignored a malformed control');
    const sentence = `${control.kind} by ${control.by}: ${control.reason}`;
    if (control.kind === 'abort') aborted ??= sentence;
    else paused = control.kind === 'pause' ? sentence : null;
  });
  setHandler(groupStatusQuery, () => {
    const done = switches.filter(moved).map(({ lock }) => lock);
    const isPaused = phase === 'switching' && paused !== null;
    return {
      phase: isPaused ? 'paused' : phase,
      why: isPaused ? (paused ?? why) : why,
      moved: done,
      left: locks.filter((lock) => !done.includes(lock)),
    };
  });

  const end = (outcome: GroupReport['outcome'], text: string, back: SwitchReport[]): GroupReport => {
    phase = 'ended';
    why = text;
    return { to, outcome, why, switches, back };
  };
  const obstacles = await Promise.all(
    locks.map(async (lock) => {
      homes.set(lock, (await operator.activeRegion({ lock })) ?? to);
      const failed = await operator.whyNotSwitch({ lock, to });
      return failed === null ? null : `${lock}: ${failed}`;
    }),
  );
  const failed = obstacles.filter((each) => each !== null);
  if (failed.length > 0) return end('refused', `nothing was touched: ${failed.join('; ')}`, []);

  phase = 'switching';
  const turns = order === 'at-once' ? [locks] : locks.map((lock) => [lock]);
  for (const turn of turns) {
    await condition(() => paused === null || aborted !== null);
    if (aborted !== null) break;
    why = `switches ${turn.join(', ')}`;
    const reports = await Promise.all(turn.map((lock) => switchNow({ lock, to, reason, by })));
    switches.push(...reports);
    if (!reports.every(moved)) break;
  }
  const stuck = switches.find((each) => !moved(each));
  if (!stuck && switches.length === locks.length)
    return end('done', `all ${locks.length} locks are in ${to}`, []);

  phase = 'rolling-back';
  const cause = stuck ? `${stuck.lock} was not switched (${stuck.why})` : (aborted ?? 'it was aborted');
  why = `${cause}: those that have moved go back`;
  const back: SwitchReport[] = [];
  for (const { lock } of switches.filter(({ outcome }) => outcome === 'done').toReversed())
    back.push(await switchNow({ lock, to: homes.get(lock) ?? to, reason: `rollback: ${cause}`, by }));
  const lost = back.filter((each) => !moved(each)).map(({ lock }) => lock);
  return lost.length > 0
    ? end('rollback-failed', `${cause}; still in ${to}: ${lost.join(', ')}`, back)
    : end('rolled-back', cause, back);
}
