import { EventEmitter } from 'node:events';
import type { BatonClient } from '../client/baton-client';
import { version } from '../version';
import type { ActionRecord, FeedEvents, Snapshot } from './feed-contract';
import { LockFeed } from './lock-feed';
import { PodScraper } from './pod-scraper';
import { TemporalFeed } from './temporal-feed';

const readEveryMs = 1_000;
/** Each lock's reading is three requests: many locks are read less often. Changes come by the watch. */
const perLockMs = 40;
const readsAtOnce = 8;
const scrapeEveryMs = 2_000;
const actionsKept = 30;

export interface DashboardFeedOptions {
  client: BatonClient;
  /** Locks to show. Default: all. */
  locks?: string[];
  /** Base address of the Temporal UI and the namespace, for links. */
  temporalUi?: { url: string; namespace: string } | undefined;
}

/** What is emitted, one event for each kind that the stream has. */
type Emitted = { [K in Exclude<keyof FeedEvents, 'snapshot'>]: [FeedEvents[K]] };

/**
 * Everything that the dashboard shows, kept up to date from etcd's watch, the workflows and the pods' own endpoints.
 * etcd is watched from `start` on, so that lanes have a past; Temporal and the pods are asked only while somebody looks.
 */
export class DashboardFeed extends EventEmitter<Emitted> {
  private readonly locks: LockFeed[] = [];
  private readonly scraper = new PodScraper();
  private readonly temporal: TemporalFeed;
  private readonly actions: ActionRecord[] = [];
  private readonly timers: NodeJS.Timeout[] = [];
  private viewers = 0;
  private closed = false;

  constructor(private readonly options: DashboardFeedOptions) {
    super();
    this.setMaxListeners(0);
    const regions = options.client.config.regions.map(({ name }) => name);
    this.temporal = new TemporalFeed(
      () => options.client.connections().workflows(),
      this.lockNames.flatMap((lock) => regions.map((region) => ({ lock, region }))),
      {
        isWatched: () => this.viewers > 0,
        changed: (lock) => this.locks.find((feed) => feed.lock === lock)?.noteWorkflows(),
        temporal: () => this.emit('temporal', this.temporal.card),
        drills: () => {
          for (const feed of this.locks) this.emit('history', feed.history());
        },
      },
    );
  }

  get lockNames(): string[] {
    return this.options.locks ?? this.options.client.config.locks.map(({ name }) => name);
  }

  /** Makes the locks known, asking nobody: a snapshot taken before would be without them. Part of `start`. */
  async prepare(): Promise<void> {
    if (this.locks.length > 0) return;
    const { client, temporalUi } = this.options;
    const leases = await client.connections().leaseReader();
    for (const name of this.lockNames) {
      const feed = new LockFeed({
        config: client.config,
        settings: client.settings(name),
        store: await client.lockStore(name),
        leases,
        scraper: this.scraper,
        temporal: this.temporal,
        workflowUrl: (lock, region) =>
          temporalUi
            ? `${temporalUi.url}/namespaces/${encodeURIComponent(temporalUi.namespace)}/workflows/${encodeURIComponent(`baton/${lock}/${region}`)}`
            : null,
        on: {
          card: () => this.emit('lock', feed.card()),
          history: () => this.emit('history', feed.history()),
        },
      });
      this.locks.push(feed);
    }
  }

  /** Returns when every lock has been read once, or etcd has not answered. */
  async start(): Promise<void> {
    await this.prepare();
    if (this.closed) return;
    for (const feed of this.locks) feed.start();
    await this.readAll();
    this.temporal.start();
    this.repeat(Math.max(readEveryMs, this.locks.length * perLockMs), () => this.readAll());
    this.repeat(scrapeEveryMs, () => this.scrape());
  }

  /** Somebody looks, until the returned function is called. */
  watched(): () => void {
    this.viewers += 1;
    let looks = true;
    return () => {
      if (looks) this.viewers -= 1;
      looks = false;
    };
  }

  snapshot(actions: Snapshot['actions']): Snapshot {
    return {
      version,
      now: Date.now(),
      actions,
      regions: this.options.client.config.regions.map(({ name }) => name),
      temporal: this.temporal.card,
      locks: this.locks.map((feed) => ({ card: feed.card(), history: feed.history(), series: feed.series })),
      actionsTaken: this.actions,
    };
  }

  /** Newest first. The same one is noted again when it goes on. */
  noteAction(action: ActionRecord): void {
    const known = this.actions.findIndex(({ id }) => id === action.id);
    if (known === -1) this.actions.unshift(action);
    else this.actions[known] = action;
    this.actions.splice(actionsKept);
    this.temporal.hurry(action.lock);
    this.emit('action', action);
  }

  /** Idempotent. The client stays open: it belongs to whoever gave it. */
  close(): void {
    this.closed = true;
    for (const timer of this.timers) clearTimeout(timer);
    this.temporal.close();
    for (const feed of this.locks) feed.close();
  }

  /** A few at a time: etcd answers fifty at once too late. */
  private async readAll(): Promise<void> {
    const waiting = [...this.locks];
    const work = async (): Promise<void> => {
      for (let feed = waiting.shift(); feed && !this.closed; feed = waiting.shift()) await feed.read();
    };
    await Promise.all(Array.from({ length: readsAtOnce }, work));
  }

  private async scrape(): Promise<void> {
    if (this.viewers === 0) return;
    await this.scraper.scrape(new Set(this.locks.flatMap(({ addresses }) => addresses)));
    const at = Date.now();
    const of = Object.fromEntries(this.locks.map((feed) => [feed.lock, feed.sample(at)]));
    this.emit('samples', { at, of });
  }

  /** Again and again, with a pause: a slow round delays the next one. */
  private repeat(pauseMs: number, round: () => Promise<unknown>): void {
    const index = this.timers.length;
    const run = async (): Promise<void> => {
      await round();
      if (!this.closed) this.timers[index] = setTimeout(() => void run(), pauseMs);
    };
    this.timers.push(setTimeout(() => void run(), pauseMs));
  }
}
