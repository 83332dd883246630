import { connect } from 'amqplib';
import { type DevStack, startDevStack } from '../../src/dev/dev-stack';
import { freePorts } from '../../src/dev/free-port';
import { connectionName } from '../../src/listener/connection-name';
import { eventually } from '../support/eventually';
import { sharedServers } from '../support/servers';
import { TestSystem } from '../support/test-system';

jest.setTimeout(240_000);

/** Long enough for the block to stand while the broker, which closes politely, waits a heartbeat for the client. */
const leaseTtlMs = 20_000;
const concurrency = 8;

let broker: DevStack;
let system: TestSystem;

beforeAll(async () => {
  broker = await startDevStack({ servers: ['rabbitmq'], rabbitmqManagement: true });
});
afterAll(() => broker.stop());
afterEach(() => system.stop());

const managementUrl = (): URL => {
  const url = new URL(broker.rabbitmq.managementUrl ?? '');
  url.username = url.password = 'guest';
  return url;
};

async function start(management: URL): Promise<void> {
  system = await TestSystem.create({
    servers: { ...sharedServers(), rabbitmq: broker.rabbitmqUrl },
    managementUrl: management.href,
    lockSettings: { leaseTtlMs },
    queueSettings: { heartbeatSeconds: 8 },
  });
  await system.startRegions();
  system.startPod('us-east-a');
  await system.untilHeldBy('us-east-a');
  system.startPod('us-west-a');
  await system.untilReady('us-west-a');
}

const force = (...more: string[]) =>
  system.tryBaton('force', '--to', 'us-west', '--reason', 'frozen', '--by', 'jest', ...more);

/** As the broker lists them. */
async function connectionsOf(pod: string): Promise<string[]> {
  const { origin, username, password } = managementUrl();
  const authorization = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
  const response = await fetch(`${origin}/api/connections`, { headers: { authorization } });
  const all = (await response.json()) as { name: string; client_properties: { connection_name?: string } }[];
  const wanted = connectionName(system.lock, 'us-east', pod);
  return all
    .filter(({ client_properties: properties }) => properties.connection_name === wanted)
    .map(({ name }) => name);
}

/** Not counted: what a consumer has and has not acknowledged. */
async function waiting(): Promise<number> {
  const model = await connect(broker.rabbitmqUrl);
  const channel = await model.createChannel();
  const { messageCount } = await channel.checkQueue(system.lock);
  await model.close();
  return messageCount;
}

test('what a frozen holder has not acknowledged is in the queue again long before its deadline', async () => {
  await start(managementUrl());
  const { holder } = await system.view();
  const pod = holder?.pod ?? '';
  for (let i = 0; i < concurrency; i++) await system.publish('hang');
  await eventually(async () => expect(await waiting()).toBe(0));
  // The broker's list is some seconds late.
  await eventually(async () => expect((await connectionsOf(pod)).length).toBeGreaterThan(0));
  const { agent, listeners } = system.processes('us-east-a');
  for (const pid of [agent, ...listeners]) process.kill(pid, 'SIGSTOP');

  const forcing = force('--json');
  await system.until('the lock is taken', (view) => view.holder === null && view.blocked !== null);
  const takenMs = Date.now();
  await eventually(async () => expect(await waiting()).toBe(concurrency));
  expect(Date.now() - takenMs).toBeLessThan(6_000);
  await eventually(async () => expect(await connectionsOf(pod)).toEqual([]));
  // Nobody may start yet: the old holder's deadline has not come.
  const blocked = await system.view();
  expect(blocked).toMatchObject({ holder: null, blocked: { why: expect.any(String) } });

  const { code, stdout } = await forcing;
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({
    forced: [
      {
        receipt: { cause: 'takeover', to: { region: 'us-west' } },
        broker: { outcome: 'closed', why: expect.stringMatching(/^the broker of us-east closed \d conn/) },
      },
    ],
  });
  expect(await system.settle()).toMatchObject({ lost: [], duplicates: [], overlaps: 0 });
  expect(system.ledger().flatMap(({ records }) => records.map(({ region }) => region))).not.toContain(
    'us-east',
  );
  await system.killPod('us-east-a');
});

test('a listener that connects again is refused by its guard; the command line alone does as much', async () => {
  await start(managementUrl());
  (await system.connectPublisher()).start(200);
  await system.untilProcessed(50);
  const { holder } = await system.view();
  const { pod = '', token = 0 } = holder ?? {};
  const before = await connectionsOf(pod);
  // The agent, which would end its listener at once, sees nothing; the listener itself works on.
  const { agent, listeners } = system.processes('us-east-a');
  process.kill(agent, 'SIGSTOP');
  const temporal = await system.temporalClient();
  for (const region of system.regions)
    await temporal.workflow.getHandle(`baton/${system.lock}/${region}`).terminate('no workflow answers');
  const forcing = force();
  await system.until('the lock is taken', (view) => view.holder === null && view.blocked !== null);
  // A pod does not stand for long without its workflow.
  const restarting = system.baton('start', '--region', 'us-west');
  const connectedAgain = await eventually(async () => {
    const after = await connectionsOf(pod);
    expect(after.filter((name) => !before.includes(name))).not.toEqual([]);
    expect(after.filter((name) => before.includes(name))).toEqual([]);
    return process.hrtime.bigint();
  });
  for (const pid of listeners) void system.noteDeath(pid);
  await restarting;
  const { code, stdout, stderr } = await forcing;
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toMatch(/^broker +the broker of us-east closed \d connections? of us-east-a-/m);
  const startedLate = system
    .ledger()
    .flatMap(({ records }) => records)
    .filter((record) => record.event === 'start' && record.token === token && record.t > connectedAgain);
  expect(startedLate).toEqual([]);
  await system.untilProcessed(system.processed() + 100);
  await system.killPod('us-east-a');
  expect(await system.settle()).toMatchObject({ lost: [], overlaps: 0, tokensMonotonic: true });
});

test('a broker whose management does not answer changes nothing else, and it is said', async () => {
  const [port] = await freePorts(1);
  await start(new URL(`http://guest:guest@127.0.0.1:${port}`));
  const { code, stdout } = await force('--now', '--accept-duplicates');
  expect(code).toBe(0);
  expect(stdout).toMatch(/^broker +the broker of us-east could not be asked to close .*ECONNREFUSED/m);
  await system.untilHeldBy('us-west-a');
  const lines = await system.logLines('us-west-a', 'forced by jest');
  expect(lines).toEqual([expect.objectContaining({ reason: expect.stringContaining('could not be asked') })]);
});
