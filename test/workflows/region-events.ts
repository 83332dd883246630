import fc from 'fast-check';
import type { LockTruth, Receipt, Tenure } from '../../workflows/contract';
import { hookStages } from '../../workflows/hook-stages';
import type { Happening, PodAddress, RegionEffect, RegionEvent } from '../../workflows/region-event';
import type { RegionState, SwitchGates } from '../../workflows/region-state';

export const lock = 'orders';
export const region = 'east';

export const tenureOf = (pod: string, token: number, where = region): Tenure => ({
  lock,
  region: where,
  pod,
  leaseId: `lease-${pod}`,
  token,
  since: '2026-01-01T00:00:00.000Z',
});

export const addressOf = (pod: string, where = 'west'): PodAddress => ({
  region: where,
  pod,
  queue: `baton/${where}/${pod}`,
});

export const receiptOf = (id: string, token: number): Receipt => ({
  id,
  lock,
  cause: 'switch',
  why: 'because',
  by: 'anna',
  from: { region, pod: 'p1', token },
  to: { region: 'west', pod: 'w1', token: token + 1 },
  at: '2026-01-01T00:00:01.000Z',
  drained: 1,
  requeued: 0,
  lastFinishedAt: null,
  firstStartedAt: null,
  gapMs: null,
});

export const truthOf = (holder: Tenure | null, last: Receipt | null = null, paused = false): LockTruth => ({
  holder,
  candidates: [],
  paused: paused ? { who: 'anna', why: 'maintenance', when: '2026-01-01T00:00:00.000Z' } : null,
  blocked: null,
  successor: null,
  last,
});

const pod = fc.constantFrom('p1', 'p2', 'p3');
/** Stand-ins for what fits the state that an event meets; see {@link fitted}. */
const [present, next, fitting] = [-1, -2, '*'];
const token = fc.oneof(fc.integer({ min: 1, max: 12 }), fc.constantFrom(present, next));
const switchId = fc.constantFrom('s1', fitting, fitting);
const seq = fc.integer({ min: 1_000, max: 1_020 });
const why = fc.constantFrom('because', 'x'.repeat(2_000));
const no = fc.constantFrom('silent' as const, 'refused' as const, 'failed' as const);
const tenure = fc
  .record({ pod, token, where: fc.constantFrom(region, region, region, 'west') })
  .map(({ pod: name, token: number, where }) => tenureOf(name, number, where));
const holder = fc.option(tenure);
const receipt = fc
  .record({ id: fc.oneof(switchId, fc.nat(60).map(String)), token })
  .map(({ id, token: number }) => receiptOf(id, number));
const truth = fc
  .record({ holder, last: fc.option(receipt), paused: fc.boolean() })
  .map((parts) => truthOf(parts.holder, parts.last, parts.paused));
const attempts = fc.array(
  fc.record({ at: fc.constant('2026-01-01T00:00:00.000Z'), pod, outcome: fc.constant('lost' as const), why }),
  { maxLength: 8 },
);
const extended = fc.record({
  outcome: fc.constant('extended' as const),
  marginMs: fc.integer({ min: 0, max: 9_000 }),
  processed: fc.nat(),
  inFlight: fc.nat(),
  receipt: fc.option(receipt),
});
const renewal = fc.oneof(
  extended,
  fc.tuple(extended, why).map(([result, reason]) => ({ ...result, failback: { to: 'west', why: reason } })),
  fc.record({ outcome: fc.constant('lost' as const), why, holder }),
  fc.record({ outcome: fc.constant('unknown' as const), why, marginMs: fc.integer({ min: 0, max: 9_000 }) }),
);
const handOver = fc.oneof(
  fc.record({ outcome: fc.constant('handed-over' as const), receipt }),
  fc.record({ outcome: fc.constantFrom('resumed' as const, 'refused' as const, 'lost' as const), why }),
);
const tenureResult = fc.record({
  outcome: fc.constant('tenure' as const),
  tenure,
  receipt: fc.option(receipt),
  attempts,
});
const notYetResult = fc.record({
  outcome: fc.constant('not-yet' as const),
  why,
  attempts,
  paused: fc.boolean(),
});

