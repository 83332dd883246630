import childProcess from 'node:child_process';
import { resolve } from 'node:path';
import { UnknownOutcomeError } from '../../activities/errors';
import { Agent } from '../../src/pod/agent';
import { ListenerGroup } from '../../src/pod/listener-group';
import { LockAgent } from '../../src/pod/lock-agent';
import { sharedServers, uniqueName } from '../support/servers';
import { lockSettings, silentLogger } from './pod-fixture';

const handler = resolve(__dirname, '../../dist/test/support/ledger-handler.js');
const listenerProgram = resolve(__dirname, '../../dist/src/listener/main.js');
afterEach(() => jest.restoreAllMocks());

/** A pod for two locks, in one listener process that has no broker. Never started, so it holds nothing. */
function createAgent(): { agent: Agent; first: string; second: string } {
  const { fork } = childProcess;
  jest
    .spyOn(childProcess, 'fork')
    .mockImplementation((_program, args, options) => fork(listenerProgram, args as string[], options));
  const [first, second] = [uniqueName('lock'), uniqueName('lock')];
  const agent = new Agent({
    config: {
      regions: [{ name: 'us-east', amqpUrl: 'amqp://127.0.0.1:1' }],
      etcd: { endpoints: sharedServers().etcd },
      locks: [first, second].map((name) => lockSettings(name, { handler, process: 'shared' })),
      temporal: { address: '127.0.0.1:1' },
      health: { host: '127.0.0.1', port: 0 },
      logLevel: 'silent',
    },
    region: 'us-east',
    podName: 'us-east-a',
    createLogger: () => silentLogger,
  });
  return { agent, first, second };
}

test("one lock's failing shutdown does not cut another lock's drain short", async () => {
  const events: string[] = [];
  const { agent, first } = createAgent();
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
  const { agent, second } = createAgent();
  const shutDown = jest.spyOn(LockAgent.prototype, 'shutDown');
  await Promise.all([agent.stop('SIGTERM'), agent.stop('SIGINT')]);
  expect(shutDown.mock.contexts.filter((context) => context.lock === second)).toHaveLength(1);
});
