/** What can be taken out of Baton, to see that the judge misses it. */
export const weaknesses = [
  /** Messages start without a question to etcd, and after the deadline. */
  'no guard',
  /** A change that a watch tells of verifies all that is held, whenever it was committed. */
  'a change without its read',
  /** Nothing ends at its deadline: neither agent, nor watchdog, nor guard does anything about it. */
  'no deadline kill',
  /** The deadline counts from the keepalive's answer. */
  'deadline from the answer',
  /** A keepalive's answer is enough: no read confirms it. */
  'unconfirmed extension',
  /** Transactions are applied to whatever etcd has. */
  'hand-over without compares',
  /** An unanswered hand-over is settled by a read. */
  'settled by a read',
  /** A drain does not wait for what is in flight. */
  'drain without waiting',
  /** Instructions are carried out whatever they were for. */
  'stale instructions obeyed',
] as const;
export type Weakness = (typeof weaknesses)[number];