const hookStage = fc.constantFrom(...hookStages);
const hookName = fc.constantFrom('h1', 'h2');
const timedHook = fc.record({
  name: hookName,
  at: hookStage,
  timeoutMs: fc.constant(1_000),
  onFailure: fc.constantFrom('stop' as const, 'go-on' as const),
});
const gates: fc.Arbitrary<SwitchGates> = fc.oneof(
  fc.constant({ approvalWithinMs: 60_000 }),
  fc.record({ hooks: timedHook.map((each) => [each]) }),
  fc.record({
    hooks: fc.uniqueArray(timedHook, { maxLength: 4, selector: ({ name, at: stage }) => `${name} ${stage}` }),
    approvalWithinMs: fc.constant(60_000),
  }),
);
const hookAnswer = fc.record({
  stage: fc.oneof(hookStage, fc.constant('approval' as const)),
  from: hookName,
  verdict: fc.constantFrom('ok' as const, 'ok' as const, 'vetoed' as const, 'failed' as const),
  at: fc.constant('2026-01-01T00:00:00.000Z'),
  why,
});

type Of<T extends Happening['type']> = Extract<Happening, { type: T }>;
const of = <T extends Happening['type']>(
  type: T,
  parts: { [K in Exclude<keyof Of<T>, 'type'>]-?: fc.Arbitrary<NonNullable<Of<T>[K]> | Of<T>[K]> },
): fc.Arbitrary<Happening> =>
  fc.record(parts as object).map((rest) => ({ type, ...rest }) as unknown as Happening);

const byType: { [T in Happening['type']]: fc.Arbitrary<Happening> } = {
  'pod-ready': of('pod-ready', {
    ready: fc.oneof(
      { weight: 4, arbitrary: pod.map((name) => ({ pod: name, queue: `baton/${region}/${name}` })) },
      { weight: 1, arbitrary: fc.nat(200).map((n) => ({ pod: `q${n}`, queue: `q/${n}` })) },
    ),
  }),
  'pod-stopping': of('pod-stopping', { stopping: fc.record({ pod, why }) }),
  'tenure-ended': of('tenure-ended', { ended: fc.record({ pod, token, why }) }),
  'switch-requested': of('switch-requested', {
    request: fc.record({
      switchId,
      to: fc.constantFrom('west', 'east', null),
      reason: why,
      by: fc.constant('anna'),
    }),
  }),
  configured: of('configured', {
    change: fc.record({
      pod,
      settings: fc.constant({ beatMs: 2_000, drainLimitMs: 0, historyLimit: 500, minSwitchIntervalMs: 0 }),
    }),
  }),
  malformed: of('malformed', { signal: fc.constant('podReady'), why, switchId }),
  'tenure-reported': of('tenure-reported', { pod, seq, result: tenureResult }),
  'not-yet': of('not-yet', { pod, seq, tookMs: fc.constantFrom(0, 300_000), result: notYetResult }),
  'await-failed': of('await-failed', { pod, seq, no, why }),
  'stand-due': of('stand-due', { pod, seq }),
  'beat-due': of('beat-due', {}),
  renewed: of('renewed', { token, result: renewal }),
  'beat-silent': of('beat-silent', { token, why }),
  'listener-checked': of('listener-checked', { token, result: fc.constant(null), why }),
  'preflight-done': of('preflight-done', {
    switchId,
    token: fc.oneof({ weight: 9, arbitrary: fc.constant(present) }, token),
    failed: fc.constantFrom([], ['paused']),
    targets: fc.constantFrom([], [addressOf('w1')]),
    gates: fc.oneof(fc.constant(undefined), gates),
  }),
  'approval-answered': of('approval-answered', {
    approval: fc.record({
      switchId,
      verdict: fc.constantFrom('approve' as const, 'veto' as const),
      reason: why,
      by: fc.constant('ben'),
    }),
  }),
  'approval-due': of('approval-due', { switchId }),
  'hook-answered': of('hook-answered', { switchId, answer: hookAnswer }),
  'hand-over-answered': of('hand-over-answered', { switchId, outcome: handOver }),
  'hand-over-failed': of('hand-over-failed', { switchId, why }),
  'switch-aborted': of('switch-aborted', { switchId }),
  'abort-failed': of('abort-failed', { switchId, why }),
  inspected: of('inspected', { token, switchId: fc.option(switchId), truth }),
  'inspect-failed': of('inspect-failed', { token, switchId: fc.option(switchId), why }),
  'successor-seen': of('successor-seen', {
    switchId,
    result: fc.record({ holder, receipt: fc.option(receipt) }),
  }),
  'successor-failed': of('successor-failed', { switchId, why }),
  'abort-requested': of('abort-requested', { switchId, reason: why, by: fc.constant('ben') }),
  forced: of('forced', {
    force: token.map((number) => ({
      switchId: 'f1',
      token: number,
      to: 'west',
      reason: 'frozen',
      by: 'ben',
      waitFor: 'deadline' as const,
    })),
    outcome: fc.oneof(
      receipt.map((each) => ({ outcome: 'released' as const, receipt: each })),
      fc.constant({ outcome: 'refused' as const, why: 'another one holds it' }),
    ),
  }),
  marked: of('marked', {
    mark: fc.oneof(
      fc.record({
        kind: fc.constantFrom('pause' as const, 'resume' as const, 'ack' as const),
        reason: why,
        by: fc.constant('ben'),
      }),
      fc.record({
        kind: fc.constantFrom('cordon' as const, 'uncordon' as const),
        region: fc.constantFrom(region, 'west'),
        reason: why,
        by: fc.constant('ben'),
      }),
    ),
    result: fc.record({ changed: fc.boolean(), why }),
  }),
  'abort-due': of('abort-due', { switchId }),
  'step-due': of('step-due', { switchId }),
  cancelled: of('cancelled', {}),
};

