import { fork } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import fc from 'fast-check';
import type { Ran } from './command-line-host';
import { ConfigFolder, minimal } from '../config/config-file';
import { fuzzLimitMs, fuzzRuns } from './fuzz-runs';
import { hostileText } from './hostile-values';

jest.setTimeout(fuzzLimitMs(60_000));

const folder = new ConfigFolder();
beforeAll(() => folder.write(minimal()));
afterAll(() => folder.remove());

const commands = [
  ...['verify', 'doctor', 'dashboard', 'audit', 'export-histories', 'replay', 'top'],
  ...['start', 'switch', 'status', 'why', 'abort', 'approve', 'veto', 'group', 'drill', 'schedule', 'force'],
  ...[
    'history',
    'pause',
    'resume',
    'ack',
    'cordon',
    'uncordon',
    'worker',
    'init',
    'demo',
    'dev',
    'help',
    '--version',
  ],
];
const options = [
  ...[
    'token-file',
    'identity-header',
    'public-url',
    'temporal-ui',
    'host',
    'port',
    'out',
    'once',
    'interval',
  ],
  ...['to', 'reason', 'by', 'lock', 'region', 'pod', 'json', 'csv', 'watch', 'dry-run', 'now', 'at', 'cron'],
  ...[
    'return-after',
    'crash',
    'wait',
    'id',
    'health-port',
    'help',
    'yes',
    'language',
    'no-json',
    'constructor',
    '__proto__',
  ],
].map((name) => `--${name}`);

/** Nothing that a command line can carry is without text, and none has a NUL. */
const typed = hostileText.map((text) => text.replaceAll('\0', ''));
const argument = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...options) },
  { weight: 2, arbitrary: fc.constantFrom('us-east', 'us-west', 'orders', 'switch', '10m', '-1', '--', '-') },
  { weight: 2, arbitrary: typed },
  { weight: 1, arbitrary: fc.tuple(fc.constantFrom(...options), typed).map((parts) => parts.join('=')) },
);
const commandLine = fc.tuple(
  fc.oneof({ weight: 12, arbitrary: fc.constantFrom(...commands) }, { weight: 1, arbitrary: typed }),
  fc.array(argument, { maxLength: 8 }),
);

test('whatever is typed: exit code 0, 1 or 2, one sentence, and no stack trace', async () => {
  // The compiled program: one process for all, as each of its own would take a third of a second.
  const host = fork(resolve(__dirname, '../../dist/test/fuzz/command-line-host.js'), { cwd: folder.path });
  try {
    for (const [name, rest] of fc.sample(commandLine, fuzzRuns(400))) {
      // Not there, so that nothing which is understood by chance is carried out.
      const beyondArguments = ['demo', 'dev', 'help', '--version'].includes(name);
      const argv = beyondArguments ? [name, ...rest, '--none'] : [name, ...rest, '--config', '/nowhere.yaml'];
      host.send(argv);
      const [{ code, text }] = (await once(host, 'message')) as [Ran];
      const shown = JSON.stringify(argv).slice(0, 300);
      expect([shown, [0, 1, 2].includes(code)]).toEqual([shown, true]);
      expect([shown, /\n\s+at .*:\d+:\d+/.exec(text)?.[0]]).toEqual([shown, undefined]);
      expect([shown, text === '']).toEqual([shown, false]);
      expect([shown, /Error: |\[object/.exec(text)?.[0]]).toEqual([shown, undefined]);
    }
  } finally {
    host.kill('SIGKILL');
  }
});
