import type { RegionStatus } from '../../workflows/contract';
import type { EndedDrill } from '../client/operations';
import { type RegionWorkflows, WorkflowsAwayError } from '../client/region-workflows';
import type { TemporalCard } from './feed-contract';

/** What a region's workflow said last, and when. */
export interface WorkflowWord {
  said: RegionStatus | 'not-running' | { away: string };
  at: number;
}

const tickMs = 300;
const statusEveryMs = 3_000;
/** Each query is a task for a pod: many locks are asked less often. */
const perStatusMs = 60;
/** One that does not answer costs five seconds each time. */
const unansweredEveryMs = 20_000;
const atOnce = 4;
const pingEveryMs = 2_000;
const drillsEveryMs = 30_000;
const drillsKept = 30;

/** The workflows' word on every lock and region, asked again and again while somebody looks. */
export class TemporalFeed {
  private readonly words = new Map<string, WorkflowWord>();
  private readonly urgent = new Set<string>();
  private lastDrills: EndedDrill[] = [];
  private drillsAt = 0;
  private answeredAt: number | null = null;
  private awayNow: TemporalCard['away'] = null;
  private timer: NodeJS.Timeout | undefined;
  private closed = false;

  constructor(
    private readonly connect: () => Promise<RegionWorkflows>,
    private readonly pairs: { lock: string; region: string }[],
    private readonly on: {
      /** Nobody looks: Temporal is left in peace. */
      isWatched: () => boolean;
      changed: (lock: string) => void;
      temporal: () => void;
      drills: () => void;
    },
  ) {}

  start(): void {
    this.timer = setTimeout(() => void this.run(), 0);
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
  }

  get card(): TemporalCard {
    return { away: this.awayNow, asked: this.answeredAt !== null || this.awayNow !== null };
  }

  word(lock: string, region: string): WorkflowWord | null {
    return this.words.get(keyOf(lock, region)) ?? null;
  }

  drillsOf(lock: string): EndedDrill[] {
    return this.lastDrills.filter(({ report }) => report.lock === lock).slice(0, 10);
  }

  /** etcd shows a change: its workflows have news, too. */
  hurry(lock: string): void {
    this.urgent.add(lock);
  }

  private async run(): Promise<void> {
    try {
      if (this.on.isWatched()) await this.round();
    } finally {
      if (!this.closed)
        this.timer = setTimeout(() => void this.run(), this.awayNow === null ? tickMs : pingEveryMs);
    }
  }

  private async round(): Promise<void> {
    const beganAt = Date.now();
    try {
      const workflows = await this.connect();
      if (this.awayNow !== null) await workflows.ping();
      this.noteAnswer();
      await this.askDue(workflows);
      if (Date.now() - this.drillsAt > drillsEveryMs) await this.readDrills(workflows);
    } catch (error) {
      this.noteAway(error instanceof Error ? error.message : String(error), beganAt);
    }
  }

  /** @throws WorkflowsAwayError when Temporal itself does not answer, as opposed to a region's pods. */
  private async askDue(workflows: RegionWorkflows): Promise<void> {
    const due = this.due(Date.now());
    this.urgent.clear();
    const work = async (): Promise<void> => {
      for (let pair = due.shift(); pair && !this.closed; pair = due.shift())
        await this.ask(workflows, pair.lock, pair.region);
    };
    await Promise.all(Array.from({ length: Math.min(atOnce, due.length) }, work));
  }

  private due(now: number): { lock: string; region: string }[] {
    const everyMs = Math.max(statusEveryMs, this.pairs.length * perStatusMs);
    return this.pairs.filter(({ lock, region }) => {
      const word = this.word(lock, region);
      if (!word) return true;
      const isAway = typeof word.said === 'object' && 'away' in word.said;
      if (isAway) return now - word.at > unansweredEveryMs;
      return this.urgent.has(lock) || now - word.at > everyMs;
    });
  }

  private async ask(workflows: RegionWorkflows, lock: string, region: string): Promise<void> {
    let said: WorkflowWord['said'];
    try {
      said = await workflows.status(lock, region);
    } catch (error) {
      if (!(error instanceof WorkflowsAwayError)) throw error;
      await workflows.ping();
      said = { away: error.message };
    }
    this.noteAnswer();
    this.words.set(keyOf(lock, region), { said, at: Date.now() });
    this.on.changed(lock);
  }

  private async readDrills(workflows: RegionWorkflows): Promise<void> {
    this.drillsAt = Date.now();
    try {
      this.lastDrills = await workflows.operations.lastDrills(drillsKept);
      this.on.drills();
    } catch {
      // Their results may be gone while everything else is there: that is no outage.
      await workflows.ping();
    }
  }

  private noteAnswer(): void {
    this.answeredAt = Date.now();
    if (this.awayNow === null) return;
    this.awayNow = null;
    this.on.temporal();
  }

  private noteAway(why: string, beganAt: number): void {
    if (this.closed) return;
    const since = this.awayNow?.since ?? this.answeredAt ?? beganAt;
    this.awayNow = { since, why };
    this.on.temporal();
  }
}

const keyOf = (lock: string, region: string): string => `${lock}/${region}`;
