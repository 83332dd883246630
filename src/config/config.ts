import type { HookTiming } from '../../workflows/contract';

/** The checked configuration. Built only by `loadConfig`; every relation between the values holds. */
export interface Config {
  regions: RegionSettings[];
  etcd: EtcdAddress;
  locks: LockSettings[];
  /** Temporal's connection comes from envconfig (`TEMPORAL_…`); these override it. */
  temporal: TemporalAddress;
  /** Default 0.0.0.0:8080; port 0 takes any free one. */
  health: { host: string; port: number };
  /** ms between two comparisons of the views by a pod; 0: none. Default 30,000. */
  verifyIntervalMs?: number;
  /** Default: none. With both, each gets everything. */
  audit?: {
    /** Absolute path of the record that each pod appends to; `{pod}` and `{region}` stand for its own. */
    file?: string;
    /** The database with the table to which all pods append. */
    postgresUrl?: string;
  };
  /** OpenTelemetry, set up by its own variables (OTEL_…). Default: off. */
  telemetry?: { tracing: boolean };
  /** pino's levels. Default `info`. */
  logLevel: string;
}

/** PEM files, read when a connection is made. */
export interface TlsFiles {
  /** Of the authority that the server's certificate is checked by. Default: the system's. */
  caFile?: string;
  /** The client certificate, together with its key. */
  certFile?: string;
  keyFile?: string;
}

export interface EtcdAddress extends TlsFiles {
  endpoints: string[];
  username?: string;
  password?: string;
  /** From which the password was read, and is read again at each login. */
  passwordFile?: string;
  /** Where each member stands, by its name: what fails together. For `baton doctor`. */
  failureDomains?: Record<string, string>;
}

/** Any of the files means TLS. */
export interface TemporalAddress extends TlsFiles {
  address?: string;
  namespace?: string;
  apiKey?: string;
  /** Worker Deployment that the pods belong to, under their version as build id. Default: none, not versioned. */
  deployment?: string;
  /** From which the API key was read, and is read again when it changes. */
  apiKeyFile?: string;
  encryption?: PayloadEncryption;
}

/** Of everything that Temporal keeps of Baton but ids, names and search attributes. */
export interface PayloadEncryption {
  /** Absolute path. Each file is a key of 32 bytes in base64 or hexadecimal; its name is the key's id. */
  keysFolder: string;
  /** Of the key for new payloads. Default: none; then only those that are encrypted are decrypted. */
  keyId?: string;
}

/** The PEM files are for `amqps://`. */
export interface RegionSettings extends TlsFiles {
  name: string;
  /** AMQP address of this region's broker. Only this pod's region needs one; else empty when not given. */
  amqpUrl: string;
  /** From which the address was read, and is read again at each connection. */
  amqpUrlFile?: string;
  /** RabbitMQ's management plugin there, with user and password: `baton force` has it close the old holder's connections. */
  managementUrl?: string;
}

/** Of `baton drill`. */
export interface DrillSettings {
  /** ms. What each gap of a planned drill may be at most; `null` for no objective. */
  objectiveMs: number | null;
  /** ms. What a recovery after a crash drill's kill may take; `null` for no objective. */
  crashObjectiveMs: number | null;
  /** Whether this pod may be told to kill itself, for a crash drill. Default false. */
  allowCrash: boolean;
}

