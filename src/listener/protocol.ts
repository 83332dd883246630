import type { TraceContext } from '../../workflows/trace-context';
import type { EtcdAddress, LockSettings, TlsFiles } from '../config/config';
import type { ChangeAnswer, DrainFigures, HolderChange } from '../pod/lock-store';

/**
 * Messages between an agent and its listener process (Node IPC, `serialization: 'advanced'`). Times named
 * `…Ns` are `process.hrtime.bigint()`, one clock for all processes of a machine; `…At` is wall clock in ms.
 * Deadlines travel a second time over the watchdog's own pipe (file descriptor `watchdogFd`), see watchdog.ts.
 */
export type AgentMessage =
  /** First message after the fork: connect to the broker, load the handlers, become warm. */
  | {
      kind: 'init';
      region: string;
      pod: string;
      etcd: EtcdAddress;
      locks: ListenerLock[];
      logLevel: string;
      /** Spans of messages, and of each tenure's first one. Default false. */
      tracing?: boolean;
    }
  /** The configuration was read again. Has all settings; those that cannot change are as they were. */
  | { kind: 'configure'; locks: LockSettings[]; logLevel: string }
  /**
   * Consume ahead, hold what comes, and find out by etcd when a tenure above `afterToken` on this lease begins: it does so
   * at once here, without a `start`. Sent again with a later deadline after each confirmed extension.
   */
  | {
      kind: 'prepare';
      lock: string;
      /** Another pod will make the change. Else this pod's agent does, and tells of it soon. */
      offered: boolean;
      leaseId: string;
      afterToken: number;
      deadlineNs: bigint;
      marginMs: number;
      /** Of the take-over, for its first message. */
      trace?: TraceContext;
    }
  /** Return what is held and answer `unprepared`. Without effect, and answer, when the tenure has begun. */
  | { kind: 'unprepare'; lock: string; n: number }
  /** Begin to consume for this tenure, unless it has begun already. Sent only when the tenure is valid. */
  | {
      kind: 'start';
      lock: string;
      token: number;
      leaseId: string;
      deadlineNs: bigint;
      marginMs: number;
      trace?: TraceContext;
    }
  /** A confirmed extension. Only the latest is sent. */
  | { kind: 'deadline'; lock: string; token: number; deadlineNs: bigint }
  /**
   * Cancel, return what was not started, finish what is in flight, answer `drained`. With `handOver`, a drain that is
   * complete first sends this transaction, once: the way to the agent and back would be part of the gap.
   */
  | { kind: 'drain'; lock: string; token: number; limitMs: number; handOver?: HolderChange }
  /** A drain with such a `handOver` may follow soon. */
  | { kind: 'rehearse'; lock: string; handOver: HolderChange }
  /** After a refused hand-over: consume again under the same token. */
  | { kind: 'resume'; lock: string; token: number }
  /** The drained tenure is over: its deadline means nothing any more. The process stays warm. */
  | { kind: 'end'; lock: string; token: number }
  | { kind: 'ping'; n: number }
  /** Close connections and exit 0. Only for an idle listener. */
  | { kind: 'exit' };

export type ListenerMessage =
  /** Connected to the broker and idle: may be started at once. */
  | { kind: 'warm'; lock: string }
  /** Broker not reachable, or the queue is not usable; it keeps trying and says `warm` when it is back. */
  | { kind: 'cold'; lock: string; why: string }
  /** The broker delivers ahead, to be held. */
  | { kind: 'prepared'; lock: string }
  | { kind: 'unprepared'; lock: string; n: number }
  /** A prepared tenure has begun: etcd showed it. */
  | { kind: 'started'; lock: string; token: number }
  | { kind: 'consuming'; lock: string; token: number }
  /** The first message of a tenure was handed to the handler. */
  | { kind: 'first-message'; lock: string; token: number; startedAt: number }
  | ({ kind: 'drained'; lock: string; token: number } & DrainReport)
  /** The guard found that etcd shows another holder: nothing is started any more under this token. */
  | { kind: 'halted'; lock: string; token: number; why: string }
  | { kind: 'pong'; n: number }
  /** Once a second; dropped when the pipe is full. */
  | { kind: 'stats'; stats: ListenerStats[]; metrics: unknown };

export interface DrainReport {
  /** Messages in flight when the drain began that were finished. */
  drained: number;
  requeued: number;
  /** `false`: the limit passed with handlers still running. The agent kills the process. */
  complete: boolean;
  lastFinishedAt: number | null;
  /** When nothing was in flight any more, or the limit passed. */
  drainedAt: number;
  /** What came of `handOver`; missing when it was not sent. */
  handedOver?: ChangeAnswer;
}

export function figuresOf({ drained, requeued, lastFinishedAt }: DrainReport): DrainFigures {
  return {
    drained,
    requeued,
    ...(lastFinishedAt === null ? {} : { lastFinishedAt: new Date(lastFinishedAt).toISOString() }),
  };
}

export interface ListenerStats {
  lock: string;
  token: number | null;
  processed: number;
  failed: number;
  deadLettered: number;
  inFlight: number;
  lastFinishedAt: number | null;
}

/** A lock as its listener needs it: settings, and the broker of this pod's region. */
export interface ListenerLock {
  settings: LockSettings;
  amqpUrl: string;
  /** In which it stands, and is looked up again. */
  amqpUrlFile?: string;
  /** For `amqps://`. */
  amqpTls?: TlsFiles;
}

/** The watchdog's pipe in the listener process. */
export const watchdogFd = 4;

/** The pipe whose end tells the agent of a death; see death-notice.ts. There only when the argument says so. */
export const deathNoticeFd = 5;
export const deathNoticeArgument = '--death-notice';
