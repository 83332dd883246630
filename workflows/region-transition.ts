/**
 * What a region workflow decides, as a pure function: no SDK, no clock, no chance. The workflow feeds it one
 * event after the other and carries out the effects it returns.
 *
 * Two concerns run side by side. *Awaiting*: each known pod is asked by `awaitTenure` to stand, again after
 * each answer. *Holding*: while a tenure is known, the holder is asked to renew at every beat, and gives the
 * tenure away when a switch is requested. What a pod has not answered is unknown, never "not done": only a
 * pod's answer, a newer tenure or etcd's own word end a tenure here.
 */
import type { Approval, HandOverOutcome, LockTruth, RenewLeaseResult, SwitchAnswer } from './contract';
import { doneText, holderText, seconds } from './decision-text';
import { whyUnsound } from './event-check';
import { RegionDraft } from './region-draft';
import type { NoAnswer, PodAddress, RegionEvent, SwitchRequest } from './region-event';
import {
  isHandedOver,
  isUntouched,
  limits,
  type SwitchGates,
  type RegionState,
  type SwitchStep,
  type SwitchUnderWay,
  type Transition,
} from './region-state';

/** An `awaitTenure` that ends sooner than this without a tenure counts as hasty. */
const hastyMs = 1_000;

const signals: ReadonlySet<RegionEvent['type']> = new Set([
  'pod-ready',
  'pod-stopping',
  'tenure-ended',
  'configured',
  'switch-requested',
  'abort-requested',
  'approval-answered',
  'malformed',
]);

/**
 * What a run that continues another has to ask anew: the former run's questions ended with it. `again`: it stands in for a run
 * that began with the same state and was lost, so what is known is as old as that, and what was under way may have happened.
 */
export function resume(former: RegionState, at: number, again = false): Transition {
  const runs = former.runs + 1;
  // Above every number that the lost run may have used.
  const seq = Math.max(former.seq, at);
  const draft = new RegionDraft({ ...former, runs, seq, beating: null });
  for (const { pod } of former.pods) draft.stand(pod);
  if (former.switch && again) draft.goTo('settle', 'the run that knew of it is lost: etcd is asked', at);
  else if (former.switch) draft.step();
  return draft.note(`run ${runs} goes on: ${former.why}`);
}

