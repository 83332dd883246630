import type { Receipt, RegionStatus, SwitchOutcome } from '../../workflows/contract';
import { expectedGap } from '../../workflows/preflight';
import { isExpected } from '../client/expected-error';
import type { LeaseReader } from '../client/lease-reader';
import type { Config, LockSettings } from '../config/config';
import { plainMark } from '../pod/lock-truth';
import type { CandidateKey, LockStore, LockView, LockWatch } from '../pod/lock-store';
import type { LaneSpan, LockCard, LockHistory, PodCard, RegionCard, Series } from './feed-contract';
import { drainBegan, laneState, ObservedLanes, spansOfReceipts } from './lanes';
import { noFigures } from './pod-figures';
import type { PodScraper } from './pod-scraper';
import type { TemporalFeed } from './temporal-feed';

/** Changes come in groups: one read for all of them. */
const settleMs = 30;
const receiptsShown = 40;
const gapsUsed = 20;
/** A receipt gets its first message later, if any comes. */
const completionMs = 60_000;
const samplesKept = 300;

export interface LockFeedOptions {
  config: Config;
  settings: LockSettings;
  store: LockStore;
  leases: LeaseReader;
  scraper: PodScraper;
  temporal: TemporalFeed;
  /** Address of a workflow in the Temporal UI, where that is known. */
  workflowUrl: (lock: string, region: string) => string | null;
  on: { card: () => void; history: () => void };
}

/** One lock, as etcd's watch, its workflows and its pods tell it. Reads again when told to, and after each change. */
export class LockFeed {
  readonly lock: string;
  private readonly observed = new ObservedLanes();
  private readonly drains = new Map<string, number>();
  private readonly samples: Series = [[], [], [], []];
  private view: LockView | null = null;
  private receipts: Receipt[] = [];
  private ttlLeftMs: number | null = null;
  private readAt = 0;
  private freeSince: number | null = null;
  private away: LockCard['etcdAway'] = null;
  private watch: LockWatch | null = null;
  private settling: NodeJS.Timeout | null = null;
  private reading: Promise<void> | null = null;
  private againAfter = false;
  private closed = false;

  constructor(private readonly options: LockFeedOptions) {
    this.lock = options.settings.name;
  }

  start(): void {
    this.watch = this.options.store.watch(() => {
      this.options.temporal.hurry(this.lock);
      this.settling ??= setTimeout(() => {
        this.settling = null;
        void this.read();
      }, settleMs);
    });
  }

  close(): void {
    this.closed = true;
    this.watch?.close();
    if (this.settling) clearTimeout(this.settling);
  }

  /** Never rejects: that etcd is away is something to show. Two at a time become one after the other. */
  read(): Promise<void> {
    if (this.reading) this.againAfter = true;
    this.reading ??= this.readOnce().finally(() => {
      this.reading = null;
      if (!this.againAfter || this.closed) return;
      this.againAfter = false;
      void this.read();
    });
    return this.reading;
  }

  /** A workflow has answered. */
  noteWorkflows(): void {
    let drained = false;
    for (const status of this.statuses())
      for (const { switchId, steps } of status.lastSwitches) {
        const began = drainBegan(steps);
        if (began === null || this.drains.has(switchId)) continue;
        this.drains.set(switchId, began);
        drained = true;
      }
    if (this.observe() || drained) this.options.on.history();
    this.options.on.card();
  }

  /** The addresses of the pods that it knows. */
  get addresses(): string[] {
    return (this.view?.candidates ?? []).flatMap(({ health }) => health ?? []);
  }

  /** Keeps what the pods say now for the chart. */
  sample(at: number): LockCard['figures'] {
    const { figures } = this.card();
    const { rate, handlerP50, handlerP99 } = figures;
    for (const [index, value] of [at / 1000, rate, handlerP50, handlerP99].entries()) {
      const column = this.samples[index] as (number | null)[];
      column.push(value);
      if (column.length > samplesKept) column.shift();
    }
    return figures;
  }

  get series(): Series {
    return this.samples;
  }

  card(): LockCard {
    const { view } = this;
    const pods = (view?.candidates ?? []).map((candidate) => this.podCard(candidate));
    const holding = pods.find(({ holds }) => holds);
    const gaps = this.receipts.flatMap(({ cause, gapMs }) =>
      cause === 'switch' && gapMs !== null ? [gapMs] : [],
    );
    const holder = view?.holder;
    return {
      lock: this.lock,
      leaseTtlMs: this.options.settings.leaseTtlMs,
      holder: holder
        ? { region: holder.region, pod: holder.pod, token: holder.token, since: holder.since }
        : null,
      ttlLeftMs: this.ttlLeftMs,
      readAt: this.readAt,
      freeSince: this.freeSince,
      paused: view?.paused ? plainMark(view.paused) : null,
      flapping: view?.flap.tripped ? plainMark(view.flap.tripped) : null,
      blocked: view?.blocked?.why ?? null,
      successor: view?.successor?.region ?? null,
      regions: this.regionNames.map((region) => this.regionCard(region)),
      pods,
      switchUnderWay: this.switchUnderWay(),
      expectedGap: expectedGap(gaps.slice(0, gapsUsed)),
      figures: holding?.figures ?? noFigures,
      totals: sumOf(pods),
      etcdAway: this.away,
    };
  }