export interface LockSettings {
  name: string;
  /** Whole seconds. Default 10,000. A dead pod is replaced this long after its last extension, plus 1 s. */
  leaseTtlMs: number;
  /** Taken off the TTL for clock drift. Default: the larger of a tenth of the TTL and 500; never less. */
  deadlineMarginMs: number;
  /** Time between extensions. Default: 0.45 of the TTL; at most half of it. */
  keeperIntervalMs: number;
  /** The handler's AbortSignal fires this long before the deadline. Default 500. */
  abortLeadMs: number;
  /** The workflow's heartbeat. Default: the larger of the TTL and 10,000; at least 1,000. */
  beatMs: number;
  /** Time for messages in flight during a planned switch. Default 30,000. */
  drainLimitMs: number;
  /** A listener that has not answered for so long is killed; must exceed the longest synchronous handler. Default 5,000. */
  stallLimitMs: number;
  /** A holder whose listener cannot work (no broker, no queue) for so long hands over to one that can. Default 10,000. */
  healthLimitMs: number;
  /** A guard's read older than this is never accepted. Default 1,000; below the TTL. */
  verificationMaxAgeMs: number;
  /** Bound on one etcd request. Default 1,000; below the keeper's interval. */
  requestTimeoutMs: number;
  /** A holder of whose messages more than this share failed within a minute hands over. Default 1: never. */
  maxFailureRate: number;
  /** Minimal time between two changes of holder by a planned switch. Default 0. */
  minSwitchIntervalMs: number;
  /** A planned switch waits so long for `baton approve` by somebody else than who asked. Default 0: for nobody. */
  approvalWithinMs: number;
  /** Asked or told about each planned switch. Default: none. */
  hooks: HookSettings[];
  /** Automatic changes of region within an hour; past that the lock stays until `baton ack`. Default 6. */
  maxChangesPerHour: number;
  /** Continue-as-new above this many history events: a pod that takes the workflow over reads them all first. Default 500. */
  historyLimit: number;
  drill: DrillSettings;
  preference: PreferenceSettings;
  queue: QueueSettings;
  /** Module that exports `handle`, as an absolute path. */
  handler: string;
  /** Whether this lock's listener process serves other locks too. Default `shared`. */
  process: 'shared' | 'own';
}

/** Exactly one of `url` and `command`. */
export interface HookSettings extends HookTiming {
  /** Gets a POST with JSON; 2xx goes on, 403 and 409 veto. */
  url?: string;
  /** Program and arguments, without a shell; gets the same on standard input; exit code 0 goes on, 1 vetoes. */
  command?: string[];
  /** Where the command runs: the folder of baton.yaml. */
  folder: string;
}

/** Which region should be active. Never decides who may hold the lock: that is etcd's transaction alone. */
export interface PreferenceSettings {
  /** Regions, the most preferred first; those not listed come after them, all alike. Default: none. */
  order: string[];
  /** Regions whose pods stay warm and never take the lock. Default: none. */
  never: string[];
  /** Default `null`: the lock stays where it is until somebody or something moves it. */
  failback: FailbackSettings | null;
}

/** When a lock goes back to a more preferred region by itself. */
export interface FailbackSettings {
  /** Empty: at any time. */
  windows: FailbackWindow[];
  /** Of the windows: an IANA name. Default `UTC`. */
  timeZone: string;
  /** A candidate there must have been ready for so long. Default 600,000. */
  healthyForMs: number;
}

export const weekdays = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'] as const;
export type Weekday = (typeof weekdays)[number];

/** By the wall clock, `HH:MM`. With `to` before `from` it goes on past midnight, into the day after one of `days`. */
export interface FailbackWindow {
  days: readonly Weekday[];
  from: string;
  /** The first minute after it. */
  to: string;
}

export interface QueueSettings {
  name: string;
  /** Declare the queue (quorum, with its dead-letter exchange and queue) at start. Default true. */
  declare: boolean;
  /** Default `<name>.dead`: a fanout exchange, with a queue of the same name bound to it. */
  deadLetterExchange: string;
  /** `x-delivery-limit` of a declared queue: counts every return, also of unworked messages. Default 100; at least 20. */
  deliveryLimit: number;
  /**
   * Unacknowledged messages at the listener. Default: `concurrency`, and at least that. What is above it can be
   * delivered twice when a process is killed: an acknowledgement on its way is lost with the connection.
   */
  prefetch: number;
  /** Handlers running at once. Default 10. */
  concurrency: number;
  /** Failed attempts after which a message goes to the dead-letter exchange. Default 5. */
  maxDeliveries: number;
  /** Seconds. AMQP heartbeat. Default 5. */
  heartbeatSeconds: number;
}
