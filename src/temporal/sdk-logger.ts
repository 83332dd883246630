import { makeTelemetryFilterString, Runtime } from '@temporalio/worker';
import type { Logger } from 'pino';

let installed = false;

/**
 * Sets the SDK up, once per process: its lines become pino's, and it leaves signals alone. By default it stops
 * the workers on SIGTERM within 300 ms, and no drain could arrive.
 */
export function installRuntime(logger: Logger): void {
  if (installed) return;
  installed = true;
  const say = (level: 'trace' | 'debug' | 'info' | 'warn' | 'error') => (message: string, meta?: object) =>
    logger[level]({ ...plain(meta) }, message);
  const lines = {
    trace: say('trace'),
    debug: say('debug'),
    info: say('info'),
    warn: say('warn'),
    error: say('error'),
  };
  Runtime.install({
    shutdownSignals: [],
    logger: {
      ...lines,
      log: (level, message, meta) => lines[pinoLevels[level]](message, meta),
    },
    telemetryOptions: {
      logging: { filter: makeTelemetryFilterString({ core: 'WARN', other: 'ERROR' }), forward: {} },
    },
  });
}

const pinoLevels = { TRACE: 'trace', DEBUG: 'debug', INFO: 'info', WARN: 'warn', ERROR: 'error' } as const;

/** The SDK's metadata holds bigints and symbols, which JSON does not know. */
function plain(meta: object | undefined): Record<string, unknown> {
  const entries = Object.entries(meta ?? {}).filter(
    ([key]) => key !== 'sdkComponent' && key !== 'timestampNanos',
  );
  return Object.fromEntries(
    entries.map(([key, value]) => [key, typeof value === 'bigint' ? String(value) : (value as unknown)]),
  );
}
