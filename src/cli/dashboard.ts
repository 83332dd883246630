import { ConfigError } from '../config/config-error';
import { CommandError, type CommandSpec, configOption, type Options, runParsed } from './command-line';
import { serverTlsOf, tlsOptions } from './server-tls';
import { withClient } from './operator-command';

const defaultPort = 8420;

const spec = {
  name: 'dashboard',
  summary: 'a page that shows every lock, live',
  options: {
    host: { value: 'ADDRESS', help: 'to listen on (default 127.0.0.1)' },
    port: {
      value: 'PORT',
      whole: { min: 0, max: 65_535 },
      help: `to listen on (default ${defaultPort}; 0: any)`,
    },
    'token-file': { value: 'FILE', help: 'who may act: lines like "anna: token" (default: nobody)' },
    'identity-header': {
      value: 'NAME',
      help: 'in which a proxy in front tells who acts; with --token-file both are needed',
    },
    'public-url': { value: 'URL', help: 'where browsers reach the page, if that is a proxy' },
    'temporal-ui': { value: 'URL', help: "the Temporal UI's address, for links to the workflows" },
    ...tlsOptions,
    ...configOption,
  },
  notes:
    'Anybody who reaches the address may look; only who has a token may act. Ends with SIGINT or SIGTERM.\n' +
    'Each action stands in the receipt with its name, and as one line on standard output.',
} as const satisfies CommandSpec;

export const run = (argv: string[]): Promise<number> => runParsed(spec, argv, work);

async function work(options: Options<typeof spec>): Promise<number> {
  const { host = '127.0.0.1', port = String(defaultPort) } = options;
  const [{ startDashboard }, { isLoopback }, { readTokenFile }] = await Promise.all([
    import('../dashboard/dashboard.js'),
    import('../dashboard/loopback.js'),
    import('../dashboard/token-file.js'),
  ]);
  const tokens = options['token-file'] === undefined ? [] : readTokenFile(options['token-file']);
  const tls = serverTlsOf(options);
  const header = options['identity-header'];
  checkHeader(header, tokens.length > 0 || isLoopback(host));
  const publicOrigin = readUrl('--public-url', options['public-url'])?.origin;
  const temporalUi = readUrl('--temporal-ui', options['temporal-ui']);
  return withClient({ config: options.config, lock: [] }, async (client) => {
    const dashboard = await startDashboard({
      client,
      host,
      port: Number(port),
      tokens,
      tls,
      ...(header !== undefined && { identityHeader: header }),
      ...(publicOrigin !== undefined && { publicOrigin }),
      ...(temporalUi !== undefined && { temporalUiUrl: temporalUi.href }),
      onAction: ({ by, action, lock, to, reason, outcome, why, id }) =>
        console.log(
          JSON.stringify({ time: new Date().toISOString(), by, action, lock, to, reason, outcome, why, id }),
        ),
    }).catch((error: Error) => {
      throw new CommandError(error.message, { cause: error });
    });
    const may =
      tokens.length > 0 ? tokens.map(({ who }) => who).join(', ') : header === undefined ? 'nobody' : 'proxy';
    console.log(`dashboard: ${dashboard.url} (may act: ${may})`);
    await new Promise<void>((done) => {
      process.once('SIGINT', () => done()).once('SIGTERM', () => done());
    });
    await dashboard.close();
    return 0;
  });
}

/** @throws ConfigError: anybody who reaches the port could name himself. */
function checkHeader(header: string | undefined, guarded: boolean): void {
  if (header === undefined) return;
  const wrong = (expected: string): ConfigError =>
    new ConfigError([{ setting: '--identity-header', value: header, expected }]);
  if (!/^[A-Za-z0-9-]{1,60}$/.test(header)) throw wrong('must be the name of a header, as X-Forwarded-User');
  if (!guarded)
    throw wrong('must come with --host on a loopback address, or with a --token-file that the proxy knows');
}

function readUrl(setting: string, value: string | undefined): URL | undefined {
  if (value === undefined) return undefined;
  if (URL.canParse(value)) {
    const url = new URL(value);
    if (['http:', 'https:'].includes(url.protocol) && url.username === '' && url.search === '') return url;
  }
  throw new ConfigError([{ setting, value, expected: 'must be an address like https://host/path' }]);
}
