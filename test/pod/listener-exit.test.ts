import { RefusedError } from '../../activities/errors';
import { candidateOf, PodFixture, settled } from './pod-fixture';

let fixture: PodFixture;
beforeEach(() => (fixture = new PodFixture()));
afterEach(async () => {
  jest.restoreAllMocks();
  await fixture.close();
});

describe('a listener that exits', () => {
  test('is replaced in place by the spare, under a new token', async () => {
    const a = await fixture.holder('us-east-a');
    await fixture.standby('us-west-a');
    const { token } = a;
    a.group.crash();
    const next = await a.untilHolding(token);
    expect(a.group.listener.starts.map((start) => start.token)).toEqual([next]);
    const { holder, last } = await fixture.view();
    expect(holder).toMatchObject({ pod: 'us-east-a', token: next });
    expect(last?.receipt).toMatchObject({ cause: 'listener-restart', from: { token }, to: { token: next } });
    expect(a.notices).toEqual([]);
  });

  test('a second time gives the lock up, for others to take; the pod backs off', async () => {
    const a = await fixture.holder('us-east-a');
    const b = await fixture.standby('us-west-a');
    const { token } = a;
    a.group.crash();
    const second = await a.untilHolding(token);
    a.group.crash();
    const next = await b.untilHolding(second);
    expect(a.notices.map((notice) => notice.token)).toEqual([second]);
    const view = await fixture.until('it says so', (v) => candidateOf(v, 'us-east-a')?.state === 'unhealthy');
    expect(candidateOf(view, 'us-east-a')?.standing).toBe(false);
    expect(a.agent.whyNotReady()).toContain('backs off');
    // It does not come back at once, even with nobody else there: others would lose to it for ever.
    await b.agent.shutDown('SIGTERM');
    await settled(a);
    expect((await fixture.view()).holder).toBeNull();
    // After the back-off it does.
    await a.untilHolding(next, 40_000);
  });

  test('a second time lets a standby take over at once, not only at its next extension', async () => {
    // Extensions are a minute apart.
    const settings = { leaseTtlMs: 180_000 };
    const a = await fixture.holder('us-east-a', { settings });
    const { token } = a;
    a.group.crash();
    const second = await a.untilHolding(token);
    const b = await fixture.standby('us-west-a', { settings });
    // It competes on the watch event, with a `last` that has changed since, and is refused; the read that
    // shows it what is there now comes before that answer. After this, nothing happens to the lock.
    const original = b.store.changeHolder.bind(b.store);
    jest.spyOn(b.store, 'changeHolder').mockImplementationOnce(async (change) => {
      const result = await original(change);
      await new Promise((resolve) => setTimeout(resolve, 300));
      return result;
    });
    const crashed = performance.now();
    a.group.crash();
    await b.untilHolding(second);
    expect(performance.now() - crashed).toBeLessThan(25_000);
  });

  test('without a spare that becomes warm gives the lock up within about a TTL', async () => {
    const leaseTtlMs = 8_000;
    const a = await fixture.holder('us-east-a', { settings: { leaseTtlMs } });
    const b = await fixture.standby('us-west-a');
    const { token } = a;
    a.group.replacement = 'starting';
    a.group.crash();
    // Or never: its lease is extended all the same.
    await b.untilHolding(token, 3 * leaseTtlMs);
    expect(a.agent.tenure).toBeNull();
    expect((await fixture.view()).last?.receipt.from?.token).toBe(token);
  });

  test.each(['starting', 'none'] as const)('does not hold up a shutdown (replacement: %s)', async (kind) => {
    // Waiting for the spare would take a TTL.
    const a = await fixture.holder('us-east-a', { settings: { leaseTtlMs: 120_000 } });
    const { token } = a;
    a.group.replacement = kind;
    a.group.crash();
    const began = performance.now();
    await a.agent.shutDown('SIGTERM');
    expect(performance.now() - began).toBeLessThan(30_000);
    const view = await fixture.view();
    expect(view.holder).toBeNull();
    expect(view.last?.receipt).toMatchObject({ cause: 'release', from: { token } });
  });

  test('whose restart fails in an unexpected way ends the tenure, for another pod to take', async () => {
    const a = await fixture.holder('us-east-a');
    const b = await fixture.standby('us-west-a');
    const { token } = a;
    jest.spyOn(a.store, 'changeHolder').mockRejectedValue(new RefusedError('etcdserver: too many requests'));
    a.group.crash();
    await b.untilHolding(token);
    expect(a.agent.tenure).toBeNull();
    expect(a.notices.map((notice) => notice.token)).toEqual([token]);
  });

  test('in a pod that does not hold the lock costs it nothing but a moment', async () => {
    const a = await fixture.holder('us-east-a');
    const b = await fixture.standby('us-west-a');
    b.group.crash();
    await settled(b);
    await expect(a.agent.instructions.toTargets(a.switchInput([b]))).resolves.toMatchObject({
      outcome: 'handed-over',
    });
    await b.untilHolding();
  });
});
