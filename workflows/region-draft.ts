import type {
  Attempt,
  Failback,
  HookStage,
  HookTiming,
  Marked,
  Receipt,
  StepRecord,
  SwitchAnswer,
  SwitchOutcome,
  Tenure,
} from './contract';
import { doneText } from './decision-text';
import { podQueue } from './names';
import type { NoAnswer, PodAddress, RegionEffect, SwitchRequest } from './region-event';
import {
  isHandedOver,
  isUntouched,
  limits,
  type PodRecord,
  type RegionState,
  type SwitchStep,
  type SwitchUnderWay,
  type Transition,
} from './region-state';

/** A pod that answers at once is asked again after 1, 2, 4, 8 s: below the 10 s after which it signals. */
const standPauseMs = (hasty: number): number => Math.min(1_000 * 2 ** (hasty - 1), 8_000);
/** Nothing but etcd can settle a switch without an answer, so it is asked for ever, ever more rarely. */
const settlePauseMs = (tries: number): number => Math.min(1_000 * 2 ** tries, 300_000);

/**
 * The next state in the making, with the effects it calls for. Each method is one thing that a transition may
 * decide; together they keep what must hold between the fields. The state it starts from is not changed.
 */
export class RegionDraft {
  readonly state: RegionState;
  private readonly effects: RegionEffect[] = [];

  constructor(from: RegionState) {
    this.state = { ...from };
  }

  // --- the end of every transition -------------------------------------------------------------------

  decide(why: string): Transition {
    this.state.why = clip(why);
    return { state: this.state, effects: this.effects, why: this.state.why, decisive: true };
  }

  note(why: string): Transition {
    return { state: this.state, effects: this.effects, why: clip(why), decisive: false };
  }

  // --- pods ------------------------------------------------------------------------------------------

  pod(pod: string): PodRecord | undefined {
    return this.state.pods.find((record) => record.pod === pod);
  }

  register(pod: string, queue: string): void {
    this.forget(pod);
    const record = { pod, queue, awaiting: null, unanswered: 0, hasty: 0, stopping: false };
    this.state.pods = [...this.state.pods, record];
  }

  forget(pod: string): void {
    this.state.pods = this.state.pods.filter((record) => record.pod !== pod);
  }

  /** Makes room for a pod that answers. */
  forgetOneDead(): boolean {
    const dead = this.state.pods.find(
      ({ unanswered, hasty, stopping }) => unanswered + hasty > 0 || stopping,
    );
    if (dead) this.forget(dead.pod);
    return dead !== undefined;
  }

  stopping(pod: string): void {
    if (this.pod(pod)?.awaiting === null) this.forget(pod);
    else this.change(pod, { stopping: true });
  }

  /** Whether this is the question that is open; a forgotten pod that registered again has a newer one. */
  isOpen(pod: string, seq: number): boolean {
    return this.pod(pod)?.awaiting === seq;
  }

  answered(pod: string, { hasty }: { hasty: boolean }): void {
    const record = this.pod(pod);
    if (record?.stopping) this.forget(pod);
    else if (record)
      this.change(pod, {
        awaiting: null,
        unanswered: 0,
        hasty: hasty ? Math.min(record.hasty + 1, 100) : 0,
      });
  }

  /** The pod's record with one more failure, or nothing when it is not to be asked again. */
  unanswered(pod: string, no: NoAnswer): PodRecord | undefined {
    const record = this.pod(pod);
    if (record?.stopping) this.forget(pod);
    else if (record && no === 'silent')
      this.change(pod, { awaiting: null, unanswered: record.unanswered + 1 });
    else if (record) this.change(pod, { awaiting: null, unanswered: 0, hasty: record.hasty + 1 });
    return this.pod(pod);
  }

  /** Asks the pod to stand, now. */
  stand(pod: string): void {
    const record = this.pod(pod);
    if (!record || record.stopping) return;
    const seq = this.seq();
    this.change(pod, { awaiting: seq });
    const { topToken: afterToken, lockPaused: paused } = this.state;
    this.effects.push({ type: 'stand', pod: this.address(record), afterToken, paused, seq });
  }

