import { TestSystem } from '../support/test-system';

jest.setTimeout(240_000);

let system: TestSystem;
afterEach(() => system.stop());

/** The east holds, the west is ready. */
async function start(lockSettings: Record<string, unknown>): Promise<void> {
  system = await TestSystem.create({ lockSettings });
  await system.bringUp();
}

test('past its limit of automatic changes a lock stays in its region until baton ack', async () => {
  await start({ maxChangesPerHour: 1 });
  await system.killPod('us-east-a');
  await system.untilHeldBy('us-west-a');
  system.startPod('us-east-a');
  await system.untilReady('us-east-a');
  await system.killPod('us-west-a');
  await system.until('no more changes', ({ holder, flap }) => holder === null && flap.tripped !== null);
  expect(await system.baton('status')).toMatch(/flapping +no automatic change until baton ack/);
  expect((await system.view()).holder).toBeNull();

  // Within its region it may go on, and a person may switch it.
  system.startPod('us-west-a');
  await system.untilHeldBy('us-west-a');
  await system.baton('switch', '--to', 'us-east', '--reason', 'test', '--by', 'jest');
  await system.untilReady('us-west-a');
  await system.killPod('us-east-a');
  await system.until('the lock is free', ({ holder }) => holder === null);
  await new Promise((done) => setTimeout(done, 1_000));
  expect((await system.view()).holder).toBeNull();

  const ack = ['--reason', 'looked at it', '--by', 'jest'];
  expect(await system.baton('ack', ...ack)).toContain('are allowed again');
  await system.untilHeldBy('us-west-a');
  expect(await system.baton('ack', ...ack)).toContain('were not stopped');
});

test('a holder whose handler fails too often, from its first message on, hands over to another candidate', async () => {
  await start({ maxFailureRate: 0.5 });
  // The slow ones fill the listener in the east, so that all others fail in the west, before it has told any count.
  for (let i = 0; i < 8; i++) await system.publish('slow');
  for (let i = 0; i < 8; i++) await system.publish('throw');
  await system.baton('switch', '--to', 'us-west', '--reason', 'test', '--by', 'jest');
  const { last } = await system.untilHeldBy('us-east-a');
  expect(last?.receipt).toMatchObject({
    cause: 'switch',
    why: expect.stringMatching(
      /^\d+ of \d+ messages failed within the last minute \(maxFailureRate = 0.5\)$/,
    ),
  });
});
