import { closeSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/** The monotonic clock that all processes of this machine share, in nanoseconds. */
export const now = (): string => process.hrtime.bigint().toString();

export interface RunDescription {
  seed: number;
  minutes: number;
  locks: {
    lock: string;
    queue: string;
    regions: string[];
    ttlMs: number;
    concurrency: number;
    drainLimitMs: number;
  }[];
  faultKinds: readonly string[];
  sink: { exactlyOnce: boolean };
  startedAt: string;
  wallClockAtStart: string;
}

export interface FaultRecord {
  fault: string;
  id: number;
  target: string;
  phase: 'begin' | 'end';
  at: string;
  cause: string;
  pids: number[];
}

export interface SwitchRecord {
  lock: string;
  id: string;
  to: string;
  askedAt: string;
  answeredAt: string;
  outcome: 'done' | 'refused' | 'failed' | 'unknown';
  token: number | null;
  drainComplete: boolean | null;
  why: string;
}

export interface EtcdRecord {
  lock: string;
  revision: number;
  key: string;
  type: 'put' | 'delete';
  value: unknown;
  lease: string;
  at: string;
}

/** What the handlers' store took, or refused because of its token. */
export interface EffectRecord {
  lock: string;
  id: string;
  token: number;
  at: string;
  accepted: boolean;
  /** The store's own order, of what it took. */
  sequence?: number;
}

export interface EndOfQueue {
  lock: string;
  queue: string;
  ready: number;
  unacked: number;
  deadLettered: number;
}

/** Writes what the checker reads: one folder for each run, JSON Lines, each line in one write. */
export class RunRecorder {
  private readonly files = new Map<string, number>();

  constructor(readonly folder: string) {
    for (const name of ['ledger', 'logs', 'histories']) mkdirSync(join(folder, name), { recursive: true });
  }

  get ledgerFolder(): string {
    return join(this.folder, 'ledger');
  }

  get logFolder(): string {
    return join(this.folder, 'logs');
  }

  describe(run: RunDescription): void {
    writeFileSync(join(this.folder, 'run.json'), `${JSON.stringify(run, null, 2)}\n`);
  }

  published(line: { lock: string; id: string; sentAt: string; confirmedAt: string | null }): void {
    this.append('published.jsonl', line);
  }

  fault(line: FaultRecord): void {
    this.append('faults.jsonl', line);
  }

  death(line: { pid: number; pod: string; role: 'agent' | 'listener'; at: string }): void {
    this.append('deaths.jsonl', line);
  }

  switch(line: SwitchRecord): void {
    this.append('switches.jsonl', line);
  }

  etcd(line: EtcdRecord): void {
    this.append('etcd.jsonl', line);
  }

  /** A connection of a pod whose end the broker did not expect. */
  connectionEnd(line: { lock: string; pod: string; at: string }): void {
    this.append('connections.jsonl', line);
  }

  receipt(line: { lock: string; key: string; createRevision: number; value: unknown }): void {
    this.append('receipts.jsonl', line);
  }

  effect(line: EffectRecord): void {
    this.append('effects.jsonl', line);
  }

  broker(queues: EndOfQueue[]): void {
    writeFileSync(join(this.folder, 'broker.json'), `${JSON.stringify({ queues }, null, 2)}\n`);
  }

  history(workflowId: string, runId: string, history: object): void {
    const name = `${workflowId.replaceAll('/', '_')}-${runId}.json`;
    writeFileSync(join(this.folder, 'histories', name), JSON.stringify({ workflowId, runId, ...history }));
  }

  /** Idempotent. */
  close(): void {
    for (const fd of this.files.values()) closeSync(fd);
    this.files.clear();
  }

  private append(name: string, line: object): void {
    let fd = this.files.get(name);
    if (fd === undefined) this.files.set(name, (fd = openSync(join(this.folder, name), 'a')));
    writeSync(fd, `${JSON.stringify(line)}\n`);
  }
}
