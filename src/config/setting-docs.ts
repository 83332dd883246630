/**
 * What each setting of baton.yaml means, by its path as `settingPaths` gives it. Type, bounds, default and environment
 * variable are not written down here: docs/configuration.md takes them from the code (configuration-page.ts).
 */
export interface SettingDoc {
  /** What it decides; Markdown. */
  meaning: string;
  /** Where the name does not end in it. */
  unit?: string;
  /** How the default comes about, where it is more than one fixed value. */
  default?: string;
  /** How it must fit to other settings: what the shape alone does not say. */
  relation?: string;
}

const pem = (whose: string): SettingDoc => ({
  meaning: `PEM file of the authority that ${whose} certificate is checked by`,
  default: "the system's",
});
const ownCertificate: SettingDoc = {
  meaning: 'PEM file of the client certificate',
  relation: 'together with `keyFile`',
};
const ownKey: SettingDoc = { meaning: 'PEM file of its key', relation: 'together with `certFile`' };

export const serviceDocs: Record<string, SettingDoc> = {
  'regions.<region>.amqpUrl': {
    meaning: "AMQP address of this region's broker. Only the pod's own region needs one.",
    default: 'must be given',
  },
  'regions.<region>.caFile': {
    ...pem("this broker's"),
    relation: '`amqps://` only',
  },
  'regions.<region>.certFile': ownCertificate,
  'regions.<region>.keyFile': ownKey,
  'regions.<region>.managementUrl': {
    meaning:
      "RabbitMQ's management plugin there, with its path prefix if it has one. `baton force` then has the broker close the old holder's connections. Given to every pod and to whoever runs `baton force`, for each region. The user needs the tag `management` and be the one of `amqpUrl`, or `administrator`.",
    default: 'none: no connection is closed',
  },
  'etcd.endpoints': {
    meaning: 'addresses of the members',
    default: 'must be given',
    relation: 'all `http://` or all `https://`',
  },
  'etcd.username': { meaning: 'user of etcd', relation: 'together with `password`' },
  'etcd.password': { meaning: 'its password', relation: 'together with `username`' },
  'etcd.caFile': { ...pem("etcd's"), relation: '`https://` only' },
  'etcd.certFile': ownCertificate,
  'etcd.keyFile': ownKey,
  'etcd.failureDomains.<failureDomain>': {
    meaning:
      "the site of each member, by the member's name (`{etcd-0: us-east}`): `baton doctor` then says whether any one site may be lost",
    default: 'not known',
  },
  'temporal.address': {
    meaning: '`host:port` of the frontend',
    default: "envconfig's, else `localhost:7233`",
  },
  'temporal.namespace': {
    meaning: 'namespace of the region workflows',
    default: "envconfig's, else `default`",
  },
  'temporal.deployment': {
    meaning:
      "Worker Deployment that the pods belong to, with Baton's version as build id ([upgrades](upgrades.md))",
    default: 'none: not versioned',
  },
  'temporal.encryption.keysFolder': {
    meaning:
      "folder with the keys that payloads are encrypted with, one file each: 32 bytes in base64 or as 64 hexadecimal digits; the file's name is the key's id. See [security.md](security.md#payload-encryption).",
  },
  'temporal.encryption.keyId': {
    meaning: 'the key that encrypts; all others only decrypt',
    default: 'none: nothing is encrypted',
  },
  'temporal.apiKey': { meaning: 'for servers that ask for one' },
  'temporal.caFile': {
    ...pem("Temporal's"),
    default: "envconfig's, else the system's",
    relation: 'any of the three files means TLS',
  },
  'temporal.certFile': { ...ownCertificate, default: "envconfig's, else none" },
  'temporal.keyFile': { ...ownKey, default: "envconfig's, else none" },
  'health.host': { meaning: 'address that the health endpoints and `/metrics` listen on' },
  'health.port': { meaning: 'their port; 0 takes any free one and logs it. `--health-port` wins.' },
  verifyIntervalMs: {
    meaning:
      'time between two comparisons of the views by a pod (see [observability](observability.md)); 0: none',
  },
  'audit.file': {
    meaning:
      "path of a record that each pod appends to; `{pod}` and `{region}` stand for the pod's own. See [dashboard.md](dashboard.md#the-audit-record).",
  },
  'audit.postgresUrl': {
    meaning:
      'address of a PostgreSQL database: all pods append to its table `baton_audit`, in one chain. Instead of the file, or beside it. Needs the package `pg`.',
  },
  'telemetry.tracing': {
    meaning:
      'spans of switches and messages, by OpenTelemetry; where to is said by its own variables. See [tracing.md](tracing.md).',
    default: '`off`',
  },
  logLevel: { meaning: 'least level of the log lines that are written' },
};