/** Never throws: an event that cannot be understood is noted, so that no task can wedge. */
export function transition(state: RegionState, event: RegionEvent): Transition {
  const draft = new RegionDraft(state);
  const unsound = whyUnsound(event) ?? (isTime(event.at) ? null : 'its time is not what is expected');
  if (unsound !== null) return draft.note(`ignored an event: ${unsound}`);
  if (signals.has(event.type)) draft.countSignal(event.type === 'malformed');
  switch (event.type) {
    case 'pod-ready':
      return podReady(draft, event.ready.pod, event.ready.queue);
    case 'pod-stopping':
      return podStopping(draft, event.stopping.pod, event.stopping.why);
    case 'tenure-ended':
      return event.ended.token === state.tenure?.token
        ? draft.tenureOver(`${event.ended.pod} ended its tenure: ${event.ended.why}`, event.at)
        : draft.note(`ignored the end of token ${event.ended.token}: it is not the tenure known here`);
    case 'switch-requested':
      return switchRequested(draft, event.request, event.at);
    case 'abort-requested':
      return abortRequested(draft, event);
    case 'approval-answered':
      return approvalAnswered(draft, event.approval, event.at);
    case 'marked':
      return marked(draft, event, event.at);
    case 'forced':
      return forced(draft, event, event.at);
    case 'configured':
      return draft.note(`goes on by the settings that ${event.change.pod} has read`);
    case 'malformed':
      return malformed(draft, event);
    case 'tenure-reported': {
      const { tenure, receipt, attempts } = event.result;
      const open = draft.isOpen(event.pod, event.seq);
      if (open) draft.answered(event.pod, { hasty: false });
      draft.remember(receipt, attempts);
      const decision = draft.adopt(tenure, `${event.pod} reports`, event.at);
      if (open) draft.stand(event.pod);
      return decision;
    }
    case 'not-yet': {
      const { why, attempts, paused } = event.result;
      if (!draft.isOpen(event.pod, event.seq)) return draft.note(`a late answer of ${event.pod}: ${why}`);
      draft.answered(event.pod, { hasty: event.tookMs < hastyMs });
      draft.remember(null, attempts);
      if (paused !== undefined) draft.seePause(paused);
      draft.standSoon(event.pod);
      return draft.note(`${event.pod} does not hold the lock yet: ${why}`);
    }
    case 'await-failed':
      return draft.isOpen(event.pod, event.seq)
        ? awaitFailed(draft, event.pod, event.no, event.why)
        : draft.note(`a late failure of ${event.pod}: ${event.why}`);
    case 'stand-due':
      if (draft.isOpen(event.pod, event.seq)) draft.stand(event.pod);
      return draft.note(`${event.pod} is asked again to stand`);
    case 'beat-due':
      return draft.beatNow() ? draft.note('a beat is due') : draft.note('no beat: no tenure to renew');
    case 'renewed':
      return renewed(draft, event.token, event.result, event.at);
    case 'beat-silent':
      return beatSilent(draft, event.token, event.why, event.at);
    case 'listener-checked':
      // Not the tenure's end: the pod starts its listener by itself, and the next beat tells.
      return draft.note(
        event.result
          ? `token ${event.token}: listener ${event.result.outcome}, ${event.result.why}`
          : `token ${event.token}: whether the listener consumes is unknown: ${event.why}`,
      );
    case 'cancelled':
      for (const { pod } of state.pods) draft.standDown(pod);
      return draft.decide('cancelled by an operator: every pod is told to stop standing');
    case 'preflight-done':
    case 'approval-due':
    case 'hook-answered':
    case 'hand-over-answered':
    case 'hand-over-failed':
    case 'switch-aborted':
    case 'abort-failed':
    case 'successor-seen':
    case 'successor-failed':
    case 'step-due':
    case 'abort-due':
      return ofSwitch(draft, event);
    case 'inspected':
      return event.switchId === null
        ? inspected(draft, event.token, event.truth, event.at)
        : ofSwitch(draft, { ...event, switchId: event.switchId });
    case 'inspect-failed':
      return event.switchId === null
        ? draft.note(`nobody could look into etcd: ${event.why}`)
        : ofSwitch(draft, { ...event, switchId: event.switchId });
  }
}

/** What `Date` can hold, with a wait added. */
const isTime = (at: unknown): boolean => Number.isFinite(at) && Math.abs(at as number) <= 8e15;

// --- awaiting ------------------------------------------------------------------------------------------

function podReady(draft: RegionDraft, pod: string, queue: string): Transition {
  const known = draft.pod(pod);
  if (known && known.awaiting !== null && !known.stopping)
    return draft.note(`${pod} is known and already asked to stand`);
  if (!known && draft.state.pods.length >= limits.pods && !draft.forgetOneDead())
    return draft.decide(`${pod} is not taken in: ${limits.pods} pods are known, and all answer`);
  draft.register(pod, queue);
  draft.stand(pod);
  // Somebody new to ask about a holder that does not answer.
  if (draft.state.tenure && draft.state.silentBeats > 0) draft.inspect();
  return draft.decide(`${pod} is ready and asked to stand`);
}

function podStopping(draft: RegionDraft, pod: string, why: string): Transition {
  if (!draft.pod(pod)) return draft.note(`${pod} stops, and was not known: ${why}`);
  draft.stopping(pod);
  return draft.decide(`${pod} stops and is not asked any more: ${why}`);
}

function awaitFailed(draft: RegionDraft, pod: string, no: NoAnswer, why: string): Transition {
  const record = draft.unanswered(pod, no);
  if (!record) return draft.note(`${pod}, which was stopping, gave no answer: ${why}`);
  const dead = record.unanswered >= limits.unanswered || record.hasty >= limits.hasty;
  if (dead) {
    draft.forget(pod);
    return draft.decide(`${pod} is forgotten until it registers again: ${why}`);
  }
  draft.standSoon(pod);
  return draft.note(`${pod} gave no answer whether it holds the lock: ${why}`);
}