  history(): LockHistory {
    const { settings, temporal } = this.options;
    const told = spansOfReceipts(this.receipts, this.drains, settings.leaseTtlMs);
    const lanes: Record<string, LaneSpan[]> = {};
    // What was seen lies below what the receipts tell: those know it to the millisecond.
    for (const region of this.regionNames) {
      const seen = this.observed.of(region);
      const known = told[region] ?? [];
      const isOpen = known.some(({ state, to }) => state === 'active' && to === null);
      const present = seen.filter(
        ({ state, to }) =>
          to === null && state !== 'standby' && state !== 'not-ready' && !(isOpen && state === 'active'),
      );
      lanes[region] = [...seen.filter(({ state }) => state !== 'active'), ...known, ...present];
    }
    return { lock: this.lock, receipts: this.receipts, lanes, drills: temporal.drillsOf(this.lock) };
  }

  private get regionNames(): string[] {
    return this.options.config.regions.map(({ name }) => name);
  }

  private async readOnce(): Promise<void> {
    const { store, leases, on } = this.options;
    const beganAt = Date.now();
    try {
      const view = await store.read();
      const { holder } = view;
      const ttlLeftMs = holder ? await leases.ttlLeftMs(holder.leaseId) : null;
      const news = this.isNews(view) ? await store.listReceipts(receiptsShown) : null;
      if (this.closed) return;
      this.view = view;
      this.ttlLeftMs = ttlLeftMs;
      this.readAt = Date.now();
      this.freeSince = holder ? null : (this.freeSince ?? this.readAt);
      this.away = null;
      const changed = news !== null && JSON.stringify(news) !== JSON.stringify(this.receipts);
      if (news) this.receipts = news;
      if (this.observe() || changed) on.history();
    } catch (error) {
      if (this.closed) return;
      if (!isExpected(error)) throw error;
      this.away = { since: this.away?.since ?? (this.readAt || beganAt), why: error.message };
      if (this.observe()) on.history();
    }
    on.card();
  }

  private isNews(view: LockView): boolean {
    const newest = this.receipts[0];
    const { last } = view;
    if (!last) return false;
    if (newest?.id !== last.receipt.id) return true;
    return newest.firstStartedAt === null && Date.now() - Date.parse(newest.at) < completionMs;
  }

  private observe(): boolean {
    const at = Date.now();
    let changed = false;
    for (const region of this.regionNames)
      changed = this.observed.note(region, this.stateOf(region), at, this.readySince(region)) || changed;
    return changed;
  }

  /** Of the pod that has been ready there for longest: the lane has a past also where nobody looked on. */
  private readySince(region: string): number | undefined {
    const since = (this.view?.candidates ?? [])
      .filter((candidate) => candidate.region === region && candidate.state === 'ready')
      .map((candidate) => Date.parse(candidate.since))
      .filter((ms) => !Number.isNaN(ms));
    return since.length === 0 ? undefined : Math.min(...since);
  }

  private stateOf(region: string): RegionCard['state'] {
    const status = this.statusOf(region);
    const draining = status?.phase === 'draining';
    return laneState(this.away ? null : this.view, region, draining);
  }

  private statusOf(region: string): RegionStatus | null {
    const said = this.options.temporal.word(this.lock, region)?.said;
    return typeof said === 'object' && !('away' in said) ? said : null;
  }

  private statuses(): RegionStatus[] {
    return this.regionNames.flatMap((region) => this.statusOf(region) ?? []);
  }

  private switchUnderWay(): SwitchOutcome | null {
    return (
      this.statuses()
        .flatMap(({ lastSwitches }) => lastSwitches)
        .find(({ result }) => result === 'running') ?? null
    );
  }

  private regionCard(region: string): RegionCard {
    const said = this.options.temporal.word(this.lock, region)?.said ?? null;
    const status = this.statusOf(region);
    const cordon = this.view?.cordons.find((each) => each.region === region);
    return {
      region,
      state: this.stateOf(region),
      cordoned: cordon ? plainMark(cordon) : null,
      workflow: said === null ? null : said === 'not-running' ? 'not-running' : status ? 'running' : 'away',
      phase: status?.phase ?? null,
      why:
        status?.why ??
        (said === 'not-running' ? `its workflow is not running: baton start --region ${region}` : ''),
      workflowUrl: this.options.workflowUrl(this.lock, region),
    };
  }

  private podCard({ pod, region, state, standing, since, version, health, leaseId }: CandidateKey): PodCard {
    const { scraper } = this.options;
    return {
      pod,
      region,
      state,
      standing,
      since,
      version,
      holds: this.view?.holder?.leaseId === leaseId,
      health: scraper.health(health),
      figures: scraper.figures(health, this.lock),
      totals: scraper.totals(health, this.lock),
    };
  }
}

function sumOf(pods: PodCard[]): LockCard['totals'] {
  const known = pods.flatMap(({ totals }) => totals ?? []);
  if (known.length === 0) return null;
  const sum = (of: (totals: NonNullable<PodCard['totals']>) => number): number =>
    known.reduce((total, each) => total + of(each), 0);
  return {
    processed: sum(({ processed }) => processed),
    failed: sum(({ failed }) => failed),
    deadLettered: sum(({ deadLettered }) => deadLettered),
  };
}
