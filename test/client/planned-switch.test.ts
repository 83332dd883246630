import { UnknownOutcomeError } from '../../activities/errors';
import type { Receipt, RegionStatus, SwitchOutcome, SwitchTo } from '../../workflows/contract';
import { PlannedSwitch, type SwitchResult } from '../../src/client/planned-switch';
import { type Answer, type RegionWorkflows, WorkflowsAwayError } from '../../src/client/region-workflows';
import type { LockView } from '../../src/pod/lock-store';
import { eventually } from '../support/eventually';

const request = { lock: 'orders', switchId: 'id-1', to: 'us-west', reason: 'deploy', by: 'anna' };
const holder = { region: 'us-east', pod: 'e1-aa', since: '2026-01-01T00:00:00.000Z', leaseId: '1', token: 7 };
const receipt: Receipt = {
  id: 'id-1',
  lock: 'orders',
  cause: 'switch',
  why: 'deploy',
  by: 'anna',
  from: { region: 'us-east', pod: 'e1-aa', token: 7 },
  to: { region: 'us-west', pod: 'w1-bb', token: 9 },
  at: '2026-01-01T00:00:01.000Z',
  drained: 3,
  requeued: 5,
  lastFinishedAt: '2026-01-01T00:00:01.000Z',
  firstStartedAt: '2026-01-01T00:00:01.010Z',
  gapMs: 10,
};

/** etcd and the workflow, as one scripted switch sees them. */
class Script {
  view: LockView = {
    revision: 1,
    raftTerm: 1,
    holder,
    last: null,
    candidates: [],
    successor: null,
    blocked: null,
    paused: null,
    cordons: [],
    flap: { tripped: null, acked: null },
  };
  receipts: (Receipt | null | Error)[] = [null];
  told = { hooks: 0, limitMs: 0 };
  outcome: Partial<SwitchOutcome> | 'not-running' | Error | null = null;
  aborted: string[] = [];
  onAbort: () => void = () => undefined;
  asked: [string, string, SwitchTo][] = [];
  /** One after the other, the last one for ever. An update whose switch goes on answers only much later. */
  answers: (Answer<SwitchOutcome> | Error)[] = [{ outcome: 'ask-again' }];
  lines: string[] = [];

  /** By default there is time for everything, however slow the machine. */
  run(timeoutMs = 30_000, firstMessageMs = 30_000): Promise<SwitchResult> {
    const store = {
      read: async () => this.view,
      readReceipt: async () => {
        const next = this.receipts.length > 1 ? this.receipts.shift() : this.receipts[0];
        if (next instanceof Error) throw next;
        return next ?? null;
      },
      abortSwitch: async (id: string) => {
        this.aborted.push(id);
        this.onAbort();
      },
    };
    const workflows: Pick<RegionWorkflows, 'switchTo' | 'status'> = {
      switchTo: async (...call) => {
        this.asked.push(call);
        const next = this.answers.length > 1 ? this.answers.shift() : this.answers[0];
        if (next instanceof Error) throw next;
        return next as Answer<SwitchOutcome>;
      },
      status: async () => {
        if (this.outcome instanceof Error) throw this.outcome;
        if (this.outcome === 'not-running') return 'not-running';
        const lastSwitches =
          this.outcome === null ? [] : [{ switchId: 'id-1', receipt: null, ...this.outcome }];
        return { phase: 'draining', lastSwitches } as unknown as RegionStatus;
      },
    };
    const timing = { timeoutMs, firstMessageMs, told: this.told, contactMs: 20, pollMs: 5 };
    return new PlannedSwitch(request, store, workflows, timing, (line) => this.lines.push(line)).run();
  }
}

test('the active region is asked, under the switch id, and the receipt is the outcome', async () => {
  const script = new Script();
  script.receipts = [null, null, receipt];
  expect(await script.run()).toEqual({
    outcome: 'done',
    why: 'orders was handed over to us-west (pod w1-bb)',
    receipt,
    steps: [],
  });
  expect(script.asked.slice(0, 1)).toEqual([
    ['orders', 'us-east', { switchId: 'id-1', to: 'us-west', reason: 'deploy', by: 'anna' }],
  ]);
  expect(script.aborted).toEqual([]);
});

test('a receipt without a first message is awaited a little, and then given as it is', async () => {
  const waiting = { ...receipt, firstStartedAt: null, gapMs: null };
  const script = new Script();
  script.receipts = [waiting, waiting, waiting, receipt];
  expect(await script.run()).toMatchObject({ receipt });
  const idle = new Script();
  idle.receipts = [waiting];
  expect(await idle.run(30_000, 60)).toMatchObject({ outcome: 'done', receipt: waiting });
});

test('nobody is asked when the target is active, or nobody holds the lock', async () => {
  const script = new Script();
  script.view = { ...script.view, holder: { ...holder, region: 'us-west' } };
  expect(await script.run()).toMatchObject({
    outcome: 'already-active',
    why: expect.stringContaining('already active in us-west'),
  });
  script.view = { ...script.view, holder: null };
  expect(await script.run()).toMatchObject({
    outcome: 'not-done',
    why: expect.stringContaining('nobody holds orders'),
  });
  expect(script.asked).toEqual([]);
});

const outcome = (change: Partial<SwitchOutcome>): Answer<SwitchOutcome> => ({
  outcome: 'answered',
  answer: { ...request, result: 'done', why: 'because', receipt: null, ...change },
});

