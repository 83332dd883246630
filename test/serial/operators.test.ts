import { TestSystem } from '../support/test-system';

jest.setTimeout(240_000);

let system: TestSystem;

/** One for the tests of a group: each but the last leaves the lock in the east and the west ready, as it has found them. */
const shareSystem = (): void => {
  beforeAll(async () => {
    system = await TestSystem.create();
    await system.bringUp();
  });
  afterAll(() => system.stop());
};

const switchTo = (to: string, ...more: string[]) =>
  system.tryBaton('switch', '--to', to, '--reason', 'test', '--by', 'jest', ...more);

describe('looking, and undoing', () => {
  shareSystem();

  test('a dry run, and why, give a verdict per check and touch nothing', async () => {
    const before = await system.view();
    const could = await system.tryBaton('switch', '--to', 'us-west', '--dry-run');
    expect(could).toMatchObject({ code: 0 });
    expect(could.stdout).toContain(`us-west could take ${system.lock} over now`);
    for (const check of [
      'holder',
      'not paused',
      'no other switch',
      'time since last change',
      'candidate',
      'broker reachable',
      'workflow running',
      'clock margin',
    ])
      expect(could.stdout).toMatch(new RegExp(`^ok +${check} `, 'm'));
    expect(could.stdout).toMatch(/^expected gap: unknown/m);
    expect((await system.tryBaton('why', 'us-east')).code).toBe(0);

    process.kill(system.processes('us-west-a').agent, 'SIGSTOP');
    const frozen = await system.tryBaton('why', 'us-west', '--json');
    expect(frozen.code).toBe(1);
    expect(JSON.parse(frozen.stdout)).toMatchObject({
      preflights: [
        {
          able: [],
          checks: expect.arrayContaining([
            // Its candidate may be gone by then.
            expect.objectContaining({
              check: expect.stringMatching(/^(pod answers|candidate)$/),
              region: 'us-west',
              passed: false,
            }),
            expect.objectContaining({ check: 'workflow running', region: 'us-west', passed: false }),
          ]),
        },
      ],
    });
    process.kill(system.processes('us-west-a').agent, 'SIGCONT');
    await system.untilReady('us-west-a');
    expect((await system.view()).holder?.token).toBe(before.holder?.token);
  });

  test('an abort during the drain gives the lock back to the old holder, under the same token', async () => {
    (await system.connectPublisher()).start(200);
    await system.untilProcessed(50);
    const before = await system.view();
    await system.publish('slow');
    const switching = switchTo('us-west', '--json');
    await system.until('the holder drains', ({ candidates }) =>
      candidates.some(({ region, state }) => region === 'us-east' && state === 'draining'),
    );
    const aborted = await system.tryBaton('abort', '--reason', 'wrong day', '--by', 'ben');
    expect(aborted).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('rolled-back: aborted by ben'),
    });
    const { code, stdout } = await switching;
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({
      switches: [{ outcome: 'not-done', why: expect.stringContaining('aborted by ben (wrong day)') }],
    });
    expect((await system.view()).holder?.token).toBe(before.holder?.token);
    await system.untilProcessed(system.processed() + 50);
    expect(await system.tryBaton('abort', '--reason', 'again')).toMatchObject({
      code: 1,
      stdout: expect.stringContaining('no switch of'),
    });
    expect(await system.settle()).toMatchObject({ lost: [], duplicates: [], overlaps: 0 });
  });

  test('history is one timeline of all regions, also without the workflows that made it', async () => {
    for (const to of ['us-west', 'us-east']) {
      expect(await switchTo(to)).toMatchObject({ code: 0 });
      await system.untilReady(to === 'us-west' ? 'us-east-a' : 'us-west-a');
    }
    const client = await system.temporalClient();
    for (const region of system.regions)
      await client.workflow.getHandle(`baton/${system.lock}/${region}`).terminate('history is gone');
    const table = (await system.baton('history')).trim().split('\n');
    expect(table).toHaveLength(4);
    expect(table[0]).toMatch(/^AT +LOCK +CAUSE +FROM +TO +TOKEN +GAP +DRAINED +BY +WHY$/);
    const { receipts } = JSON.parse(await system.baton('history', '--json')) as {
      receipts: { cause: string }[];
    };
    expect(receipts.map(({ cause }) => cause)).toEqual(['first', 'switch', 'switch']);
    const csv = (await system.baton('history', '--csv', '--since', '1h')).trim().split('\r\n');
    expect(csv).toHaveLength(4);
    expect(csv[0]).toMatch(/^at,lock,id,cause,/);
    expect(await system.baton('history', '--since', '2999-01-01')).toContain('no change of holder');
    expect(await system.tryBaton('history', '--since', 'yesterday')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('--since is yesterday: must be like 90m, 12h, 7d'),
    });
  });
});

