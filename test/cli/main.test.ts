import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import path from 'node:path';
import { ConfigFolder, minimal } from '../config/config-file';

const main = path.resolve(__dirname, '../../dist/src/cli/main.js');
const folder = new ConfigFolder();

/** Accepts connections and never answers: what a frozen server looks like. */
const silent: Server = createServer((socket) => socket.on('error', () => undefined));
let silentPort = 0;
let closedPort = 0;
beforeAll(async () => {
  silentPort = await listen(silent);
  const other = createServer();
  closedPort = await listen(other);
  await new Promise((resolve) => other.close(resolve));
});
afterAll(() => {
  silent.close();
  folder.remove();
});

function listen(server: Server): Promise<number> {
  return new Promise((resolve) =>
    server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port)),
  );
}

interface Ended {
  code: number | null;
  out: string;
  err: string;
  tookMs: number;
}

function baton(argv: string[], env: NodeJS.ProcessEnv = {}): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const began = performance.now();
    const child = spawn(process.execPath, [main, ...argv], {
      cwd: folder.path,
      env: { PATH: process.env.PATH, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let [out, err] = ['', ''];
    child.stdout.on('data', (part) => (out += String(part)));
    child.stderr.on('data', (part) => (err += String(part)));
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, out, err, tookMs: performance.now() - began }));
  });
}

const servers = (etcd: number, temporal: number): Record<string, unknown> => ({
  ...minimal(),
  etcd: { endpoints: [`http://127.0.0.1:${etcd}`] },
  temporal: { address: `127.0.0.1:${temporal}` },
});

describe('bad input ends with 2, and nothing is started', () => {
  beforeAll(() => folder.write(minimal()));
  const bad: [string[], string][] = [
    [[], 'usage: baton <command>'],
    [['stauts'], 'there is no command stauts; did you mean status?'],
    [['constructor'], 'there is no command constructor'],
    [['worker'], '--region REGION must be given'],
    [
      ['worker', '--region', 'us-eats'],
      '--region is us-eats: is not in the configuration; did you mean us-east?',
    ],
    [
      ['worker', '--region', 'us-east', '--lock', 'order'],
      'lock order is not in the configuration; did you mean orders?',
    ],
    [['worker', '--region', 'us-east', '--health-port', 'x'], '--health-port is x: must be a whole number'],
    [['worker', '--region', 'us-east', '--pod', 'a/b'], '--pod is a/b: must be 1 to 63'],
    [['start'], '--region REGION must be given'],
    [['start', '--region', 'eu'], '--region is eu: there is no such region'],
    [['switch', '--to', 'us-west'], '--reason TEXT must be given'],
    [['switch'], '--to REGION must be given'],
    [
      ['switch', '--to', 'eu', '--reason', 'x'],
      '--to is eu: there is no such region in the configuration; there are us-east, us-west',
    ],
    [['switch', '--to', 'us-west', '--reason', 'x', '--timeout', '-3'], '--timeout is -3'],
    [['switch', '--to', 'us-west', '--reason', 'x', '--at', 'noon'], '--at is noon: must be a date like'],
    [
      ['switch', '--to', 'us-west', '--reason', 'x', '--at', '2001-01-01'],
      '--at is 2001-01-01: must be in the future',
    ],
    [['switch', '--to', 'us-west', '--reason', 'x', '--time-zone', 'UTC'], '--time-zone is for --cron only'],
    [['why'], 'REGION must be given: baton why REGION'],
    [['why', 'eu'], 'REGION is eu: there is no such region'],
    [['cordon', '--reason', 'x'], 'REGION must be given: baton cordon REGION'],
    [['pause'], '--reason TEXT must be given'],
    [['abort'], '--reason TEXT must be given'],
    [['force', '--to', 'us-west', '--reason', 'x', '--now'], 'it needs --accept-duplicates'],
    [['force', '--to', 'us-west', '--reason', 'x', '--accept-duplicates'], 'is for --now only'],
    [['history', '--csv', '--json'], '--csv and --json cannot be given together'],
    [
      ['drill', '--lock', 'orders', '--to', 'us-west', '--reason', 'x', '--return-after', 'soon'],
      '--return-after is soon: must be like 90s, 10m, 2h',
    ],
    [['drill', '--lock', 'orders', '--reason', 'x'], '--to REGION and --return-after SPAN must be given'],
    [
      ['drill', '--lock', 'orders', '--reason', 'x', '--to', 'us-west'],
      '--to REGION and --return-after SPAN must be given, or --crash',
    ],
    [
      ['drill', '--lock', 'orders', '--reason', 'x', '--to', 'eu', '--return-after', '1m'],
      '--to is eu: there is no such region',
    ],
    [
      ['drill', '--lock', 'orders', '--reason', 'x', '--crash', '--to', 'us-west'],
      '--crash and --to cannot be given together',
    ],
    [
      ['drill', '--lock', 'orders', '--reason', 'x', '--crash', '--return-after', '1m'],
      '--crash and --return-after cannot be given together',
    ],
    [
      ['drill', '--lock', 'orders', '--reason', 'x', '--crash', '--at', '2001-01-01'],
      '--at is 2001-01-01: must be in the future',
    ],
    [
      ['drill', '--lock', 'orders', '--reason', 'x', '--crash', '--at', '2999-01-01', '--cron', '* * * * *'],
      '--at and --cron cannot be given together',
    ],
    [['drill', '--crash', '--reason', 'x'], '--lock LOCK must be given'],
    [['group', 'swap', '--reason', 'x'], 'baton group takes switch, pause, resume, abort, not "swap"'],
    [['group', 'abort', '--reason', 'x'], '--id ID must be given to abort a group'],
    [['group', 'switch', '--reason', 'x'], '--to REGION must be given'],
    [['schedule', 'cancel'], '--id ID must be given to cancel'],
    [['schedule', 'drop'], 'baton schedule takes list or cancel, not "drop"'],
    [['status', '--lock', 'x1'], 'lock x1 is not in the configuration'],
    [['status', '--config', 'none.yaml'], 'none.yaml: must be a readable file: there is no such file'],
  ];
  test.each(bad)('baton %j', async (argv, expected) => {
    const { code, out, err } = await baton(argv);
    expect(err).toContain(expected);
    expect({ code, out }).toEqual({ code: 2, out: '' });
  });

  test('a bad configuration, with all problems and no secret', async () => {
    folder.write({
      ...minimal({ keeperIntervalMs: 9000, stallLimitMs: 1 }),
      etcd: { endpoints: ['http://u:hunter2@h:1'] },
    });
    const { code, out, err } = await baton(['worker', '--region', 'us-east']);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err.trim().split('\n')).toHaveLength(4);
    expect(err).toContain('locks.orders.keeperIntervalMs is 9000: must be at most half of leaseTtlMs (5000)');
    expect(err).not.toContain('hunter2');
    folder.write(minimal());
  });
});

