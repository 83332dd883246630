import { isCancellation, makeContinueAsNewFunc, proxySinks, workflowInfo } from '@temporalio/workflow';
import { podQueue, regionTaskQueue } from './names';
import type {
  CrashDrillInput,
  CrashDrillReport,
  DrillInput,
  DrillReport,
  DrillSinks,
  PlannedDrillInput,
  PlannedDrillReport,
  SwitchReport,
} from './operations-contract';
import { operator, operatorFor, switchNow } from './operator-calls';
import { callPod, noAnswer, wasTakenUp } from './pod-calls';
import { checkedDrill } from './workflow-input';

/** A holder that changes so often while the drill looks for its place is no time for a drill. */
const maxMoves = 3;
/** As for a scheduled switch: what could not begin for so long does not begin at all. */
const latestBeginMs = 600_000;
/** One activity's share of the time until the return; repeated when its pod has died. */
const watchMs = 300_000;

const { drill } = proxySinks<DrillSinks>();

/** A planned switch and back, or a killed holder, with the recovery measured. */
export async function drillWorkflow(given: DrillInput): Promise<DrillReport> {
  const input = checkedDrill(given);
  const report = await (input.kind === 'crash' ? crashDrill(input) : plannedDrill(input));
  drill.ended(report);
  return report;
}

/**
 * There and back again, unless somebody else moves the lock in between. It runs in the pods of the region that the lock
 * comes from: those of the other one may be lost while it is active, and these are needed for the way back anyway.
 */
async function plannedDrill(input: PlannedDrillInput): Promise<PlannedDrillReport> {
  const { lock, to, reason, by, returnAfterMs, objectiveMs } = input;
  const home = await operator.activeRegion({ lock });
  if (home !== null && home !== to && input.region !== home && mayMove(input)) return goOnIn(home, input);
  const from = home ?? 'nobody';
  type Outcome = PlannedDrillReport['outcome'];
  const report = (
    outcome: Outcome,
    why: string,
    there: SwitchReport | null,
    back: SwitchReport | null,
  ): PlannedDrillReport => ({ kind: 'planned', lock, from, to, outcome, why, there, back, objectiveMs });

  const late = whyTooLate();
  if (late !== null) return report('failed', `nothing was changed: ${late}`, null, null);
  const there = await switchNow({ lock, to, reason: `drill: ${reason}`, by });
  if (there.outcome !== 'done') return report('failed', `nothing was changed: ${there.why}`, there, null);
  const active = await regionAfter(returnAfterMs, lock, to, `drill: back to ${from} after this`);
  const ended = (where: string | null): string => `${where ?? 'nobody'} is active meanwhile: left as it is`;
  if (active !== to) return report('ended', ended(active), there, null);
  const back = await switchNow({ lock, to: from, reason: `end of the drill: ${reason}`, by });
  if (back.outcome !== 'done') {
    const now = await operator.activeRegion({ lock });
    if (now !== to) return report('ended', ended(now), there, back);
    return report('failed', `${to} stays active: ${back.why}`, there, back);
  }
  const gaps = [there, back].flatMap(({ receipt }) => receipt?.gapMs ?? []);
  if (gaps.length === 0) return report('passed', 'no gap was measured', there, back);
  const longestMs = Math.max(...gaps);
  return report(...judged(`the longest gap was ${longestMs} ms`, longestMs, objectiveMs), there, back);
}

/** The active region after this time, or as soon as it is another one. */
async function regionAfter(
  waitMs: number,
  lock: string,
  region: string,
  summary: string,
): Promise<string | null> {
  const endMs = Date.now() + waitMs;
  for (;;) {
    const leftMs = endMs - Date.now();
    if (leftMs <= 0) return operator.activeRegion({ lock });
    const active = await operatorFor(summary).awaitElsewhere({
      lock,
      region,
      waitMs: Math.min(leftMs, watchMs),
    });
    if (active !== null && active !== region) return active;
  }
}

/**
 * Has the holder's pod kill itself, and waits for whoever takes over. It runs in the pods of a region that has another
 * candidate: where the only pod is killed, nobody would be left to go on with it.
 */