describe('marks', () => {
  shareSystem();

  test('a cordoned region hands over, is no candidate, and stays so when everything in it restarts', async () => {
    (await system.connectPublisher()).start(200);
    await system.untilProcessed(50);
    const mark = ['us-east', '--reason', 'maintenance', '--by', 'jest'];
    expect(await system.baton('cordon', ...mark)).toContain('is cordoned now');
    const { last } = await system.untilHeldBy('us-west-a');
    expect(last?.receipt).toMatchObject({
      cause: 'switch',
      by: 'jest',
      why: 'us-east was cordoned: maintenance',
    });
    expect(await system.baton('status')).toMatch(/cordoned +us-east by jest/);

    await system.killPod('us-east-a');
    system.startPod('us-east-a');
    await system.until('us-east-a is back, and does not stand', ({ candidates }) =>
      candidates.some(
        ({ pod, state, standing }) => system.pod('us-east-a').owns(pod) && state === 'ready' && !standing,
      ),
    );
    const back = await switchTo('us-east');
    expect(back).toMatchObject({ code: 1, stderr: expect.stringContaining('us-east is cordoned by jest') });
    await system.baton('uncordon', ...mark);
    await system.untilReady('us-east-a');
    expect(await switchTo('us-east')).toMatchObject({ code: 0 });
    await system.untilReady('us-west-a');
    expect(await system.settle()).toMatchObject({
      lost: [],
      duplicates: [],
      overlaps: 0,
      tokensMonotonic: true,
    });
  });

  test('while paused nobody takes over and nobody switches; then somebody does', async () => {
    const mark = ['--reason', 'works on the line', '--by', 'jest'];
    expect(await system.baton('pause', ...mark)).toContain('is paused now');
    expect(await system.baton('pause', ...mark)).toContain('is paused already, by jest');
    const refused = await switchTo('us-west');
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('is paused') });
    await system.killPod('us-east-a');
    await system.until('the lock is free', ({ holder }) => holder === null);
    // Longer than a takeover takes.
    await new Promise((done) => setTimeout(done, 2_000));
    expect((await system.view()).holder).toBeNull();
    expect(await system.baton('status')).toMatch(/paused +by jest/);
    // With the active region gone, another region's workflow does it.
    expect(await system.baton('resume', ...mark)).toContain('is not paused any more');
    await system.untilHeldBy('us-west-a');
  });
});

describe('force', () => {
  shareSystem();

  const forced = (to: string, ...more: string[]) =>
    system.tryBaton('force', '--to', to, '--reason', 'frozen', '--by', 'jest', ...more);

  test('takes the lock from a frozen holder after its deadline; thawed, it does nothing any more', async () => {
    (await system.connectPublisher()).start(200);
    await system.untilProcessed(50);
    const { agent, listeners } = system.processes('us-east-a');
    for (const pid of [agent, ...listeners]) process.kill(pid, 'SIGSTOP');
    const frozenNs = process.hrtime.bigint();
    const beganMs = Date.now();
    const answer = await forced('us-west', '--json');
    expect(answer).toMatchObject({ code: 0 });
    // The TTL of these tests, less what a lease lives longer in etcd than for its pod.
    expect(Date.now() - beganMs).toBeGreaterThan(5_900);
    expect(JSON.parse(answer.stdout)).toMatchObject({
      forced: [{ receipt: { cause: 'takeover', to: { region: 'us-west' } } }],
    });
    // The listeners first: a thawed agent kills them at once.
    for (const pid of [...listeners, agent]) process.kill(pid, 'SIGCONT');
    for (const pid of listeners) void system.noteDeath(pid);
    const processed = system.processed();
    await system.untilProcessed(processed + 100);
    const verdict = await system.settle();
    expect(verdict).toMatchObject({ lost: [], tokensMonotonic: true });
    // Only what was frozen in its handler can overlap: the exception that the token is for.
    for (const [first] of verdict.overlapExamples) expect(first.startNs).toBeLessThan(frozenNs);
    expect((await system.store.listReceipts(2)).map(({ cause }) => cause)).toEqual(['takeover', 'force']);
    expect((await system.view()).blocked).toBeNull();
    await system.untilReady('us-east-a');
  });

  test('--now does not wait, wants --accept-duplicates, and says so in the receipt', async () => {
    expect(await forced('us-east', '--now')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('it needs --accept-duplicates'),
    });
    const answer = await forced('us-east', '--now', '--accept-duplicates');
    expect(answer).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('may have been processed twice'),
    });
    await system.untilHeldBy('us-east-a');
    // Fenced: it is a candidate again under a new lease, and not the holder.
    await system.untilReady('us-west-a');
    expect(await forced('us-east')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('is active in us-east already'),
    });
  });
});