export const lockDocs: Record<string, SettingDoc> = {
  leaseTtlMs: {
    meaning:
      'life of the lease in etcd. A dead pod is replaced this long after its last extension, plus 1 s.',
  },
  deadlineMarginMs: {
    meaning: "how long before the lease's end the holder stops for certain: room for clocks that drift apart",
    default: 'a tenth of `leaseTtlMs`, at least 500',
    relation: '≥ `leaseTtlMs` / 10',
  },
  keeperIntervalMs: {
    meaning: 'time between two extensions',
    default: '0.45 of `leaseTtlMs`',
    relation: '≤ `leaseTtlMs` / 2',
  },
  requestTimeoutMs: {
    meaning: 'bound on one etcd request',
    relation:
      '< `keeperIntervalMs`; `keeperIntervalMs` + 2 × `requestTimeoutMs` + `deadlineMarginMs` < `leaseTtlMs`',
  },
  abortLeadMs: {
    meaning: "the handler's `AbortSignal` fires this long before the deadline",
    relation: '< `leaseTtlMs` − `deadlineMarginMs` − `keeperIntervalMs`',
  },
  verificationMaxAgeMs: {
    meaning: "a guard's read of etcd older than this is never accepted",
    relation: '< `leaseTtlMs` − `deadlineMarginMs`',
  },
  beatMs: {
    meaning:
      "the workflow's heartbeat: how often the state is written into history. Safety does not depend on it.",
    default: '`leaseTtlMs`, at least 10,000',
  },
  drainLimitMs: {
    meaning:
      'time for messages in flight during a planned switch; then they are aborted and come again elsewhere',
  },
  stallLimitMs: {
    meaning:
      'a listener that has not answered for so long is killed. Must exceed the longest _synchronous_ stretch of a handler.',
  },
  healthLimitMs: {
    meaning:
      'a holder whose listener cannot work (broker or queue not usable) for so long hands over to a candidate that can, if there is one',
  },
  maxFailureRate: {
    meaning:
      'a holder of whose messages more than this share failed within a minute (of 20 at least) hands over to another candidate, if there is one; 1: never',
    unit: 'share',
  },
  minSwitchIntervalMs: { meaning: 'least time between two planned switches' },
  maxChangesPerHour: {
    meaning:
      'automatic changes of region within an hour; past that the lock stays in its region until `baton ack`',
    unit: 'changes',
  },
  approvalWithinMs: {
    meaning:
      'a planned switch waits so long for `baton approve` by somebody else than who asked; then it ends. 0: nobody has to.',
  },
  hooks: {
    meaning:
      'asked or told about each planned switch, see [below](#hooks); taken in by the workflow when it is started',
  },
  'hooks[].name': {
    meaning: 'stands in the receipt',
    default: 'must be given',
    relation: 'unique in the lock',
  },
  'hooks[].at': {
    meaning:
      '`before-release`: may stop the switch; `after-release`: the other region has the lock; `after-takeover`: its first message has started',
    default: 'must be given',
  },
  'hooks[].url': {
    meaning: 'gets a POST with JSON: 2xx goes on, 403 and 409 veto, everything else is a failure',
    relation: 'either this or `command`',
  },
  'hooks[].command': {
    meaning:
      'program and arguments, run without a shell in the folder of the configuration, with the same JSON on standard input: exit code 0 goes on, 1 vetoes, everything else is a failure',
    relation: 'either this or `url`',
  },
  'hooks[].timeoutMs': {
    meaning: 'then it has failed, and a command is killed with all that it has started',
    default: '5,000',
  },
  'hooks[].onFailure': {
    meaning: 'what a failure before the release does to the switch',
    default: '`stop`',
    relation: 'at `before-release` only',
  },
  historyLimit: {
    meaning:
      'the workflow continues as new above this many events: a pod that takes it over reads them all first, within two seconds, at about 0.8 ms each on an idle processor',
    unit: 'events',
  },
  'drill.objectiveMs': {
    meaning: 'what each gap of a planned drill may be at most (`baton drill --to`); `--objective` wins',
  },
  'drill.crashObjectiveMs': {
    meaning:
      'what may pass from the kill of a crash drill to the first message elsewhere (`baton drill --crash`); `--objective` wins. Below about `leaseTtlMs` it cannot be met.',
  },
  'drill.allowCrash': {
    meaning:
      'this pod may be told to kill itself by `baton drill --crash`. The pod that is to die decides, by its own configuration.',
  },
  'preference.order': {
    meaning: 'regions, the most preferred first; those not listed come after them, all alike',
    relation: 'regions of this file, each once',
  },
  'preference.never': {
    meaning: 'regions whose pods stay warm and never take the lock, nor are handed it by anybody',
    relation: 'regions of this file, not in `order`; one region must be left',
  },
  'preference.failback.windows': {
    meaning: 'when the lock may go back to a more preferred region by itself',
    default: 'any time, once `failback` is given',
  },
  'preference.failback.windows[].days': { meaning: 'on which it begins', default: 'every day' },
  'preference.failback.windows[].from': { meaning: 'its first minute', default: 'must be given' },
  'preference.failback.windows[].to': {
    meaning: 'the first minute after it; before `from`: on the next day',
    default: 'must be given',
    relation: 'not `from`',
  },
  'preference.failback.timeZone': { meaning: 'of these windows', default: '`UTC`' },
  'preference.failback.healthyForMs': {
    meaning: 'a candidate there must have been ready for so long',
    default: '600,000',
  },
  handler: {
    meaning: 'path of the module that exports `handle`',
    default: 'must be given',
    relation: 'the file exists (checked by `baton worker`)',
  },
  process: {
    meaning:
      '`shared`: one listener process for all such locks of a pod; `own`: one for this lock alone, so that its handler cannot stall others',
  },
  'queue.name': {
    meaning: 'the queue that the lock guards',
    default: 'must be given',
    relation: "not another lock's queue; ≤ 250 bytes",
  },
  'queue.declare': {
    meaning: 'declare the queue (quorum) with its dead-letter exchange and queue at start',
  },
  'queue.deadLetterExchange': {
    meaning: 'fanout exchange for messages that failed too often; a queue of that name is bound to it',
    default: '`<name>.dead`',
    relation: "not the name of a lock's queue",
  },
  'queue.deliveryLimit': {
    meaning:
      '`x-delivery-limit` of a declared queue. Counts every return, also of messages nobody worked on.',
    unit: 'returns',
    default: '100, or one more than `maxDeliveries`',
    relation: '> `maxDeliveries`',
  },
  'queue.maxDeliveries': {
    meaning: 'failed attempts after which the listener dead-letters a message',
    unit: 'attempts',
  },
  'queue.concurrency': {
    meaning: 'handlers running at once; also the most that can come twice after a crash',
    unit: 'messages',
    default: '10, or `prefetch` if that is less',
  },
  'queue.prefetch': {
    meaning:
      'unacknowledged messages at the listener; what is above `concurrency` may be delivered twice after a kill, not only what was in flight',
    unit: 'messages',
    default: '`concurrency`',
    relation: '≥ `concurrency`',
  },
  'queue.heartbeatSeconds': { meaning: 'AMQP heartbeat: how soon a silent broker is noticed' },
};
