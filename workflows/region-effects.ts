import { isCancellation, sleep } from '@temporalio/workflow';
import type { PodActivities, RegionInput } from './contract';
import { whyUnsound } from './event-check';
import { findTargets } from './find-targets';
import { callPod, firstAnswer, noAnswer, successorWaitMs } from './pod-calls';
import type { Happening, PodAddress, RegionEffect } from './region-event';
import type { TraceContext } from './trace-context';

/**
 * Carries an effect out and returns what came of it, as an event. Never throws: what a pod did not answer is
 * an event too. `null` when the workflow is being cancelled, and nobody waits for the answer. `trace`: of the switch
 * that the effect is part of.
 *
 * Of what comes in one workflow task, the answers of pods are seen together with the signals, because the fewer turns of
 * promises lie between an activity's end and its event: one `async` function more in between, and a running workflow can
 * no longer be replayed. `test/histories/simultaneous.json` has such a task.
 */
export async function carryOut(
  effect: RegionEffect,
  input: RegionInput,
  lastBeat: string,
  trace?: TraceContext,
): Promise<Happening | null> {
  const { lock, settings } = input;
  const askedAt = Date.now();
  const callFor = (pod: PodAddress, summary: string, limitMs = 0): PodActivities =>
    callPod(pod, summary, limitMs, trace);
  try {
    switch (effect.type) {
      case 'stand': {
        const { pod, afterToken, paused, seq } = effect;
        const summary = `${pod.pod} stands, reports a token above ${afterToken}`;
        const result = await callPod(pod, summary).awaitTenure({ lock, seq, afterToken, paused });
        if (result.outcome === 'tenure') return { type: 'tenure-reported', pod: pod.pod, seq, result };
        return { type: 'not-yet', pod: pod.pod, seq, tookMs: Date.now() - askedAt, result };
      }
      case 'stand-down':
        await callPod(effect.pod, `${effect.pod.pod} stops standing`).standDown({ lock, seq: effect.seq });
        return null;
      case 'start-listener': {
        const { holder, tenure, seq } = effect;
        const summary = `${holder.pod} consumes with token ${tenure.token}?`;
        const result = await callPod(holder, summary).startListener({ lock, seq, tenure });
        return { type: 'listener-checked', token: tenure.token, result, why: '' };
      }
      case 'renew': {
        const { holder, tenure, seq } = effect;
        const summary = `token ${tenure.token} on ${holder.pod}; last beat: ${lastBeat}`;
        const result = await callPod(holder, summary).renewLease({ lock, seq, tenure });
        return { type: 'renewed', token: tenure.token, result };
      }
      case 'preflight': {
        const { switchId, to, tenure, via } = effect;
        const found = await findTargets({ to, tenure, via }, input, trace);
        const { approvalWithinMs, hooks } = settings;
        const gates = { ...(approvalWithinMs && { approvalWithinMs }), ...(hooks && { hooks }) };
        const guarded = Object.keys(gates).length > 0 && { gates };
        return { type: 'preflight-done', switchId, token: tenure.token, ...found, ...guarded };
      }
      case 'approval-timer':
        await sleep(Math.max(effect.until - Date.now(), 1), { summary: 'the time for an approval' });
        return { type: 'approval-due', switchId: effect.switchId };
      case 'hook': {
        const { question, timeoutMs, via } = effect;
        const summary = `${question.stage}: hook ${question.hook}`;
        const answer = await firstAnswer(via, (pod) => callFor(pod, summary, timeoutMs).runHook(question));
        const { stage, hook: from } = question;
        return { type: 'hook-answered', switchId: question.switchId, answer: { ...answer, stage, from } };
      }
      case 'drain-and-hand-over': {
        const { request, holder, tenure, targets, seq, answers } = effect;
        const { switchId, reason, by } = request;
        const summary = `${holder.pod} drains, hands over to ${targets[0]?.pod}: ${reason}`.slice(0, 200);
        const outcome = await callFor(holder, summary, settings.drainLimitMs).drainAndHandOver({
          lock,
          seq,
          tenure,
          switchId,
          targets: targets.map(({ region, pod }) => ({ region, pod })),
          reason,
          by,
          ...(answers && { answers }),
        });
        return { type: 'hand-over-answered', switchId, outcome };
      }
      case 'abort-switch': {
        const { switchId, why, via } = effect;
        const summary = `abort switch ${switchId}`;
        await firstAnswer(via, (pod) => callFor(pod, summary).abortSwitch({ lock, switchId, why }));
        return { type: 'switch-aborted', switchId };
      }
      case 'inspect': {
        const { token, switchId, via } = effect;
        const summary = `who holds ${lock}? token ${token} was the last one known here`;
        const truth = await firstAnswer(via, (pod) => callFor(pod, summary).inspectLock({ lock }));
        return { type: 'inspected', token, switchId, truth };
      }
      case 'await-successor': {
        const { switchId, via } = effect;
        const question = { lock, switchId, waitMs: successorWaitMs };
        const summary = "the new holder's first message";
        const result = await firstAnswer(via, (pod) => callFor(pod, summary).awaitSuccessor(question));
        return { type: 'successor-seen', switchId, result };
      }
      case 'later':
        await sleep(effect.ms, { summary: `before ${effect.event.type}` });
        return effect.event;
    }
  } catch (error) {
    return isCancellation(error) ? null : unanswered(effect, error);
  }
}

/** What came of an effect, if it can be used; else as if nobody had answered. */
export function sound(effect: RegionEffect, happening: Happening): Happening | null {
  const unsound = whyUnsound(happening);
  return unsound ? unanswered(effect, new Error(`an answer that cannot be used: ${unsound}`)) : happening;
}

function unanswered(effect: RegionEffect, error: unknown): Happening | null {
  const { no, why } = noAnswer(error);
  switch (effect.type) {
    case 'stand':
      return { type: 'await-failed', pod: effect.pod.pod, seq: effect.seq, no, why };
    case 'start-listener':
      return { type: 'listener-checked', token: effect.tenure.token, result: null, why };
    case 'renew':
      return { type: 'beat-silent', token: effect.tenure.token, why };
    case 'preflight': {
      const { switchId, tenure } = effect;
      return { type: 'preflight-done', switchId, token: tenure.token, failed: [why], targets: [] };
    }
    case 'drain-and-hand-over':
      return { type: 'hand-over-failed', switchId: effect.request.switchId, why };
    case 'abort-switch':
      return { type: 'abort-failed', switchId: effect.switchId, why };
    case 'inspect':
      return { type: 'inspect-failed', token: effect.token, switchId: effect.switchId, why };
    case 'await-successor':
      return { type: 'successor-failed', switchId: effect.switchId, why };
    case 'hook': {
      const { stage, hook: from, switchId } = effect.question;
      const at = new Date(Date.now()).toISOString();
      return { type: 'hook-answered', switchId, answer: { stage, from, verdict: 'failed', at, why } };
    }
    case 'later':
    case 'approval-timer':
    case 'stand-down':
      // A pod that could not be told finds out by itself that its workflow is closed.
      return null;
  }
}
