/**
 * Every kind of fault that a schedule can hold, without how it is done (faults/). Durations are shares of the lease's
 * TTL where its length against the TTL is the point, else milliseconds.
 */

/** Faults of one area exclude each other: two of a pair come from different ones, or hit different pods. */
export type Area = 'pod' | 'all-pods' | 'etcd' | 'temporal' | 'rabbitmq' | 'link' | 'message';

/** Relative to the holder when the fault begins: the pod's name would mean something else in every repetition. */
export const podRoles = ['holder', 'neighbour', 'far'] as const;
export type PodRole = (typeof podRoles)[number];

export const serverNames = ['etcd', 'rabbitmq', 'temporal'] as const;
export type ServerName = (typeof serverNames)[number];

export interface FaultKind {
  area: Area;
  /** One sentence part for the report. */
  what: string;
  /** How long it lasts, from and to. */
  lasts: { ttl: [number, number] } | { ms: [number, number] };
  /** What a machine may not have. */
  needs?: Requirement;
}

/** libfaketime; network namespaces for the pods; the release before this one. */
export const requirements = ['faketime', 'namespaces', 'previous-release'] as const;
export type Requirement = (typeof requirements)[number];

const shorterThanTtl = { ttl: [0.2, 0.55] } as const;
const longerThanTtl = { ttl: [1.4, 2.4] } as const;
const aroundTtl = { ttl: [0.5, 2] } as const;
const some = { ms: [2_000, 9_000] } as const;
const moment = { ms: [500, 1_500] } as const;

const kind = (
  area: Area,
  what: string,
  lasts: { readonly ttl: readonly [number, number] } | { readonly ms: readonly [number, number] },
  needs?: Requirement,
): FaultKind => ({
  area,
  what,
  lasts: 'ttl' in lasts ? { ttl: [...lasts.ttl] } : { ms: [...lasts.ms] },
  ...(needs && { needs }),
});

export const faultCatalogue = {
  'listener-kill': kind('pod', 'SIGKILL to the listener', moment),
  'listener-freeze-short': kind('pod', 'the listener frozen for less than the TTL', shorterThanTtl),
  'listener-freeze-long': kind('pod', 'the listener frozen for longer than the TTL', longerThanTtl),
  'agent-kill': kind('pod', 'SIGKILL to the agent alone', some),
  'agent-freeze-short': kind('pod', 'the agent frozen for less than the TTL', shorterThanTtl),
  'agent-freeze-long': kind('pod', 'the agent frozen for longer than the TTL', longerThanTtl),
  'pod-kill': kind('pod', 'SIGKILL to all processes of a pod', some),
  'pod-freeze-short': kind('pod', 'a whole pod frozen for less than the TTL', shorterThanTtl),
  'pod-freeze-long': kind('pod', 'a whole pod frozen for longer than the TTL', longerThanTtl),
  'clock-step': kind('pod', "a pod's wall clock up to two hours off", some, 'faketime'),
  'clock-rate': kind(
    'pod',
    "a pod's wall clock at half to one and a half times the true rate",
    some,
    'faketime',
  ),
  'rolling-restart': kind('all-pods', 'SIGTERM to every pod, one after the other, and a new start', moment),
  'rolling-upgrade': kind(
    'all-pods',
    'the same, from one release to the other: present, previous, present …',
    moment,
    'previous-release',
  ),
  'etcd-member-kill': kind('etcd', 'SIGKILL to an etcd member that does not lead', some),
  'etcd-member-freeze': kind('etcd', 'an etcd member that does not lead frozen', some),
  'etcd-leader-kill': kind('etcd', "SIGKILL to etcd's leader", some),
  'etcd-leader-freeze': kind('etcd', "etcd's leader frozen", aroundTtl),
  'etcd-quorum-loss': kind('etcd', 'two of three etcd members killed', aroundTtl),
  'etcd-peer-cut': kind('etcd', 'an etcd member that its peers cannot reach', aroundTtl),
  'etcd-peer-delay': kind('etcd', 'a slow way to an etcd member for its peers', some),
  'etcd-no-space': kind('etcd', 'the NOSPACE alarm: etcd refuses every write that needs room', aroundTtl),
  'temporal-kill': kind('temporal', 'SIGKILL to Temporal, started again with its database', some),
  'temporal-freeze': kind('temporal', 'Temporal frozen', some),
  'temporal-wipe': kind('temporal', 'Temporal started again with an empty database', moment),
  'temporal-retention': kind('temporal', 'every closed run deleted, as when retention has passed', moment),
  'rabbitmq-kill': kind('rabbitmq', 'SIGKILL to RabbitMQ, started again', moment),
  'rabbitmq-freeze': kind('rabbitmq', 'RabbitMQ frozen', some),
  'rabbitmq-disk-alarm': kind('rabbitmq', "RabbitMQ's disk alarm: it takes no messages", some),
  'net-cut': kind('link', 'nothing passes between a pod and a server, in both directions', aroundTtl),
  'net-requests-lost': kind('link', 'nothing passes from a pod to a server', aroundTtl),
  'net-answers-lost': kind('link', 'requests are carried out and their answers do not arrive', aroundTtl),
  'net-delay': kind('link', 'a delay of 50 to 800 ms each way', some),
  'net-slow': kind('link', 'a link of 4 to 60 KB/s', some),
  'net-loss': kind('link', 'each connection breaks after some KB', some),
  'net-reset': kind('link', 'all connections reset, again and again', some),
  'packets-cut': kind('link', 'packets between a pod and a server dropped', aroundTtl, 'namespaces'),
  'packets-out-lost': kind('link', 'packets from a pod to a server dropped', aroundTtl, 'namespaces'),
  'packets-in-lost': kind('link', 'packets from a server to a pod dropped', aroundTtl, 'namespaces'),
  'packets-loss': kind('link', '2 to 30 % of the packets dropped, each way', some, 'namespaces'),
  'handler-throw': kind('message', 'messages whose handler throws twice', moment),
  'handler-hang': kind('message', 'messages whose handler hangs for 12 s', moment),
  'handler-block': kind('message', 'a message whose handler blocks the event loop for good', moment),
  'handler-leak': kind('message', 'a message whose handler allocates until the process ends', moment),
  'handler-exit': kind('message', 'a message whose handler ends the process', moment),
  'handler-slow': kind('message', 'messages of up to 8 s that end when the signal fires', moment),
} as const satisfies Record<string, FaultKind>;

export type FaultName = keyof typeof faultCatalogue;

export const faultNames = Object.keys(faultCatalogue) as FaultName[];

/** What the short form runs: each breaks another part of the promise. */
export const shortFormFaults: readonly FaultName[] = [
  'listener-kill',
  'pod-kill',
  'pod-freeze-long',
  'etcd-leader-kill',
  'temporal-kill',
  'rabbitmq-kill',
  'net-answers-lost',
];
