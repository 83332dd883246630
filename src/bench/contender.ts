/**
 * The contract between the bench and the programs it compares. Each system has two or more contenders: processes
 * of which one at a time consumes the queue. A contender that is a program of its own (Go, Java, Node) is started
 * with these arguments, in this order, each as `--name value`:
 *
 *   --name NAME          in the ledger
 *   --amqp URL           the broker, perhaps through a delaying proxy
 *   --queue NAME         exists already; never declared by the contender
 *   --prefetch N
 *   --servers ADDRESSES  of the lock service, `host:port`, comma-separated (none for the single active consumer)
 *   --lock NAME          the election's name (etcd prefix, lease name, ZooKeeper path)
 *   --ttl-ms N           lease or session
 *   --ledger FILE        appended to, one write per line
 *
 * It stands for the lock, consumes with manual acknowledgement while it is leader, and handles one message after
 * the other: body `SEQ` (decimal), handled by appending one line `SEQ NAME START END` to the ledger, then acknowledged.
 * START and END are CLOCK_MONOTONIC in ns, one clock for all processes of the machine (Go: `unix.ClockGettime`, Java:
 * `System.nanoTime`, Node: `process.hrtime.bigint`).
 *
 * It says on stdout, a line each: `standing`, `active`, `inactive`. It takes on stdin, a line each: `resign`
 * (planned switch: cancel the consumer, finish the message in hand, acknowledge it, give the lead away by the means
 * meant for it, then stand again), `block` (the handler of the next message never returns and keeps a processor
 * busy, as an endless loop does). The end of stdin ends the process.
 */

/** One process, or one pod, that wants to consume. */
export interface Contender {
  readonly name: string;
  /** Ends it as `kill -9` would, with everything that belongs to it. Resolves when it is gone. */
  kill(): Promise<void>;
  /** SIGSTOP to everything that belongs to it. */
  freeze(): void;
  thaw(): void;
}

/** A message as its handler wrote it down. */
export interface LedgerEntry {
  seq: number;
  contender: string;
  startNs: bigint;
  endNs: bigint;
}

/** A queue, its contenders, and the means to move the lead between them. */
export interface ConsumerSystem {
  /** As in the tables: `baton`, `single active consumer`, `etcd election`, `client-go`, `curator`. */
  readonly name: string;
  readonly queue: string;
  /** Where all its contenders write, also those started later. */
  readonly ledgerFile: string;
  /** Resolves when one contender is active and another one ready to take over. */
  start(): Promise<void>;
  /** The one that consumes; `null` in between. */
  active(): Contender | null;
  /** Begins a planned switch and resolves when it was accepted; who is active afterwards shows the ledger. */
  giveWay(): Promise<void>;
  /** The handler of the active one never returns from its next message. */
  block(): Promise<void>;
  /** Starts what was killed, and resolves when one is active and another one ready, with no fault left. */
  heal(): Promise<void>;
  /** Ends all its processes. Idempotent. */
  stop(): Promise<void>;
}

/** Where a system is to run. */
export interface SystemPlace {
  /** Distinguishes queue, lock and ledger from those of other systems in the same run. */
  id: string;
  /** Addresses as the contenders shall use them, perhaps those of delaying proxies. */
  amqpUrl: string;
  etcdAddresses: string[];
  ttlMs: number;
  prefetch: number;
  /** A folder of its own, for the ledger and the logs. */
  folder: string;
}