// --- holding -------------------------------------------------------------------------------------------

function renewed(draft: RegionDraft, token: number, result: RenewLeaseResult, at: number): Transition {
  draft.beatEnded(at);
  if (token !== draft.state.tenure?.token) return draft.note(`ignored a beat's answer for token ${token}`);
  switch (result.outcome) {
    case 'extended': {
      const line = `extended, ${seconds(result.marginMs)} left, processed ${result.processed}`;
      draft.beat(at, line, result);
      draft.remember(result.receipt, []);
      if (result.cordoned !== undefined) draft.seeCordon(result.cordoned);
      return draft.leaveCordoned(at) ?? draft.goBack(result.failback, at) ?? draft.note(line);
    }
    case 'unknown': {
      const line = `not extended yet (${result.why}), ${seconds(result.marginMs)} left`;
      draft.beat(at, line, null);
      return draft.decide(`token ${token}: ${line}`);
    }
    case 'lost':
      return draft.lostTo(result.holder, `the lease is lost: ${result.why}`, at);
  }
}

function beatSilent(draft: RegionDraft, token: number, why: string, at: number): Transition {
  draft.beatEnded(at);
  const { tenure } = draft.state;
  if (token !== tenure?.token) return draft.note(`ignored a beat without answer for token ${token}`);
  draft.silent(at);
  draft.inspect();
  return draft.decide(`${tenure.pod} does not answer and may still hold token ${token}: ${why}`);
}

function inspected(draft: RegionDraft, token: number, truth: LockTruth, at: number): Transition {
  draft.seePause(truth.paused !== null);
  // Read before the tenure known now began: it says nothing about that.
  if (token !== draft.state.tenure?.token) return draft.note(`etcd was read for token ${token}: out of date`);
  if (truth.holder?.token === token)
    return draft.note(`etcd still shows token ${token} as holder, its pod does not answer`);
  return draft.lostTo(truth.holder, `etcd shows ${holderText(truth.holder)}`, at);
}

// --- switching -----------------------------------------------------------------------------------------

function switchRequested(draft: RegionDraft, request: SwitchRequest, at: number): Transition {
  const { lock, region, tenure, switch: underWay, lastSwitches } = draft.state;
  const { switchId, to } = request;
  const known =
    underWay?.request.switchId === switchId || lastSwitches.some((outcome) => outcome.switchId === switchId);
  if (known) return draft.note(`switch ${switchId} is known already`);
  if (underWay)
    return draft.answer(
      request,
      'refused',
      `switch ${underWay.request.switchId} is under way: ${underWay.why}`,
    );
  if (!tenure) return draft.answer(request, 'ignored', `${lock} is not active in ${region}`);
  if (to === region) return draft.answer(request, 'refused', `${lock} is active in ${region} already`);
  const why = `${request.by} asks for a switch to ${to ?? 'another region'} (${request.reason}): asking who could take over`;
  draft.begin(request, tenure, why, at);
  return draft.decide(why);
}

/** Up to the hand-over's commit a switch can be undone; of the two, the one that etcd commits first decides. */
function abortRequested(
  draft: RegionDraft,
  { switchId, reason, by }: RegionEvent & { type: 'abort-requested' },
): Transition {
  const underWay = draft.state.switch;
  if (underWay?.request.switchId !== switchId)
    return draft.note(`${by} wants switch ${switchId} undone, which is not under way`);
  const who = `aborted by ${by} (${reason})`;
  const { step } = underWay;
  if (isUntouched(step)) return draft.conclude('rolled-back', `${who} before anything was touched`);
  if (isHandedOver(step))
    return draft.note(`${by} wants switch ${switchId} undone, too late: ${underWay.why}`);
  switch (step) {
    case 'drain':
      draft.abort(reason, by);
      return draft.decide(`${who}: it is committed in etcd, then ${underWay.tenure.pod} consumes again`);
    case 'abort':
    case 'settle':
      return draft.note(`${by} wants switch ${switchId} undone, which is being done`);
    default:
      return draft.note(`${by} wants switch ${switchId} undone during ${step}`);
  }
}