test('help is for people: on standard output, and without the clients that take half a second to load', async () => {
  const preload = path.join(folder.path, 'loaded.cjs');
  writeFileSync(preload, `process.on('exit', () => console.error(Object.keys(require.cache).join('\\n')))`);
  const { code, out, err } = await baton(['help'], { NODE_OPTIONS: `--require ${preload}` });
  expect(code).toBe(0);
  expect(out).toContain('baton <command> --help');
  // By what an operator wants, each group with its commands below it.
  expect(out).toMatch(
    /try it:\n {2}init [^]*\n\nrun it:\n {2}worker [^]*\n\nlook, and change nothing:\n {2}status /,
  );
  expect(out).toMatch(/\n\nwhen something is wrong:\n {2}force [^]*\n\nrecords and upgrades:\n {2}audit /);
  expect(err).toContain(main);
  expect(err).not.toMatch(/node_modules.(@temporalio|etcd3|amqplib)/);
  expect((await baton(['switch', '--help'])).out).toContain('--reason TEXT');
  expect((await baton(['help', 'status'])).out).toContain('--watch');
  expect((await baton(['help', 'cordon'])).out).toContain(
    '\nusage: baton cordon REGION --reason TEXT [options]\n',
  );
});

describe.each(['closed', 'silent'])('with servers whose ports are %s', (kind) => {
  const port = (): number => (kind === 'closed' ? closedPort : silentPort);
  let ended: Record<'status' | 'switch' | 'start', Ended>;
  // Side by side: each spends its time waiting.
  beforeAll(async () => {
    const file = `${kind}.yaml`;
    writeFileSync(path.join(folder.path, file), JSON.stringify(servers(port(), port())));
    const [status, switched, start] = await Promise.all([
      baton(['status', '--config', file]),
      baton(['switch', '--to', 'us-west', '--reason', 'test', '--config', file]),
      baton(['start', '--region', 'us-west', '--config', file]),
    ]);
    ended = { status, switch: switched, start };
  });

  test('status names both', () => {
    const { code, out } = ended.status;
    expect(code).toBe(1);
    expect(out.match(new RegExp(`http://127\\.0\\.0\\.1:${port()}`, 'g'))).toHaveLength(1);
    expect(out).toMatch(new RegExp(`Temporal at 127\\.0\\.0\\.1:${port()} `));
  });
  test('switch names etcd', () => {
    const { code, out, err } = ended.switch;
    expect({ code, out }).toEqual({ code: 1, out: '' });
    expect(err).toMatch(
      new RegExp(`^baton: orders was not switched: .*http://127\\.0\\.0\\.1:${port()}`, 'm'),
    );
  });
  test('start names Temporal', () => {
    const { code, out, err } = ended.start;
    expect({ code, out }).toEqual({ code: 1, out: '' });
    expect(err).toMatch(new RegExp(`^baton: Temporal at 127\\.0\\.0\\.1:${port()} `));
  });
  test('all end within seconds', () => {
    for (const { tookMs } of Object.values(ended)) expect(tookMs).toBeLessThan(45_000);
  });
});