async function crashDrill(input: CrashDrillInput): Promise<CrashDrillReport> {
  const { lock, reason, by, objectiveMs } = input;
  const { holder, standbys } = await operator.crashTarget({ lock });
  let report: CrashDrillReport = {
    kind: 'crash',
    lock,
    holder,
    outcome: 'failed',
    why: '',
    killedAt: null,
    receipt: null,
    recoveryMs: null,
    measuredTo: null,
    objectiveMs,
  };
  const end = (outcome: CrashDrillReport['outcome'], why: string): CrashDrillReport => ({
    ...report,
    outcome,
    why,
  });
  const spared = (why: string): CrashDrillReport => end('failed', `nothing was killed: ${why}`);
  if (!holder) return spared('nobody holds the lock');
  const place = standbys.find(({ region }) => region !== holder.region) ?? standbys[0];
  if (!place) return spared('no other candidate is ready and stands');
  if (!standbys.some(({ region }) => region === input.region)) {
    if (mayMove(input)) return goOnIn(place.region, input);
    return spared('the holder has changed again and again');
  }
  const late = whyTooLate();
  if (late !== null) return spared(late);

  const { region, pod, token } = holder;
  // By Temporal's clock: the pod's own last words would come with the next heartbeat, which it has no time for.
  const killedAt = new Date().toISOString();
  const address = { region, pod, queue: podQueue(region, pod) };
  const { workflowId: drillId } = workflowInfo();
  try {
    const answer = await callPod(address, `crash drill: kills ${pod} (${by}: ${reason})`.slice(0, 200)).crash(
      { lock, token, drillId, reason, by },
    );
    if (answer.outcome === 'not-holder') return end('ended', `nothing was killed: ${answer.why}`);
    return spared(`${pod} refused: ${answer.why}`);
  } catch (error) {
    if (isCancellation(error)) throw error;
    // It began and gave no sign any more: that is what was asked for.
    if (!wasTakenUp(error)) return spared(`${pod}: ${noAnswer(error).why}`);
  }
  report = { ...report, killedAt };
  const receipt = await operatorFor(`crash drill: waits until ${lock} is taken over`).awaitRecovery({
    lock,
    token,
    killedAt,
  });
  if (!receipt?.to) return end('failed', `${pod} was told to kill itself, and nobody has taken over`);
  const { cause, firstStartedAt, at, to } = receipt;
  if (cause !== 'takeover') return end('ended', `another change came first: ${cause} by ${receipt.by}`);
  const recoveryMs = Date.parse(firstStartedAt ?? at) - Date.parse(killedAt);
  report = { ...report, receipt, recoveryMs, measuredTo: firstStartedAt ? 'first message' : 'takeover' };
  const what = firstStartedAt ? 'worked on its first message' : 'took over, and no message has come yet,';
  return end(
    ...judged(`${to.region} (${to.pod}) ${what} ${recoveryMs} ms after the kill`, recoveryMs, objectiveMs),
  );
}

function judged(measured: string, ms: number, objectiveMs: number | null): ['passed' | 'failed', string] {
  if (objectiveMs === null) return ['passed', measured];
  return ms > objectiveMs
    ? ['failed', `${measured}, above the objective of ${objectiveMs} ms`]
    : ['passed', `${measured}, within the objective of ${objectiveMs} ms`];
}

const mayMove = ({ moves = 0 }: DrillInput): boolean => moves < maxMoves;

/** Ends this run and goes on in the pods of another region. */
function goOnIn(region: string, input: DrillInput): Promise<never> {
  const next = makeContinueAsNewFunc<typeof drillWorkflow>({ taskQueue: regionTaskQueue(region) });
  return next({ ...input, region, moves: (input.moves ?? 0) + 1 });
}

/** Of a schedule whose region had no pod: nobody expects it any more. */
function whyTooLate(): string | null {
  const lateMs = Date.now() - workflowInfo().startTime.getTime();
  return lateMs > latestBeginMs ? `it could not begin for ${Math.round(lateMs / 60_000)} minutes` : null;
}
