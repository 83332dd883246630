import { Etcd3, type Watcher } from 'etcd3';

/** One write or deletion of a lock's holder key, as etcd told it; `atMs` of `performance.now()`. */
export interface HolderEvent {
  lock: string;
  kind: 'put' | 'delete';
  atMs: number;
}

/** Sees every change of every holder, over a watch of its own. */
export class HolderWatch {
  readonly events: HolderEvent[] = [];

  private constructor(
    private readonly etcd: Etcd3,
    private readonly watcher: Watcher,
  ) {
    const note = (kind: HolderEvent['kind'], key: Buffer): void => {
      const [, , lock = '', name] = key.toString().split('/');
      if (name === 'holder') this.events.push({ lock, kind, atMs: performance.now() });
    };
    watcher.on('put', ({ key }) => note('put', key));
    watcher.on('delete', ({ key }) => note('delete', key));
  }

  /** Of the locks whose names begin like this, from now on. */
  static async open(addresses: readonly string[], lockPrefix: string): Promise<HolderWatch> {
    const etcd = new Etcd3({ hosts: addresses.map((address) => `http://${address}`) });
    return new HolderWatch(etcd, await etcd.watch().prefix(`/baton/${lockPrefix}`).create());
  }

  since(atMs: number): HolderEvent[] {
    return this.events.filter((event) => event.atMs >= atMs);
  }

  async close(): Promise<void> {
    await this.watcher.cancel().catch(() => undefined); // The connection goes with it.
    this.etcd.close();
  }
}
