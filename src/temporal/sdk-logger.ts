import { makeTelemetryFilterString, type MetricsExporterConfig, Runtime } from '@temporalio/worker';
import type { Logger } from 'pino';
import { MissingKeyError } from './key-ring';

/** Each worker polls only what it has: a queue without workflows, or without activities, is meant to be so. */
const expected = /^No .* registered/;

/** What a region workflow has decided, in one sentence. */
export interface RegionDecision {
  lock: string;
  region: string;
  phase: string;
  why: string;
  workflowRun: string;
}

type Level = 'trace' | 'debug' | 'info' | 'warn' | 'error';

let installed = false;

/**
 * Sets the SDK up, once per process: its lines become pino's, and it leaves signals alone. By default it stops
 * the workers on SIGTERM within 300 ms, and no drain could arrive. `metrics`: where its own go; default: nowhere.
 */
export function installRuntime(
  logger: Logger,
  metrics?: MetricsExporterConfig,
  onDecision: (decision: RegionDecision) => void = () => undefined,
): void {
  if (installed) return;
  installed = true;
  // What a workflow says is one of ours; what the SDK says of itself is for who looks for it.
  const ofWorkflow = (meta?: object): boolean => meta !== undefined && 'workflowType' in meta;
  const say = (own: Level, sdk: Level) => (message: string, meta?: object) => {
    // What is decisive is said at this level; the SDK says it once, and not again when a run is replayed.
    const decision = own === 'info' ? decisionOf(message, meta) : null;
    if (decision) onDecision(decision);
    const quiet = expected.test(message) || isMissingKey(meta);
    logger[quiet ? 'debug' : ofWorkflow(meta) ? own : sdk]({ ...plain(meta) }, message);
  };
  const lines = {
    trace: say('trace', 'trace'),
    debug: say('debug', 'trace'),
    info: say('info', 'debug'),
    warn: say('warn', 'warn'),
    error: say('error', 'error'),
  };
  Runtime.install({
    shutdownSignals: [],
    logger: {
      ...lines,
      log: (level, message, meta) => lines[pinoLevels[level]](message, meta),
    },
    telemetryOptions: {
      logging: { filter: makeTelemetryFilterString({ core: 'WARN', other: 'ERROR' }), forward: {} },
      ...(metrics && { metrics }),
    },
  });
}

const pinoLevels = { TRACE: 'trace', DEBUG: 'debug', INFO: 'info', WARN: 'warn', ERROR: 'error' } as const;

/** Said once, by name, where the codec is made; the SDK says it with each task, for ever. */
function isMissingKey(meta?: object): boolean {
  const error: unknown = meta && 'error' in meta ? meta.error : undefined;
  return error instanceof MissingKeyError || String(error).includes(MissingKeyError.name);
}

/** The SDK's metadata holds bigints and symbols, which JSON does not know. */
function plain(meta: object | undefined): Record<string, unknown> {
  const entries = Object.entries(meta ?? {}).filter(
    ([key]) => key !== 'sdkComponent' && key !== 'timestampNanos',
  );
  return Object.fromEntries(
    entries.map(([key, value]) => [key, typeof value === 'bigint' ? String(value) : (value as unknown)]),
  );
}

function decisionOf(why: string, meta: object = {}): RegionDecision | null {
  const { workflowType, lock, region, phase, runId } = meta as Record<string, unknown>;
  if (workflowType !== 'regionWorkflow') return null;
  const texts = [lock, region, phase, runId].filter((value) => typeof value === 'string');
  const [ofLock = '', ofRegion = '', toPhase = '', workflowRun = ''] = texts;
  return texts.length === 4 ? { lock: ofLock, region: ofRegion, phase: toPhase, why, workflowRun } : null;
}
