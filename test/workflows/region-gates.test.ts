import { setTimeout as sleep } from 'node:timers/promises';
import type { HookQuestion, SwitchAnswer } from '../../workflows/contract';
import type { HookSettings, LockSettings } from '../../src/config/config';
import { eventually } from '../support/eventually';
import { RegionFixture } from './region-fixture';

jest.setTimeout(180_000);

let fixture: RegionFixture;
afterEach(() => fixture.close());

const hook = (name: string, at: HookSettings['at'], timeoutMs = 5_000): HookSettings => ({
  name,
  at,
  timeoutMs,
  onFailure: 'stop',
  url: 'http://hook.invalid',
  folder: '/',
});

async function given(settings: Partial<LockSettings>) {
  fixture = await RegionFixture.create(settings);
  const { pod, tenure } = await fixture.active();
  const target = await fixture.pod('w1', fixture.west);
  return { pod, tenure, target };
}
const switchTo = (switchId: string) =>
  fixture.client.switchTo(fixture.lock, fixture.east, {
    switchId,
    to: fixture.west,
    reason: 'maintenance',
    by: 'anna',
  });
const approve = (switchId: string, by: string, verdict: 'approve' | 'veto' = 'approve') =>
  fixture.client.approve(fixture.lock, fixture.east, { switchId, verdict, reason: 'it is time', by });
const outcome = (switchId: string, partial: object) =>
  fixture.until({ lastSwitches: [{ switchId, ...partial }] });

it('waits for an approval as state, not in an update, until somebody else approves', async () => {
  const { pod } = await given({ approvalWithinMs: 60_000 });
  const asked = await switchTo('s1');
  expect(asked).toMatchObject({
    answer: { result: 'running', steps: [{ step: 'preflight' }, { step: 'approval' }] },
  });
  expect(await approve('s1', 'anna')).toEqual({
    outcome: 'turned-down',
    why: 'switch s1 was asked for by anna: it must be approved by somebody else',
  });
  expect(await approve('s9', 'ben')).toMatchObject({ outcome: 'turned-down' });
  expect(pod.callsOf('drainAndHandOver')).toEqual([]);
  expect(await approve('s1', 'ben')).toMatchObject({ outcome: 'answered' });
  await outcome('s1', { result: 'done' });
  expect(pod.callsOf('drainAndHandOver')).toMatchObject([
    { answers: [{ stage: 'approval', from: 'ben', verdict: 'ok', why: 'it is time' }] },
  ]);
  expect(await approve('s1', 'ben')).toMatchObject({ outcome: 'turned-down' });
  await fixture.record('approval');
});

it('goes on waiting across many continued runs', async () => {
  await given({ approvalWithinMs: 60_000, historyLimit: 60 });
  await switchTo('s1');
  const runs = await eventually(async () => {
    const { runs: count, phase } = await fixture.status();
    expect(count).toBeGreaterThan(3);
    expect(phase).toBe('active');
    return count;
  }, 60_000);
  expect(await switchTo('s1')).toMatchObject({ answer: { result: 'running' } });
  await eventually(async () => expect(await approve('s1', 'ben')).toMatchObject({ outcome: 'answered' }));
  const { runs: now } = await outcome('s1', { result: 'done' });
  expect(now).toBeGreaterThanOrEqual(runs);
});

it.each([
  ['vetoed', () => approve('s1', 'anna', 'veto'), 'vetoed by anna: it is time'],
  ['not approved in time', () => Promise.resolve(), 'nobody else has approved of it in time'],
] as const)('a switch that is %s ends untouched', async (name, end, why) => {
  const { pod } = await given({ approvalWithinMs: name === 'vetoed' ? 60_000 : 1_500 });
  await switchTo('s1');
  await end();
  await outcome('s1', { result: 'refused', why });
  expect(pod.callsOf('drainAndHandOver')).toEqual([]);
  expect((await fixture.status()).phase).toBe('active');
});

it('is aborted while it waits', async () => {
  await given({ approvalWithinMs: 60_000 });
  await switchTo('s1');
  const abort = { switchId: 's1', reason: 'wrong day', by: 'ben' };
  expect(await fixture.client.abortSwitch(fixture.lock, fixture.east, abort)).toMatchObject({
    answer: { result: 'rolled-back' },
  });
});

it('asks the hooks in their stages, and each answer is in the receipt', async () => {
  const hooks = [
    hook('freeze', 'before-release'),
    hook('dns', 'after-release'),
    hook('chat', 'after-takeover'),
    hook('page', 'after-takeover'),
  ];
  const { pod, tenure } = await given({ hooks });
  const answered = await switchTo('s1');
  const said = (stage: string, from: string) => ({ stage, from, verdict: 'ok' });
  expect(answered).toMatchObject({
    answer: {
      result: 'done',
      steps: ['preflight', 'before-release', 'drain', 'after-release', 'successor', 'after-takeover'].map(
        (step) => ({ step }),
      ),
      receipt: {
        answers: expect.arrayContaining([
          expect.objectContaining(said('before-release', 'freeze')),
          expect.objectContaining(said('after-release', 'dns')),
          expect.objectContaining(said('after-takeover', 'chat')),
          expect.objectContaining(said('after-takeover', 'page')),
        ]),
      },
    },
  });
  const asked = fixture.podsOf().flatMap((each) => each.callsOf<HookQuestion>('runHook'));
  expect(asked).toHaveLength(4);
  expect(asked.find(({ hook: name }) => name === 'freeze')).toMatchObject({
    switchId: 's1',
    from: { pod: pod.pod, token: tenure.token },
    to: fixture.west,
    reason: 'maintenance',
    by: 'anna',
    receipt: null,
  });
  expect(asked.find(({ hook: name }) => name === 'dns')).toMatchObject({ receipt: { id: 's1' } });
  await fixture.record('hooks');
});

it.each(['vetoed', 'failed', 'hangs'] as const)(
  'a hook that %s stops the switch before the release',
  async (how) => {
    const { pod } = await given({
      hooks: [hook('freeze', 'before-release', 300), hook('dns', 'after-release')],
    });
    for (const each of fixture.podsOf())
      each.answerHook = async ({ stage, hook: from }): Promise<SwitchAnswer> => {
        // Longer than a pod may take for it, as if it were frozen.
        if (how === 'hangs') await sleep(6_000);
        const verdict = how === 'hangs' ? 'ok' : how;
        return { stage, from, verdict, at: new Date().toISOString(), why: 'change freeze' };
      };
    await switchTo('s1');
    const said = how === 'hangs' ? 'failed: .*not finished in time' : `${how}: change freeze`;
    const why = new RegExp(`^stopped before the release: hook freeze ${said}`);
    await outcome('s1', {
      result: 'refused',
      why: expect.stringMatching(why),
    });
    expect(pod.callsOf('drainAndHandOver')).toEqual([]);
    expect((await fixture.status()).phase).toBe('active');
  },
);
