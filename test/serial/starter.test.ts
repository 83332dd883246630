import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { sharedServers } from '../support/servers';

/** As a newcomer has it: Baton as its package, in a folder that knows nothing of this one. */
const root = resolve(__dirname, '../..');
const folder = mkdtempSync(join(tmpdir(), 'baton-starter-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const limitMs = 240_000;

async function run(cwd: string, program: string, args: string[], more: NodeJS.ProcessEnv = {}) {
  // A runner within a runner reports to the outer one.
  const { NODE_TEST_CONTEXT: _, ...environment } = process.env;
  const child = spawn(program, args, { cwd, env: { ...environment, ...more }, timeout: limitMs });
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => (said += String(chunk)));
  const code = await new Promise<number | null>((done, fail) => child.on('error', fail).on('close', done));
  return { code, said };
}

async function must(...call: Parameters<typeof run>): Promise<string> {
  const { code, said } = await run(...call);
  if (code !== 0) throw new Error(`${call[1]} ${call[2].join(' ')} ended with ${code}:\n${said}`);
  return said;
}

test(
  'the generated projects, TypeScript and JavaScript, install and pass their tests; without its guard one fails',
  async () => {
    const [ts, js] = ['shop', 'shop-js'].map((name) => join(folder, name)) as [string, string];
    await must(root, 'npm', ['pack', '--ignore-scripts', '--silent', '--pack-destination', folder]);
    const cli = join(root, 'dist/src/cli/main.js');
    await must(folder, process.execPath, [cli, 'init', 'shop']);
    await must(folder, process.execPath, [cli, 'init', 'shop-js', '--language', 'js']);
    const version = (JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string })
      .version;
    const tarball = join(folder, `baton-${version}.tgz`);
    await must(ts, 'npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', tarball]);
    symlinkSync(join(ts, 'node_modules'), join(js, 'node_modules'));

    // One with servers of its own, the other on servers that are there.
    const servers = sharedServers();
    const given = {
      BATON_DEV_ETCD: servers.etcd.join(','),
      BATON_DEV_RABBITMQ: servers.rabbitmq,
      BATON_DEV_TEMPORAL: servers.temporal,
    };
    const said = await Promise.all([must(ts, 'npm', ['test']), must(js, 'npm', ['test'], given)]);
    for (const each of said) {
      expect(each).toMatch(/^# pass 3$/m);
      expect(each).toMatch(/# published [1-9]\d+,/);
      expect(each).toMatch(/# killed us-west-1-\w+; us-east-1-\w+ took over/);
    }

    const journal = join(js, 'src/order-journal.js');
    const code = readFileSync(journal, 'utf8');
    const guard = '      if (token < highest) continue;\n';
    expect(code).toContain(guard);
    writeFileSync(journal, code.replace(guard, ''));
    const broken = await run(js, process.execPath, ['--test', 'test/order-journal.test.js']);
    expect(broken.code).toBe(1);
    expect(broken.said).toContain('not ok 2 - what a stale tenure writes does not count');
  },
  2 * limitMs,
);
