import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { startDevStack } from '../../src/dev/dev-stack';
import { isFree } from '../../src/dev/free-port';
import { isRunning, pidsWithEnvironment } from '../../src/dev/process-state';
import { eventually } from '../support/eventually';
import { sharedServers } from '../support/servers';

/** A program that starts all servers and then does not care for them. */
const program = `
  const { startDevStack } = require(${JSON.stringify(resolve(__dirname, '../../dist/src/dev/dev-stack.js'))});
  startDevStack().then((stack) => {
    const mark = Object.entries(stack.environment)[0].join('=');
    const ports = [...stack.etcdAddresses, stack.rabbitmq.address, stack.temporalAddress].map((at) => Number(at.split(':')[1]));
    console.log(JSON.stringify({ mark, ports, folder: stack.folder, reaper: stack.reaperPid }));
    if (process.argv[1] === 'stay') setInterval(() => {}, 1000);
  });
`;

test.each([
  ['is killed', 'stay'],
  ['ends without stopping them', 'end'],
])(
  'no process, port or folder is left when the program that started the servers %s',
  async (_, argument) => {
    const parent = spawn(process.execPath, ['-e', program, argument], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let line = '';
    for await (line of createInterface({ input: parent.stdout })) break;
    const { mark, ports, folder, reaper } = JSON.parse(line) as {
      mark: string;
      ports: number[];
      folder: string;
      reaper: number;
    };
    const servers = pidsWithEnvironment(mark);
    if (argument === 'stay') parent.kill('SIGKILL');

    await eventually(() => expect(isRunning(reaper)).toBe(false), 40_000);
    expect(servers.filter(isRunning)).toEqual([]);
    expect(pidsWithEnvironment(mark).filter(isRunning)).toEqual([]);
    expect(await Promise.all(ports.map(isFree))).toEqual([true, true, true]);
    expect(existsSync(folder)).toBe(false);
  },
  120_000,
);

test('a server whose address is in the environment is used and not started', async () => {
  const { etcd, rabbitmq, temporal } = sharedServers();
  const addresses = {
    BATON_DEV_ETCD: etcd.join(','),
    BATON_DEV_RABBITMQ: rabbitmq,
    BATON_DEV_TEMPORAL: temporal,
  };
  const before = { ...process.env };
  Object.assign(process.env, addresses);
  try {
    const stack = await startDevStack();
    expect(stack).toMatchObject({ etcdAddresses: etcd, rabbitmqUrl: rabbitmq, temporalAddress: temporal });
    expect(() => stack.etcd).toThrow('this stack did not start etcd itself; it has no server of its own');
    await stack.stop();
  } finally {
    for (const name of Object.keys(addresses)) {
      if (before[name] === undefined) delete process.env[name];
      else process.env[name] = before[name];
    }
  }
});

test('an adopted process ends with the stack', async () => {
  const stack = await startDevStack({ servers: [] });
  const worker = spawn('sleep', ['300'], { stdio: 'ignore', detached: true });
  stack.adopt(worker.pid!, { group: true });
  await stack.stop();
  expect(isRunning(worker.pid!)).toBe(false);
});