/** Anything that can reach a region, in any order, fitting or not. To be {@link fitted}. */
export const anyHappening: fc.Arbitrary<Happening> = fc.oneof(...Object.values(byType));

/** What may come back for an effect. Nothing else can answer it. */
export function answersTo(effect: RegionEffect): fc.Arbitrary<Happening> {
  switch (effect.type) {
    case 'stand': {
      const { pod: name } = effect.pod;
      const question = fc.constant(effect.seq);
      return fc.oneof(
        of('tenure-reported', {
          pod: fc.constant(name),
          seq: question,
          result: tenureResult.map((result) => ({ ...result, tenure: { ...result.tenure, pod: name } })),
        }),
        of('not-yet', {
          pod: fc.constant(name),
          seq: question,
          tookMs: fc.constantFrom(0, 300_000),
          result: notYetResult,
        }),
        of('await-failed', { pod: fc.constant(name), seq: question, no, why }),
      );
    }
    case 'stand-down':
      return fc.constant({ type: 'stand-due', pod: 'nobody', seq: 0 });
    case 'start-listener':
      return of('listener-checked', {
        token: fc.constant(effect.tenure.token),
        result: fc.constant(null),
        why,
      });
    case 'renew': {
      const ours = fc.constant(effect.tenure.token);
      return fc.oneof(
        of('renewed', { token: ours, result: renewal }),
        of('beat-silent', { token: ours, why }),
      );
    }
    case 'preflight':
      return byType['preflight-done'].map(
        (done) => ({ ...done, switchId: effect.switchId, token: effect.tenure.token }) as Happening,
      );
    case 'drain-and-hand-over':
      return fc
        .oneof(byType['hand-over-answered'], byType['hand-over-failed'])
        .map((answer) => ({ ...answer, switchId: effect.request.switchId }) as Happening);
    case 'abort-switch':
      return fc
        .oneof(byType['switch-aborted'], byType['abort-failed'])
        .map((answer) => ({ ...answer, switchId: effect.switchId }) as Happening);
    case 'inspect':
      return fc
        .oneof(byType.inspected, byType['inspect-failed'])
        .map((answer) => ({ ...answer, switchId: effect.switchId, token: effect.token }) as Happening);
    case 'await-successor':
      return fc
        .oneof(byType['successor-seen'], byType['successor-failed'])
        .map((answer) => ({ ...answer, switchId: effect.switchId }) as Happening);
    case 'approval-timer':
      return fc
        .oneof(byType['approval-answered'], byType['approval-due'])
        .map((answer) => forSwitch(answer, effect.switchId));
    case 'hook': {
      const { stage, hook: from, switchId: id } = effect.question;
      return hookAnswer.map((answer) => ({
        type: 'hook-answered',
        switchId: id,
        answer: { ...answer, stage, from },
      }));
    }
    case 'later':
      return fc.constant(effect.event);
  }
}

