import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Etcd3, type Watcher } from 'etcd3';
import { isRunning } from '../../dev/process-state';

export interface ControlRunOptions {
  folder: string;
  lock: string;
  ttlMs: number;
  concurrency: number;
  etcdAddresses: string[];
  /** What the observer looks at. */
  etcdPrefix: string;
  /** Evidence that this run does not have. */
  without: string[];
}

export interface SeenKey {
  key: string;
  type: 'put' | 'delete';
  value: Buffer;
  revision: number;
  createRevision: number;
  lease: string;
  at: string;
}

const lookMs = 5;
const files = ['published', 'effects', 'faults', 'deaths', 'switches', 'etcd', 'receipts'];

export const nowText = (): string => String(process.hrtime.bigint());

/** Writes a run folder, with an observer of its own in etcd and an eye on the processes. */
export class ControlRun {
  readonly ledgerFolder: string;
  readonly startedAt = process.hrtime.bigint();
  private readonly etcd: Etcd3;
  private watcher: Watcher | undefined;
  private readonly watched = new Map<number, { pod: string; aliveAt: string }>();
  private timer: NodeJS.Timeout | undefined;
  private faults = 0;

  constructor(readonly options: ControlRunOptions) {
    const { folder, lock, ttlMs, concurrency, without } = options;
    this.ledgerFolder = join(folder, 'ledger');
    for (const name of ['ledger', 'logs', 'histories']) mkdirSync(join(folder, name), { recursive: true });
    for (const name of files) this.append(name);
    const locks = [{ lock, queue: lock, regions: [], ttlMs, concurrency, drainLimitMs: 10_000 }];
    const wallClockAtStart = new Date().toISOString();
    const run = { seed: 0, locks, faultKinds: ['pod-freeze-long'], without: ['histories', ...without] };
    writeFileSync(
      join(folder, 'run.json'),
      JSON.stringify({ ...run, startedAt: String(this.startedAt), wallClockAtStart }),
    );
    this.etcd = new Etcd3({ hosts: options.etcdAddresses.map((address) => `http://${address}`) });
  }

  append(name: string, ...lines: object[]): void {
    const text = lines.map((line) => `${JSON.stringify(line)}\n`).join('');
    appendFileSync(join(this.options.folder, `${name}.jsonl`), text);
  }

  async start(onKey: (seen: SeenKey) => void): Promise<void> {
    this.watcher = await this.etcd.watch().prefix(this.options.etcdPrefix).startRevision('1').create();
    this.watcher.on('data', ({ events }) => {
      for (const { type, kv } of events)
        onKey({
          key: kv.key.toString(),
          type: type === 'Delete' ? 'delete' : 'put',
          value: kv.value,
          revision: Number(kv.mod_revision),
          createRevision: Number(kv.create_revision),
          lease: kv.lease,
          at: nowText(),
        });
    });
    this.timer = setInterval(() => this.look(), lookMs);
  }

  /** Notes their deaths from now on. */
  watchProcesses(pod: string, pids: number[]): void {
    for (const pid of pids) if (!this.watched.has(pid)) this.watched.set(pid, { pod, aliveAt: nowText() });
  }

  /** @returns what notes its end. */
  fault(kind: string, target: string, pids: number[]): () => void {
    const fault = { fault: kind, id: ++this.faults, target, cause: 'a control', pids };
    this.append('faults', { ...fault, phase: 'begin', at: nowText() });
    return () => this.append('faults', { ...fault, phase: 'end', at: nowText() });
  }

  async keys(prefix: string): Promise<{ key: string; value: Buffer; createRevision: number }[]> {
    const { kvs } = await this.etcd.getAll().prefix(prefix).exec();
    return kvs.map(({ key, value, create_revision }) => ({
      key: key.toString(),
      value,
      createRevision: Number(create_revision),
    }));
  }

  async put(key: string, value: string): Promise<void> {
    await this.etcd.put(key).value(value);
  }

  async remove(key: string): Promise<void> {
    await this.etcd.delete().key(key);
  }

  /** Idempotent. */
  async close(): Promise<void> {
    clearInterval(this.timer);
    await this.watcher?.cancel().catch(() => undefined); // Ends with the client.
    this.watcher = undefined;
    this.etcd.close();
  }

  private look(): void {
    for (const [pid, known] of this.watched) {
      const at = nowText();
      if (isRunning(pid)) {
        known.aliveAt = at;
        continue;
      }
      this.watched.delete(pid);
      this.append('deaths', { pid, pod: known.pod, role: 'listener', at: known.aliveAt });
    }
  }
}
