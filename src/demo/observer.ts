import { setTimeout as sleep } from 'node:timers/promises';
import type { LockView } from '../pod/lock-store';
import { LedgerReader, type LedgerRecord } from './ledger';

const POLL_MS = 100;
const LANE_SECONDS = 60;

/** The last message that was started, and where. */
export interface Working {
  region: string;
  pod: string;
  token: number;
  pid: number;
}

/** What the demo sees of its system while it runs: etcd's word on the lock, and the ledger's tail. */
export class Observer {
  /** The newest reading; `null` before the first, and old while etcd does not answer. */
  view: LockView | null = null;
  /** Messages finished at least once. */
  readonly finished = new Set<number>();
  /** Of the highest token so far. */
  working: Working | null = null;
  readonly processedIn = new Map<string, number>();

  private readonly ledger: LedgerReader;
  private readonly lanes = new Map<string, Map<number, number>>();
  private timer: NodeJS.Timeout | undefined;
  private reading = false;

  constructor(
    private readonly readLock: () => Promise<LockView>,
    ledgerFolder: string,
    /** Called after each reading of etcd that showed another token than the one before. */
    private readonly onHolder: (view: LockView) => void,
  ) {
    this.ledger = new LedgerReader(ledgerFolder);
  }

  start(): void {
    this.timer = setInterval(() => void this.poll(), POLL_MS);
  }

  stop(): void {
    clearInterval(this.timer);
    this.ledger.close();
  }

  /** Messages finished in a region in each of the last 60 seconds, oldest first. */
  lane(region: string): number[] {
    const now = Math.floor(Date.now() / 1000);
    const cells = this.lanes.get(region);
    return Array.from({ length: LANE_SECONDS }, (_, i) => cells?.get(now - LANE_SECONDS + 1 + i) ?? 0);
  }

  /** Messages finished per second, in all regions, over the last full second. */
  rate(): number {
    return [...this.lanes.keys()].reduce((sum, region) => sum + (this.lane(region).at(-2) ?? 0), 0);
  }

  /**
   * Waits until `look` returns something.
   * @throws Error with what was waited for, after `limitMs`; the signal's reason when it fires.
   */
  async until<T>(
    what: string,
    limitMs: number,
    signal: AbortSignal,
    look: () => T | null | undefined | false,
  ): Promise<T> {
    const giveUpAt = Date.now() + limitMs;
    for (;;) {
      signal.throwIfAborted();
      const found = look();
      if (found !== null && found !== undefined && found !== false) return found;
      if (Date.now() > giveUpAt)
        throw new Error(`waited ${Math.round(limitMs / 1000)} s in vain until ${what}`);
      await sleep(POLL_MS / 4);
    }
  }

  private async poll(): Promise<void> {
    for (const { pid, records } of this.ledger.poll()) for (const record of records) this.note(pid, record);
    if (this.reading) return;
    this.reading = true;
    try {
      const before = this.view?.holder?.token;
      const view = await this.readLock();
      this.view = view;
      if (view.holder && view.holder.token !== before) this.onHolder(view);
    } catch {
      // etcd did not answer: the view stays as old as it is, and the next poll asks again.
    } finally {
      this.reading = false;
    }
  }

  private note(pid: number, { event, seq, region, pod, token, wall }: LedgerRecord): void {
    if (!this.working || token >= this.working.token) this.working = { region, pod, token, pid };
    if (event !== 'end') return;
    this.finished.add(seq);
    this.processedIn.set(region, (this.processedIn.get(region) ?? 0) + 1);
    const second = Math.floor(wall / 1000);
    let lane = this.lanes.get(region);
    if (!lane) this.lanes.set(region, (lane = new Map()));
    lane.set(second, (lane.get(second) ?? 0) + 1);
  }
}
