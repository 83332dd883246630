import childProcess from 'node:child_process';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { UnknownOutcomeError } from '../../activities/errors';
import { EtcdLock } from '../../src/etcd/etcd-lock';
import { Agent } from '../../src/pod/agent';
import { ListenerGroup } from '../../src/pod/listener-group';
import { LockAgent } from '../../src/pod/lock-agent';
import { eventually } from '../support/eventually';
import { sharedServers, uniqueName } from '../support/servers';
import { lockSettings, silentLogger } from './pod-fixture';

const handler = resolve(__dirname, '../../dist/test/support/ledger-handler.js');
const listenerProgram = resolve(__dirname, '../../dist/src/listener/main.js');
afterEach(() => jest.restoreAllMocks());

/** A pod for many locks, in one listener process that has no broker. */
function createAgent(locks: string[]): Agent {
  const { fork } = childProcess;
  jest
    .spyOn(childProcess, 'fork')
    .mockImplementation((_program, args, options) => fork(listenerProgram, args as string[], options));
  return new Agent({
    config: {
      regions: [{ name: 'us-east', amqpUrl: 'amqp://127.0.0.1:1' }],
      etcd: { endpoints: sharedServers().etcd },
      locks: locks.map((name) => lockSettings(name, { handler, process: 'shared' })),
      temporal: { address: '127.0.0.1:1' },
      health: { host: '127.0.0.1', port: 0 },
      logLevel: 'silent',
    },
    region: 'us-east',
    podName: 'us-east-a',
    createLogger: () => silentLogger,
  });
}

/** Never started, so it holds nothing. */
function createPair(): { agent: Agent; first: string; second: string } {
  const [first, second] = [uniqueName('lock'), uniqueName('lock')];
  return { agent: createAgent([first, second]), first, second };
}

test("one lock's failing shutdown does not cut another lock's drain short", async () => {
  const events: string[] = [];
  const { agent, first } = createPair();
  jest.spyOn(LockAgent.prototype, 'shutDown').mockImplementation(async function (this: LockAgent) {
    if (this.lock === first) throw new UnknownOutcomeError('etcd gave no answer');
    await new Promise((done) => setTimeout(done, 500));
    events.push('drained');
  });
  // Here the listeners are ended, whatever runs in them.
  // oxlint-disable-next-line typescript/unbound-method -- called below with its own `this`
  const close = ListenerGroup.prototype.close;
  jest.spyOn(ListenerGroup.prototype, 'close').mockImplementation(async function (this: ListenerGroup) {
    events.push('listeners closed');
    await close.call(this);
    events.push('listeners dead');
  });
  jest.spyOn(LockAgent.prototype, 'finish').mockImplementation(async function (this: LockAgent) {
    events.push('lease revoked');
    if (this.lock === first) throw new UnknownOutcomeError('etcd gave no answer');
  });
  await agent.stop('SIGTERM');
  expect(events).toEqual(['drained', 'listeners closed', 'listeners dead', 'lease revoked', 'lease revoked']);
});

test('a pod that is stopped twice stops once', async () => {
  const { agent, second } = createPair();
  const shutDown = jest.spyOn(LockAgent.prototype, 'shutDown');
  await Promise.all([agent.stop('SIGTERM'), agent.stop('SIGINT')]);
  expect(shutDown.mock.contexts.filter((context) => context.lock === second)).toHaveLength(1);
});

test('of many locks no more than twenty register at once, and all of them in the end', async () => {
  const agent = createAgent(Array.from({ length: 50 }, () => uniqueName('lock')));
  const open = { now: 0, most: 0, done: 0 };
  // oxlint-disable-next-line typescript/unbound-method -- called below with its own `this`
  const grant = EtcdLock.prototype.grantLease;
  jest.spyOn(EtcdLock.prototype, 'grantLease').mockImplementation(async function (this: EtcdLock, ttlMs) {
    open.now += 1;
    open.most = Math.max(open.most, open.now);
    await sleep(20);
    try {
      return await grant.call(this, ttlMs);
    } finally {
      open.now -= 1;
      open.done += 1;
    }
  });
  await agent.start();
  try {
    await eventually(() => expect(open.done).toBe(50));
    expect(open.most).toBeLessThanOrEqual(20);
    expect(open.most).toBeGreaterThan(1);
  } finally {
    await agent.stop('the test is over');
  }
});