  /** The same after a pause, if its last answers came suspiciously fast. */
  standSoon(pod: string): void {
    const { hasty = 0, stopping = true } = this.pod(pod) ?? {};
    if (stopping) return;
    if (hasty === 0) return this.stand(pod);
    const seq = this.seq();
    this.change(pod, { awaiting: seq });
    this.effects.push({ type: 'later', ms: standPauseMs(hasty), event: { type: 'stand-due', pod, seq } });
  }

  standDown(pod: string): void {
    const record = this.pod(pod);
    if (record) this.effects.push({ type: 'stand-down', pod: this.address(record), seq: this.seq() });
  }

  // --- tenure ----------------------------------------------------------------------------------------

  /** Takes a tenure of this region as the present one, if it is newer than every one seen. */
  adopt(tenure: Tenure, source: string, at: number): Transition {
    const { lock, region, topToken } = this.state;
    if (tenure.lock !== lock || tenure.region !== region)
      return this.note(`ignored a tenure of ${tenure.lock} in ${tenure.region}, from ${source}`);
    if (tenure.token <= topToken)
      return this.note(`ignored token ${tenure.token} from ${source}: ${topToken} has been seen`);
    const why = `active: ${tenure.pod} holds ${lock} with token ${tenure.token} (${source})`;
    Object.assign(this.state, { tenure, topToken: tenure.token, silentBeats: 0, beat: null, beatFrom: at });
    const { switch: underWay } = this.state;
    // Nobody has been told anything yet, so the newer tenure is given away: as when a listener was just replaced.
    if (underWay && isUntouched(underWay.step)) this.changeSwitch({ tenure });
    // Its successor has had the lock already; what is still to be heard of it is no reason to refuse the next switch.
    if (underWay && isHandedOver(underWay.step)) this.conclude('done', doneText(underWay.receipt));
    // A switch that is on its way is settled first; its answer decides on the phase.
    if (this.state.switch === null || isUntouched(this.state.switch.step)) {
      this.state.phase = 'active';
      this.startListener();
    }
    return this.decide(why);
  }

  /** The present tenure has ended, by the word of its pod or of etcd. */
  tenureOver(why: string, at: number): Transition {
    Object.assign(this.state, { tenure: null, silentBeats: 0, beat: null, beatFrom: at });
    if (this.state.switch && isUntouched(this.state.switch.step))
      this.conclude('failed', `nothing was touched: ${why}`);
    if (this.state.switch === null) this.state.phase = this.idle();
    return this.decide(`${this.state.phase}: ${why}`);
  }

  /** The same, where etcd's word on the holder is known: it may be another pod of this region. */
  lostTo(holder: Tenure | null, why: string, at: number): Transition {
    const over = this.tenureOver(why, at);
    const ours = holder?.region === this.state.region && holder.token > this.state.topToken;
    return holder && ours ? this.adopt(holder, 'as etcd shows', at) : over;
  }

  startListener(): void {
    const { tenure } = this.state;
    if (!tenure) return;
    this.effects.push({ type: 'start-listener', holder: this.holder(tenure), tenure, seq: this.seq() });
  }

  /** Renews at once. False when there is nothing to renew, or the last beat is still on its way. */
  beatNow(): boolean {
    const { tenure, phase, beating } = this.state;
    if (!tenure || phase !== 'active' || beating !== null) return false;
    this.state.beating = tenure.token;
    this.effects.push({ type: 'renew', holder: this.holder(tenure), tenure, seq: this.seq() });
    return true;
  }

  beatEnded(at: number): void {
    Object.assign(this.state, { beating: null, beatFrom: at });
  }

  beat(at: number, line: string, figures: { processed: number; inFlight: number } | null): void {
    const { processed, inFlight } = figures ?? this.state.beat ?? { processed: 0, inFlight: 0 };
    this.state.silentBeats = 0;
    this.state.beat = { at: new Date(at).toISOString(), outcome: clip(line), processed, inFlight };
  }

  silent(at: number): void {
    const silentBeats = this.state.silentBeats + 1;
    this.beat(at, `no answer, ${silentBeats} in a row`, null);
    this.state.silentBeats = silentBeats;
  }

