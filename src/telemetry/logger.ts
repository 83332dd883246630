import pino, { type DestinationStream, type Logger } from 'pino';
import { maskSecrets } from '../config/secret';

export interface LoggerOptions {
  region: string;
  pod: string;
  level: string;
  /** Default: standard output, written synchronously, so that a killed process leaves its last words. */
  destination?: DestinationStream;
}

const secretKeys = ['password', 'apiKey', 'username', 'authorization'];

/**
 * JSON lines with region and pod in each. Secrets are taken out twice: by key, and from every address that
 * stands anywhere in a line, as libraries put addresses into their errors' texts.
 */
export function createLogger({ region, pod, level, destination }: LoggerOptions): Logger {
  const children = new Set<WeakRef<Logger>>();
  const forgotten = new FinalizationRegistry<WeakRef<Logger>>((child) => children.delete(child));
  const logger: Logger = pino(
    {
      level,
      base: { region, pod },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: secretKeys.flatMap((key) => [key, `*.${key}`, `*.*.${key}`]), censor: '***' },
      hooks: { streamWrite: maskSecrets },
      onChild(child) {
        // One that was given a level of its own keeps it.
        if (child.level !== logger.level) return;
        const reference = new WeakRef<Logger>(child);
        children.add(reference);
        forgotten.register(child, reference);
      },
    },
    destination ?? pino.destination({ fd: 1, sync: true }),
  );
  families.set(logger, children);
  return logger;
}

/** pino's children have a level of their own, which does not follow their parent's. */
const families = new WeakMap<Logger, Set<WeakRef<Logger>>>();

/** Of a logger of {@link createLogger} and everything made from it. */
export function setLogLevel(logger: Logger, level: string): void {
  for (const child of families.get(logger) ?? []) {
    const alive = child.deref();
    if (alive) alive.level = level;
  }
  logger.level = level;
}

/** Lines about one lock. The token is added where there is a tenure: `lockLogger(…).child({ token })`. */
export const lockLogger = (logger: Logger, lock: string): Logger => logger.child({ lock });
