import { Etcd3, type Watcher } from 'etcd3';
import { now, type RunRecorder } from './run-recorder';

const decode = (value: Buffer): unknown => {
  const text = value.toString();
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
};

interface Event {
  type: string;
  kv: { key: Buffer; value: Buffer; mod_revision: string; lease: string };
}

/** A client of its own that watches one lock's keys and writes down what it sees. It shares no code with Baton. */
export class EtcdObserver {
  private readonly client: Etcd3;
  private watcher: Watcher | undefined;
  private lastRevision = 0;
  /** A watch that connects again may repeat what it told last. */
  private readonly seen = new Set<string>();
  /** The pod that the holder key names; as old as the last event. */
  holderPod: string | null = null;
  /** The revision of the holder key while there is one: the token. */
  token: number | null = null;
  /** The pods whose candidate keys say that they would take over; as old as the last event. */
  readonly standing = new Set<string>();

  constructor(
    private readonly addresses: string[],
    private readonly lock: string,
    private readonly recorder: RunRecorder,
  ) {
    this.client = this.newClient();
  }

  private get prefix(): string {
    return `/baton/${this.lock}/`;
  }

  async start(): Promise<void> {
    this.watcher = await this.client.watch().prefix(this.prefix).startRevision('1').create();
    this.watcher.on('data', ({ events }) => {
      for (const event of events) this.take(event);
    });
    this.watcher.on('error', () => undefined); // It connects again, from the revision after the last one seen.
  }

  /**
   * Writes down the receipts, and the events that the watch has missed: etcd keeps its whole history in a run.
   * @throws Error when etcd does not answer.
   */
  async finish(): Promise<void> {
    await this.watcher?.cancel().catch(() => undefined); // Ends with the client.
    await this.replay();
    const prefix = `${this.prefix}receipts/`;
    const { kvs } = await this.client.getAll().prefix(prefix).exec();
    for (const { key, value, create_revision } of kvs)
      this.recorder.receipt({
        lock: this.lock,
        key: key.toString(),
        createRevision: Number(create_revision),
        value: decode(value),
      });
  }

  close(): void {
    this.client.close();
  }

  private take({ type, kv }: Event): void {
    const revision = Number(kv.mod_revision);
    const key = kv.key.toString();
    const identity = `${revision} ${key}`;
    if (this.seen.has(identity)) return;
    this.seen.add(identity);
    this.lastRevision = Math.max(this.lastRevision, revision);
    const deleted = type === 'Delete';
    const value = deleted ? null : decode(kv.value);
    if (key === `${this.prefix}holder`) {
      this.holderPod = deleted ? null : (value as { pod: string }).pod;
      this.token = deleted ? null : revision;
    }
    if (key.startsWith(`${this.prefix}candidates/`)) this.noteCandidate(key.split('/').at(-1)!, value);
    const record = { lock: this.lock, revision, key, value, lease: kv.lease, at: now() };
    this.recorder.etcd({ ...record, type: deleted ? 'delete' : 'put' });
  }

  private noteCandidate(pod: string, value: unknown): void {
    const { state, standing } = (value ?? {}) as { state?: string; standing?: boolean };
    if (state === 'ready' && standing === true) this.standing.add(pod);
    else this.standing.delete(pod);
  }

  /** By a second watch from the first revision not seen to the present one. */
  private async replay(): Promise<void> {
    const { header } = await this.client.getAll().prefix(this.prefix).limit(1).exec();
    if (Number(header.revision) <= this.lastRevision) return;
    const client = this.newClient();
    try {
      const watcher = await client
        .watch()
        .prefix(this.prefix)
        .startRevision(String(this.lastRevision + 1))
        .create();
      watcher.on('data', ({ events }) => {
        for (const event of events) this.take(event);
      });
      await new Promise((done) => setTimeout(done, 1_000));
      await watcher.cancel().catch(() => undefined);
    } finally {
      client.close();
    }
  }

  private newClient(): Etcd3 {
    return new Etcd3({ hosts: this.addresses.map((address) => `http://${address}`), dialTimeout: 2_000 });
  }
}