  /** Lets another pod look into etcd for the truth about the present tenure. */
  inspect(): void {
    const { tenure } = this.state;
    const via = this.via({ holderLast: true }).filter(({ pod }) => pod !== tenure?.pod);
    if (tenure && via.length > 0)
      this.effects.push({ type: 'inspect', token: tenure.token, switchId: null, via });
  }

  seePause(paused: boolean): void {
    this.state.lockPaused = paused;
    if (this.state.phase === 'standby' || this.state.phase === 'paused') this.state.phase = this.idle();
  }

  seeCordon(cordoned: Marked | null): void {
    if (cordoned === null) delete this.state.cordonTriedAt;
    this.state.cordoned = cordoned;
  }

  /** The holder of a cordoned region hands over to another one, tried again as long as there is none. */
  leaveCordoned(at: number): Transition | null {
    const { cordoned, cordonTriedAt, tenure, phase, switch: underWay, seq } = this.state;
    const triedLately = cordonTriedAt !== undefined && at - cordonTriedAt < limits.cordonRetryMs;
    if (!cordoned || !tenure || phase !== 'active' || underWay || triedLately) return null;
    this.state.cordonTriedAt = at;
    const reason = `${this.state.region} was cordoned: ${cordoned.why}`;
    // Unlike any other id in this region, and the same when the run is replayed.
    const switchId = `cordon-${this.state.region}-${tenure.token}-${seq}`;
    const request = { switchId, to: null, reason: clip(reason), by: cordoned.who };
    const why = `${reason}: asking who could take over`;
    this.begin(request, tenure, why, at);
    return this.decide(why);
  }

  /** Back to a more preferred region, as the holder's pod sees that it may; tried again as long as it may. */
  goBack(failback: Failback | undefined, at: number): Transition | null {
    const { failbackTriedAt, tenure, phase, switch: underWay, seq } = this.state;
    const triedLately = failbackTriedAt !== undefined && at - failbackTriedAt < limits.failbackRetryMs;
    if (!failback || !tenure || phase !== 'active' || underWay || triedLately) return null;
    this.state.failbackTriedAt = at;
    const reason = `failback: ${failback.why}`;
    const switchId = `failback-${this.state.region}-${tenure.token}-${seq}`;
    const request = { switchId, to: failback.to, reason: clip(reason), by: 'baton' };
    const why = `${reason}: asking whether it could take over`;
    this.begin(request, tenure, why, at);
    return this.decide(why);
  }

  // --- a switch --------------------------------------------------------------------------------------

  begin(request: SwitchRequest, tenure: Tenure, why: string, at: number): void {
    this.state.switch = {
      request,
      tenure,
      step: 'preflight',
      tries: 0,
      targets: [],
      receipt: null,
      why: clip(why),
      steps: [],
    };
    this.noteStep('preflight', why, at);
    this.step();
  }

  /** Commits an operator's abort, while the drain goes on. */
  abort(reason: string, by: string): void {
    this.changeSwitch({ abort: { reason, by } });
    this.askAbort(`aborted by ${by}: ${reason}`);
  }

  abortLater(): void {
    const { switch: underWay } = this.state;
    if (!underWay) return;
    const { switchId } = underWay.request;
    this.effects.push({ type: 'later', ms: 1_000, event: { type: 'abort-due', switchId } });
  }

  goTo(step: SwitchStep, why: string, at: number): Transition {
    this.changeSwitch({ step, tries: 0, why: clip(why) });
    this.noteStep(step, why, at);
    if (!isUntouched(step)) this.state.phase = step === 'drain' ? 'draining' : 'handing-over';
    this.step();
    return this.decide(why);
  }

  awaitApproval(withinMs: number, at: number): Transition {
    const { by = '' } = this.state.switch?.request ?? {};
    const approvalUntil = at + withinMs;
    this.changeSwitch({ approvalUntil });
    const until = new Date(approvalUntil).toISOString();
    return this.goTo('approval', `waits until ${until} for an approval by somebody else than ${by}`, at);
  }

  hear(answer: SwitchAnswer): void {
    const heard = { ...answer, why: clip(answer.why) };
    this.changeSwitch({ answers: [...(this.state.switch?.answers ?? []), heard].slice(-limits.answers) });
  }

