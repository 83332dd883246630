import fc from 'fast-check';
import { statusText } from '../../src/cli/status-text';
import { lockStatus } from '../../src/client/lock-status';
import { PodFixture, settled, type ScriptedPod } from '../pod/pod-fixture';
import { fuzzLimitMs, fuzzRuns } from './fuzz-runs';
import { hostileJson, hostileText } from './hostile-values';

jest.setTimeout(fuzzLimitMs(120_000));

let fixture: PodFixture;
beforeEach(() => {
  fixture = new PodFixture();
});
afterEach(() => fixture.close());

const value = fc.oneof(
  fc.constantFrom('', '{', 'null', '[]', '{}', '\0', '{"region": 5}', '\ufffe', 'x'.repeat(1_000_000)),
  fc.constantFrom(
    '{"who": "a\\u001b[2J\\nb", "why": "\\u0007", "when": "never", "region": "x", "switchId": "/"}',
  ),
  hostileJson.map((json) => JSON.stringify(json) ?? ''),
  hostileText,
);

const running = (pods: ScriptedPod[]): ScriptedPod[] =>
  pods.filter(({ agent }) => agent.tenure?.phase === 'running');

async function status(): Promise<string> {
  const view = await fixture.view();
  const regions = ['here', 'there'].map((region) => ({ region, reading: 'not-running' as const }));
  const locks = [lockStatus(fixture.lock, { view, ttlLeftMs: null }, regions)];
  return statusText({ locks, temporalAway: null }, Date.now());
}

test('whatever somebody writes into its keys: no agent ends, no two work, and status says so', async () => {
  const { etcd } = fixture;
  const { keys } = etcd;
  const pods = [await fixture.holder('here-a'), await fixture.standby('there-b')];
  const [first, second] = pods as [ScriptedPod, ScriptedPod];
  const switched: string[] = [
    ...[keys.successor, keys.blocked, keys.paused, keys.last, keys.tripped, keys.acked],
    ...[keys.cordon('here'), keys.cordon('elsewhere'), `${keys.cordons}a/b`, `${keys.flap}x`],
    ...[keys.receipt('r1'), keys.aborted('s1'), keys.attempt('ab'), `${keys.prefix}unheard-of/\u0001`],
    ...[keys.candidate('here', 'ghost'), `${keys.candidates}here`, `${keys.candidates}a/b/c`],
    ...[keys.candidate('here', first.name), keys.candidate('there', second.name)],
  ];
  const written = new Set<string>();
  for (const [key, text] of fc.sample(fc.tuple(fc.constantFrom(...switched), value), fuzzRuns(60))) {
    await etcd.putRaw(key, text);
    written.add(key);
    expect(running(pods).length).toBeLessThanOrEqual(1);
    // oxlint-disable-next-line no-control-regex -- a terminal must not be steered
    expect(await status()).not.toMatch(/[\u0000-\u0009\u000b-\u001f]/);
  }
  await Promise.all(pods.map(settled));
  expect(etcd.problems.length).toBeGreaterThan(0);

  // The worst: who holds it cannot be read. The holder stops, and nobody else begins.
  const before = first.agent.tenure?.token ?? 0;
  await etcd.putRaw(keys.holder, '\0garbage');
  await first.untilNotHolding();
  await Promise.all(pods.map(settled));
  expect(running(pods)).toEqual([]);
  expect(await status()).toContain('(unreadable)');

  // Cleaned up, it goes on by itself, under a higher token.
  for (const key of [...written, keys.holder]) await etcd.deleteRaw(key);
  const [token, other] = await Promise.race(
    pods.map(async (pod, index) => [await pod.untilHolding(before), pods[1 - index] as ScriptedPod] as const),
  );
  expect(token).toBeGreaterThan(before);
  expect(other.agent.tenure).toBeNull();
});