test.each(['refused', 'ignored', 'rolled-back', 'failed'] as const)(
  '%s comes with the workflow’s reason and its steps',
  async (result) => {
    const steps = [{ step: 'drain' as const, at: '2026-01-01T00:00:00.000Z', why: 'drains' }];
    const script = new Script();
    script.answers = [outcome({ result, why: 'us-west has no ready candidate', steps })];
    expect(await script.run()).toEqual({
      outcome: 'not-done',
      why: `${result}: us-west has no ready candidate`,
      steps,
    });
    expect(script.lines.at(-1)).toBe('drain: drains');
    expect(script.aborted).toEqual([]);
  },
);

test('a workflow that is not running is said so, with the command that starts it', async () => {
  const script = new Script();
  script.answers = [{ outcome: 'not-running' }];
  expect(await script.run()).toMatchObject({
    outcome: 'not-done',
    why: expect.stringContaining('baton start --region us-east'),
  });
});

test('what is turned down at once is not done, unless an earlier try has done it', async () => {
  const script = new Script();
  script.answers = [{ outcome: 'turned-down', why: 'orders is not active in us-east' }];
  expect(await script.run()).toMatchObject({ outcome: 'not-done', why: 'orders is not active in us-east' });
  const again = new Script();
  again.answers = [
    new WorkflowsAwayError('Temporal at t:7233 does not answer'),
    { outcome: 'turned-down', why: 'not active' },
  ];
  again.receipts = [null, receipt];
  expect(await again.run()).toMatchObject({ outcome: 'done', receipt });
});

test('one that waits for an approval is looked at, not asked again, until its outcome is there', async () => {
  const script = new Script();
  script.answers = [outcome({ result: 'running', why: 'waits for an approval' })];
  script.outcome = { result: 'running', why: 'waits for an approval' };
  const running = script.run();
  await eventually(() => expect(script.lines).toContain('waits for an approval'));
  script.outcome = { result: 'refused', why: 'vetoed by ben' };
  expect(await running).toMatchObject({ outcome: 'not-done', why: 'refused: vetoed by ben' });
  expect(script.asked).toHaveLength(1);
});

test('what the hooks say after the hand-over is waited for, as long as they may take', async () => {
  const said = { stage: 'after-takeover', from: 'chat', verdict: 'ok', at: '', why: 'told' } as const;
  const script = new Script();
  script.told = { hooks: 1, limitMs: 30_000 };
  script.receipts = [receipt, receipt, { ...receipt, answers: [said] }];
  expect(await script.run()).toMatchObject({ receipt: { answers: [said] } });
  const silent = new Script();
  silent.told = { hooks: 1, limitMs: 50 };
  silent.receipts = [receipt];
  expect(await silent.run()).toMatchObject({ outcome: 'done', receipt });
});

test('a lost answer is asked for again under the same id', async () => {
  const script = new Script();
  script.answers = [
    { outcome: 'ask-again' },
    new WorkflowsAwayError('Temporal at t:7233 does not answer'),
    { outcome: 'ask-again' },
    outcome({ receipt }),
  ];
  expect(await script.run()).toMatchObject({ outcome: 'done', receipt });
  expect(new Set(script.asked.map(([, , { switchId }]) => switchId))).toEqual(new Set(['id-1']));
});

test('a switch that Temporal never heard of, as far as one can tell, is aborted', async () => {
  const script = new Script();
  script.answers = [new WorkflowsAwayError('Temporal at t:7233 does not answer')];
  script.outcome = new WorkflowsAwayError('Temporal at t:7233 does not answer');
  expect(await script.run()).toMatchObject({
    outcome: 'not-done',
    why: expect.stringContaining('aborted: Temporal at t:7233 does not answer'),
  });
  expect(script.aborted).toEqual(['id-1']);
});

test('when the time is up the switch is aborted, so that it cannot happen later', async () => {
  const script = new Script();
  script.outcome = { result: 'running', why: 'waiting for 3 messages' };
  expect(await script.run(2_000)).toEqual({
    outcome: 'not-done',
    why: 'aborted: no outcome within 2 s; last known: waiting for 3 messages',
    steps: [],
  });
  expect(script.aborted).toEqual(['id-1']);
});

test('a hand-over that came before the abort is done', async () => {
  const script = new Script();
  script.onAbort = () => (script.receipts = [receipt]);
  expect(await script.run(50)).toMatchObject({ outcome: 'done', receipt });
});

test('the outcome is unsettled only while etcd does not answer, and says where it is decided', async () => {
  const script = new Script();
  script.receipts = [new UnknownOutcomeError('etcd gave no answer (http://etcd:2379)')];
  script.outcome = new WorkflowsAwayError('Temporal at t:7233 does not answer');
  const result = await script.run(60);
  expect(result).toMatchObject({ outcome: 'unsettled', why: expect.stringContaining('http://etcd:2379') });
  expect(result.why).toContain('id-1');
});

test('Temporal going away after the signal does not hide the receipt', async () => {
  const script = new Script();
  script.outcome = new WorkflowsAwayError('Temporal at t:7233 does not answer');
  script.receipts = [...Array<null>(10).fill(null), receipt];
  expect(await script.run()).toMatchObject({ outcome: 'done' });
  expect(script.lines).toContain('waiting for Temporal: Temporal at t:7233 does not answer');
});
