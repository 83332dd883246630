import type { Logger } from 'pino';

/** One message, as the broker delivered it. */
export interface Message {
  body: Buffer;
  headers: Record<string, unknown>;
  messageId: string | undefined;
  routingKey: string;
  contentType: string | undefined;
}

/** What a handler knows about the tenure that runs it. */
export interface HandlerContext {
  lock: string;
  /** The fencing token: strictly increasing from tenure to tenure. Pass it to the store and refuse lower ones. */
  token: number;
  region: string;
  pod: string;
  /** Fires shortly before the tenure's deadline, and when a drain runs into its limit. Made when it is read. */
  signal: AbortSignal;
  logger: Logger;
  /** How often this message was delivered before, also without being worked on. 0 the first time. */
  redeliveries: number;
}

/**
 * The user's code, called once per message. The message is acknowledged after the promise resolves; when it
 * rejects, the message is delivered again, and after `maxDeliveries` failed attempts dead-lettered.
 */
export type Handler = (message: Message, context: HandlerContext) => Promise<void> | void;