/** Somebody else's word. The state of the lock may have changed meanwhile, so everything is checked again. */
function approvalAnswered(
  draft: RegionDraft,
  { switchId, verdict, reason, by }: Approval,
  at: number,
): Transition {
  const underWay = draft.state.switch;
  if (underWay?.request.switchId !== switchId || underWay.step !== 'approval')
    return draft.note(`${by} answers (${verdict}) to switch ${switchId}, which waits for no approval`);
  if (verdict === 'veto') return draft.conclude('refused', `vetoed by ${by}: ${reason}`);
  draft.hear({ stage: 'approval', from: by, verdict: 'ok', at: new Date(at).toISOString(), why: reason });
  return draft.goTo('preflight', `approved by ${by} (${reason}): every check again`, at);
}

/** The old holder, if it lived here, is fenced: its tenure is over for everybody. */
function forced(
  draft: RegionDraft,
  { force, outcome }: RegionEvent & { type: 'forced' },
  at: number,
): Transition {
  const { by, to, token, reason } = force;
  const sentence = `${by} forces the lock from token ${token} to ${to} (${reason})`;
  if (outcome.outcome === 'refused') return draft.note(`${sentence}: refused, ${outcome.why}`);
  draft.remember(outcome.receipt, []);
  const done = outcome.broker ? `${sentence}: ${outcome.broker.why}` : sentence;
  if (draft.state.tenure?.token === token && draft.state.switch === null) return draft.tenureOver(done, at);
  return draft.decide(done);
}

/** Marks are in etcd by now; what follows from them here follows from the beats, too. */
function marked(
  draft: RegionDraft,
  { mark, result }: RegionEvent & { type: 'marked' },
  at: number,
): Transition {
  const { kind, region, by, reason } = mark;
  const sentence = `${kind}${region === undefined ? '' : ` of ${region}`} by ${by} (${reason}): ${result.why}`;
  if (kind === 'pause' || kind === 'resume') draft.seePause(kind === 'pause');
  else if (region === draft.state.region) {
    const when = new Date(at).toISOString();
    draft.seeCordon(kind === 'cordon' ? { who: by, why: reason, when } : null);
  }
  return draft.leaveCordoned(at) ?? draft.decide(sentence);
}

function malformed(
  draft: RegionDraft,
  { signal, why, switchId }: RegionEvent & { type: 'malformed' },
): Transition {
  const sentence = `ignored a malformed ${signal}: ${why}`;
  if (switchId === undefined) return draft.decide(sentence);
  return draft.answer({ switchId, to: null, reason: '', by: '' }, 'ignored', sentence);
}

type SwitchEvent = Exclude<
  Extract<RegionEvent, { switchId: string | null }> & { switchId: string },
  { type: 'abort-requested' }
>;