  /** Those of a stage that have not answered yet. */
  openHooks(stage: HookStage): HookTiming[] {
    const { gates, answers = [] } = this.state.switch ?? {};
    return (gates?.hooks ?? []).filter(
      ({ at, name }) => at === stage && !answers.some((each) => each.stage === stage && each.from === name),
    );
  }

  /** Asks the present step's question again after a pause. */
  tryLater(why: string, ms?: number): Transition {
    const { switch: underWay } = this.state;
    if (!underWay) return this.note(why);
    const { switchId } = underWay.request;
    this.changeSwitch({ tries: underWay.tries + 1, why: clip(why) });
    this.effects.push({
      type: 'later',
      ms: ms ?? settlePauseMs(underWay.tries),
      event: { type: 'step-due', switchId },
    });
    return this.decide(why);
  }

  /** The present step's question. */
  step(): void {
    const { switch: underWay } = this.state;
    if (!underWay) return;
    const { request, tenure, targets, step } = underWay;
    const { switchId, to } = request;
    switch (step) {
      case 'preflight':
        return this.ask({ type: 'preflight', switchId, to, tenure, via: this.via({ holderLast: false }) });
      case 'drain': {
        const holder = this.holder(tenure);
        const seq = this.seq();
        const { answers } = underWay;
        return this.ask({
          type: 'drain-and-hand-over',
          request,
          holder,
          tenure,
          targets,
          seq,
          ...(answers && { answers }),
        });
      }
      case 'abort':
        return this.askAbort(`the holder ${tenure.pod} gave no answer to the drain`);
      case 'settle':
        return this.ask({
          type: 'inspect',
          token: tenure.token,
          switchId,
          via: this.via({ holderLast: true }),
        });
      case 'approval':
        return this.ask({ type: 'approval-timer', switchId, until: underWay.approvalUntil ?? 0 });
      case 'before-release':
      case 'after-release':
      case 'after-takeover':
        return this.askHooks(underWay, step);
      case 'successor':
        return this.ask({ type: 'await-successor', switchId, via: this.via({ holderLast: false }) });
    }
  }

  /** The hand-over is committed: the tenure is over, only the successor's first message is awaited. */
  handedOver(receipt: Receipt, at: number): Transition {
    const { switch: underWay, tenure } = this.state;
    this.changeSwitch({ receipt });
    this.remember(receipt, []);
    if (tenure && tenure.token === underWay?.tenure.token)
      Object.assign(this.state, { tenure: null, silentBeats: 0, beat: null, beatFrom: at });
    if (!receipt.to) return this.conclude('done', `the lock was released: ${receipt.why}`);
    const { region, pod, token } = receipt.to;
    const step = this.openHooks('after-release').length > 0 ? 'after-release' : 'successor';
    return this.goTo(step, `handed over to ${region}/${pod} with token ${token}`, at);
  }

  /** The successor has begun, as far as can be known. */
  takenOver(receipt: Receipt | null, why: string, at: number): Transition {
    if (receipt) this.changeSwitch({ receipt });
    if (this.openHooks('after-takeover').length > 0) return this.goTo('after-takeover', why, at);
    return this.conclude('done', why);
  }

  conclude(result: SwitchOutcome['result'], why: string, receipt: Receipt | null = null): Transition {
    const { switch: underWay } = this.state;
    if (!underWay) return this.note(why);
    this.state.switch = null;
    this.state.phase = this.state.tenure ? 'active' : this.idle();
    const { answers } = underWay;
    const last = receipt ?? underWay.receipt;
    const known = last && answers ? { ...last, answers } : last;
    this.remember(known, []);
    return this.answer(underWay.request, result, why, known, underWay.steps);
  }

  /** Records what became of a request. */
  answer(
    request: SwitchRequest,
    result: SwitchOutcome['result'],
    why: string,
    receipt: Receipt | null = null,
    steps: StepRecord[] = [],
  ): Transition {
    const outcome: SwitchOutcome = { ...request, result, why: clip(why), receipt, steps };
    this.state.lastSwitches = [outcome, ...this.state.lastSwitches].slice(0, limits.lastSwitches);
    return this.decide(`switch ${request.switchId} ${result}: ${why}`);
  }

