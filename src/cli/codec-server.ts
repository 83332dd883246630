import { ConfigError } from '../config/config-error';
import { CommandError, type CommandSpec, configOption, parseCommand } from './command-line';
import { serverTlsOf, tlsOptions } from './server-tls';

const defaultPort = 8421;

const spec = {
  name: 'codec-server',
  summary: 'decrypt payloads for the Temporal UI and CLI',
  options: {
    'ui-origin': {
      value: 'URL',
      required: true,
      help: "the Temporal UI's address; pages of no other one get an answer",
    },
    host: { value: 'ADDRESS', help: 'to listen on (default 127.0.0.1)' },
    port: {
      value: 'PORT',
      whole: { min: 0, max: 65_535 },
      help: `to listen on (default ${defaultPort}; 0: any)`,
    },
    'token-file': { value: 'FILE', help: 'who may ask: lines like "anna: token" (default: who reaches it)' },
    ...tlsOptions,
    ...configOption,
  },
  notes:
    'Needs the keys of temporal.encryption and no server. In the UI: the glasses, "Use Local Codec Server Endpoint", its address.\n' +
    'For the CLI: temporal --codec-endpoint URL [--codec-auth "Bearer TOKEN"]. Ends with SIGINT or SIGTERM.',
} as const satisfies CommandSpec;

export async function run(argv: string[]): Promise<number> {
  const options = parseCommand(spec, argv);
  if ('help' in options) {
    console.log(options.help);
    return 0;
  }
  const { host = '127.0.0.1', port = String(defaultPort), config: file } = options;
  const uiOrigin = readOrigin(options['ui-origin']);
  const [{ loadConfig }, { CodecServer }, { dataConverterOf }, { readTokenFile }, { isLoopback }] =
    await Promise.all([
      import('../config/load-config.js'),
      import('../codec/codec-server.js'),
      import('../temporal/data-converter.js'),
      import('../dashboard/token-file.js'),
      import('../dashboard/loopback.js'),
    ]);
  const { temporal } = loadConfig({
    ...(file !== undefined && { file }),
    env: process.env,
    cwd: process.cwd(),
    checkHandlers: false,
  });
  const tokens = options['token-file'] === undefined ? [] : readTokenFile(options['token-file']);
  if (!temporal.encryption)
    throw new ConfigError([
      { setting: 'temporal.encryption', expected: 'must be given: without keys there is nothing to decrypt' },
    ]);
  if (tokens.length === 0 && !isLoopback(host))
    throw new ConfigError([
      { setting: '--host', value: host, expected: 'must be a loopback address, or come with --token-file' },
    ]);
  const tls = serverTlsOf(options);
  const [codec] = dataConverterOf(temporal).payloadCodecs ?? [];
  const server = new CodecServer({ codec: codec!, host, port: Number(port), uiOrigin, tokens, tls });
  const url = await server.open().catch((error: Error) => {
    throw new CommandError(error.message, { cause: error });
  });
  const may = tokens.length > 0 ? tokens.map(({ who }) => who).join(', ') : 'whoever reaches it';
  console.log(`codec server: ${url} (may ask: ${may})`);
  await new Promise<void>((done) => {
    process.once('SIGINT', () => done()).once('SIGTERM', () => done());
  });
  await server.close();
  return 0;
}

function readOrigin(value: string): string {
  const url = URL.canParse(value) ? new URL(value) : null;
  if (url && ['http:', 'https:'].includes(url.protocol) && url.username === '') return url.origin;
  throw new ConfigError([
    { setting: '--ui-origin', value, expected: 'must be an address like https://temporal.example.com' },
  ]);
}
