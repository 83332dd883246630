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
  return pino(
    {
      level,
      base: { region, pod },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: secretKeys.flatMap((key) => [key, `*.${key}`, `*.*.${key}`]), censor: '***' },
      hooks: { streamWrite: maskSecrets },
    },
    destination ?? pino.destination({ fd: 1, sync: true }),
  );
}

/** Lines about one lock. The token is added where there is a tenure: `lockLogger(…).child({ token })`. */
export const lockLogger = (logger: Logger, lock: string): Logger => logger.child({ lock });