function ofSwitch(draft: RegionDraft, event: SwitchEvent): Transition {
  const underWay = draft.state.switch;
  if (underWay?.request.switchId !== event.switchId)
    return draft.note(`ignored ${event.type} of switch ${event.switchId}, which is over`);
  if (event.type === 'step-due') {
    draft.step();
    return draft.note(`switch ${event.switchId} goes on with ${underWay.step}`);
  }
  if (event.type === 'abort-due' || (underWay.abort && underWay.step === 'drain' && isOfAbort(event)))
    return ofOperatorsAbort(draft, underWay, event);
  if ((event.type === 'hook-answered' ? event.answer.stage : stepOf[event.type]) !== underWay.step)
    return draft.note(`ignored ${event.type} of switch ${event.switchId} during ${underWay.step}`);
  switch (event.type) {
    case 'preflight-done':
      if (event.token === underWay.tenure.token) return preflightDone(draft, event, event.at);
      draft.step();
      return draft.note(`asks again who could take over: token ${underWay.tenure.token} has begun meanwhile`);
    case 'approval-due':
      return draft.conclude('refused', 'nobody else has approved of it in time');
    case 'hook-answered':
      return hookAnswered(draft, underWay, event.answer, event.at);
    case 'hand-over-answered':
      return handOverAnswered(draft, underWay, event.outcome, event.at);
    case 'hand-over-failed':
      return handOverFailed(draft, underWay, event.why, event.at);
    case 'switch-aborted':
      return draft.goTo(
        'settle',
        'no hand-over can happen any more: etcd is asked whether it had happened',
        event.at,
      );
    case 'abort-failed':
      return draft.tryLater(`the switch could not be aborted: ${event.why}`);
    case 'inspected':
      draft.seePause(event.truth.paused !== null);
      return settled(draft, underWay, event.truth, event.at);
    case 'inspect-failed':
      return draft.tryLater(`what became of the switch could not be read: ${event.why}`);
    case 'successor-seen':
      return draft.takenOver(
        event.result.receipt,
        doneText(event.result.receipt ?? underWay.receipt),
        event.at,
      );
    case 'successor-failed':
      return draft.takenOver(
        null,
        `${doneText(underWay.receipt)}; its first message is not known: ${event.why}`,
        event.at,
      );
  }
}

type AbortEvent = SwitchEvent & { type: 'switch-aborted' | 'abort-failed' | 'abort-due' };

const isOfAbort = (event: SwitchEvent): event is AbortEvent =>
  event.type === 'switch-aborted' || event.type === 'abort-failed' || event.type === 'abort-due';

/** The drain goes on beside it, and ends with the answer that decides. */
function ofOperatorsAbort(draft: RegionDraft, underWay: SwitchUnderWay, event: AbortEvent): Transition {
  const { abort, step, tenure } = underWay;
  if (!abort || step !== 'drain') return draft.note(`ignored ${event.type} during ${step}`);
  const { by, reason } = abort;
  switch (event.type) {
    case 'switch-aborted':
      return draft.decide(`aborted by ${by} (${reason}): ${tenure.pod} will consume again`);
    case 'abort-failed':
      draft.abortLater();
      return draft.decide(`the abort by ${by} could not be committed yet: ${event.why}`);
    case 'abort-due':
      draft.abort(reason, by);
      return draft.note(`the abort of switch ${event.switchId} is tried again`);
  }
}

const stepOf: Record<Exclude<SwitchEvent['type'], 'abort-due' | 'hook-answered'>, SwitchStep | null> = {
  'preflight-done': 'preflight',
  'approval-due': 'approval',
  'hand-over-answered': 'drain',
  'hand-over-failed': 'drain',
  'switch-aborted': 'abort',
  'abort-failed': 'abort',
  inspected: 'settle',
  'inspect-failed': 'settle',
  'successor-seen': 'successor',
  'successor-failed': 'successor',
  'step-due': null,
};

interface Verdict {
  failed: string[];
  targets: PodAddress[];
  gates?: SwitchGates;
}

function preflightDone(draft: RegionDraft, { failed, targets, gates }: Verdict, at: number): Transition {
  if (failed.length > 0 || targets.length === 0)
    return draft.conclude('refused', failed.join('; ') || 'nobody could take over');
  draft.changeSwitch({ targets, ...(gates && { gates }) });
  const approved = draft.state.switch?.answers?.some(({ stage }) => stage === 'approval') ?? false;
  if (gates?.approvalWithinMs && !approved) return draft.awaitApproval(gates.approvalWithinMs, at);
  const hooks = draft.openHooks('before-release');
  if (hooks.length > 0)
    return draft.goTo('before-release', `asks ${hooks.map(({ name }) => name).join(', ')}`, at);
  return drain(draft, targets, at);
}

const drain = (draft: RegionDraft, targets: PodAddress[], at: number): Transition =>
  draft.goTo('drain', `drains, then hands over to ${targets.map(({ pod }) => pod).join(' or ')}`, at);