  // --- records ---------------------------------------------------------------------------------------

  remember(receipt: Receipt | null, attempts: Attempt[]): void {
    if (receipt) {
      const others = this.state.receipts.filter(({ id }) => id !== receipt.id);
      this.state.receipts = [receipt, ...others].slice(0, limits.receipts);
    }
    const newest = attempts.map((attempt) => ({ ...attempt, why: clip(attempt.why) })).toReversed();
    this.state.attempts = [...newest, ...this.state.attempts].slice(0, limits.attempts);
  }

  countSignal(isMalformed: boolean): void {
    const { taken, malformed } = this.state.signals;
    this.state.signals = { taken: taken + 1, malformed: malformed + (isMalformed ? 1 : 0) };
  }

  // --- within ----------------------------------------------------------------------------------------

  private askAbort(why: string): void {
    const { switch: underWay } = this.state;
    if (!underWay) return;
    const { switchId } = underWay.request;
    this.ask({ type: 'abort-switch', switchId, why, via: this.via({ holderLast: true }) });
  }

  private askHooks({ request, tenure, receipt }: SwitchUnderWay, stage: HookStage): void {
    const { switchId, to, reason, by } = request;
    const { region, pod, token } = tenure;
    const via = this.via({ holderLast: true });
    for (const { name: hook, timeoutMs } of this.openHooks(stage)) {
      const from = { region, pod, token };
      const { lock } = this.state;
      const question = { lock, hook, stage, switchId, from, to, reason, by, receipt };
      this.ask({ type: 'hook', question, timeoutMs, via });
    }
  }

  private noteStep(step: SwitchStep, why: string, at: number): void {
    const { steps = [] } = this.state.switch ?? {};
    const record = { step, at: new Date(at).toISOString(), why: clip(why) };
    this.changeSwitch({ steps: [...steps, record].slice(-limits.steps) });
  }

  private ask(effect: RegionEffect): void {
    this.effects.push(effect);
  }

  private seq(): number {
    this.state.seq += 1;
    return this.state.seq;
  }

  private idle(): 'standby' | 'paused' {
    return this.state.lockPaused ? 'paused' : 'standby';
  }

  private change(pod: string, change: Partial<PodRecord>): void {
    this.state.pods = this.state.pods.map((record) =>
      record.pod === pod ? { ...record, ...change } : record,
    );
  }

  changeSwitch(change: Partial<SwitchUnderWay>): void {
    if (this.state.switch) this.state.switch = { ...this.state.switch, ...change };
  }

  private address({ pod, queue }: PodRecord): PodAddress {
    return { region: this.state.region, pod, queue };
  }

  private holder({ region, pod }: Tenure): PodAddress {
    const known = this.pod(pod);
    return known ? this.address(known) : { region, pod, queue: podQueue(region, pod) };
  }

  /** Whom to ask about etcd, best first: pods that answer, those a switch was aimed at, and the holder. */
  via({ holderLast }: { holderLast: boolean }): PodAddress[] {
    const { pods, tenure, switch: underWay } = this.state;
    const held = underWay?.tenure ?? tenure;
    const holder = held ? [this.holder(held)] : [];
    const others = [...pods]
      .filter(({ pod, stopping }) => pod !== held?.pod && !stopping)
      .toSorted((a, b) => a.unanswered - b.unanswered)
      .map((record) => this.address(record));
    const targets = underWay?.targets ?? [];
    const most = limits.via - holder.length;
    // Of the targets at least one: the holder's region may be cut off as a whole.
    const rest = [...others.slice(0, Math.max(most - Math.min(targets.length, 1), 0)), ...targets].slice(
      0,
      most,
    );
    return holderLast ? [...rest, ...holder] : [...holder, ...rest];
  }
}

const clip = (text: string): string =>
  // Never half of a pair: no UTF-8 has it.
  text.length > limits.text ? `${text.slice(0, limits.text - 1).replace(/\p{Surrogate}$/u, '')}…` : text;