const forSwitch = (answer: Happening, id: string): Happening =>
  answer.type === 'approval-answered'
    ? { ...answer, approval: { ...answer.approval, switchId: id } }
    : ({ ...answer, switchId: id } as Happening);

/** Replaces the stand-ins: half of the events are to fit, or the sequences would get nowhere. */
export function fitted(happening: Happening, state: RegionState, fresh: number): Happening {
  const underWay = happening.type === 'switch-requested' ? undefined : state.switch?.request.switchId;
  const values = new Map<unknown, unknown>([
    [present, state.tenure?.token ?? state.topToken],
    [next, state.topToken + 1],
    [fitting, underWay ?? `fresh-${fresh}`],
  ]);
  const replace = (key: string, value: unknown): unknown =>
    ['token', 'switchId', 'id'].includes(key) ? (values.get(value) ?? value) : value;
  return JSON.parse(JSON.stringify(happening, replace)) as Happening;
}

export const signal: fc.Arbitrary<Happening> = fc.oneof(
  byType['pod-ready'],
  byType['pod-stopping'],
  byType['tenure-ended'],
  byType['switch-requested'],
  byType.malformed,
  byType['beat-due'],
);

export const at = (happening: Happening, ms: number): RegionEvent => ({ ...happening, at: ms });

/** The answer that brings a region closest to standby: everything is over, etcd shows nobody. */
export function endingOf(state: RegionState): Happening | null {
  const { switch: underWay, tenure: held } = state;
  const id = underWay?.request.switchId ?? '';
  switch (underWay?.step) {
    case 'preflight':
      return {
        type: 'preflight-done',
        switchId: id,
        token: underWay.tenure.token,
        failed: ['over'],
        targets: [],
      };
    case 'approval':
      return { type: 'approval-due', switchId: id };
    case 'before-release':
    case 'after-release':
    case 'after-takeover': {
      const { gates: asked, answers = [], step: stage } = underWay;
      const open = (asked?.hooks ?? []).find(
        ({ at: when, name }) =>
          when === stage && !answers.some((each) => each.stage === stage && each.from === name),
      );
      const answer = { stage, from: open?.name ?? '', at: '', verdict: 'failed' as const, why: 'over' };
      return { type: 'hook-answered', switchId: id, answer };
    }
    case 'drain':
      return { type: 'hand-over-answered', switchId: id, outcome: { outcome: 'lost', why: 'over' } };
    case 'abort':
      return { type: 'switch-aborted', switchId: id };
    case 'settle':
      return { type: 'inspected', switchId: id, token: underWay.tenure.token, truth: truthOf(null) };
    case 'successor':
      return { type: 'successor-failed', switchId: id, why: 'over' };
    case undefined:
      return (
        held && { type: 'renewed', token: held.token, result: { outcome: 'lost', why: 'over', holder: null } }
      );
  }
}