/** The step goes on when all of its hooks have answered: an answer on its way is not lost. */
function hookAnswered(
  draft: RegionDraft,
  { targets, gates, receipt }: SwitchUnderWay,
  answer: SwitchAnswer,
  at: number,
): Transition {
  const { stage, from, verdict, why } = answer;
  const sentence = `hook ${from}: ${verdict}: ${why}`;
  if (stage === 'approval' || !draft.openHooks(stage).some(({ name }) => name === from))
    return draft.note(`ignored ${sentence}`);
  draft.hear(answer);
  const open = draft.openHooks(stage);
  if (open.length > 0) return draft.note(`${sentence}; ${open.length} more are asked`);
  switch (stage) {
    case 'before-release': {
      const goesOn = ({ from: name }: SwitchAnswer): boolean =>
        gates?.hooks?.find((hook) => hook.name === name)?.onFailure === 'go-on';
      const against = (draft.state.switch?.answers ?? []).filter(
        (each) =>
          each.stage === stage && (each.verdict === 'vetoed' || (each.verdict === 'failed' && !goesOn(each))),
      );
      if (against.length === 0) return drain(draft, targets, at);
      const said = against.map((each) => `hook ${each.from} ${each.verdict}: ${each.why}`);
      return draft.conclude('refused', `stopped before the release: ${said.join('; ')}`);
    }
    case 'after-release':
      return draft.goTo('successor', sentence, at);
    case 'after-takeover':
      return draft.conclude('done', doneText(receipt));
  }
}

function handOverAnswered(
  draft: RegionDraft,
  underWay: SwitchUnderWay,
  outcome: HandOverOutcome,
  at: number,
): Transition {
  switch (outcome.outcome) {
    case 'handed-over':
      return draft.handedOver(outcome.receipt, at);
    case 'resumed': {
      const { abort } = underWay;
      const by = abort ? `aborted by ${abort.by} (${abort.reason}); ` : '';
      const decision = draft.conclude(
        'rolled-back',
        `${by}consumes again under the same token: ${outcome.why}`,
      );
      draft.beatNow();
      return decision;
    }
    case 'refused': {
      // The answer to a repeated question says nothing about the first one.
      if (underWay.tries > 0)
        return draft.goTo('abort', `refused when asked again (${outcome.why}): the switch is aborted`, at);
      const decision = draft.conclude('refused', `the holder refused: ${outcome.why}`);
      draft.beatNow();
      return decision;
    }
    case 'lost':
      return draft.goTo(
        'settle',
        `the tenure ended during the switch (${outcome.why}): etcd is asked how`,
        at,
      );
  }
}

function handOverFailed(draft: RegionDraft, underWay: SwitchUnderWay, why: string, at: number): Transition {
  const tries = underWay.tries + 1;
  const { tenure } = draft.state;
  if (tenure?.token !== underWay.tenure.token)
    return draft.goTo('abort', `no answer, and the tenure is over (${why}): the switch is aborted`, at);
  if (underWay.abort || tries >= limits.drainTries)
    return draft.goTo('abort', `no answer after ${tries} tries (${why}): the switch is aborted`, at);
  return draft.tryLater(
    `the drain's outcome is unknown (${why}): asked again under the same switch id`,
    1_000,
  );
}

function settled(draft: RegionDraft, underWay: SwitchUnderWay, truth: LockTruth, at: number): Transition {
  const { token } = underWay.tenure;
  if (truth.last?.id === underWay.request.switchId && truth.holder?.token !== token)
    return draft.handedOver(truth.last, at);
  if (truth.holder?.token === token) {
    const decision = draft.conclude(
      'rolled-back',
      `etcd still shows token ${token}: nothing was handed over`,
    );
    draft.startListener();
    return decision;
  }
  const text = `etcd shows ${holderText(truth.holder)}, and another last change`;
  const decision = draft.conclude(
    'failed',
    `the tenure with token ${token} ended during the switch: ${text}`,
  );
  if (draft.state.tenure?.token === token) return draft.lostTo(truth.holder, decision.why, at);
  return decision;
}
