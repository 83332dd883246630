import type { LockView } from '../pod/lock-store';
import type { Observer } from './observer';

const FRAME_MS = 250;
const PLAIN_LINE_MS = 1_000;
const BLOCKS = ' ▁▂▃▄▅▆▇█';

export interface LiveViewSource {
  regions: string[];
  observer: Observer;
  published: () => number;
}

/**
 * Shows the running system. On a terminal: events scroll by, and below them a screen that is updated in place.
 * Elsewhere: plain lines, one per event and one per second.
 */
export class LiveView {
  private readonly began = Date.now();
  private source: LiveViewSource | undefined;
  private timer: NodeJS.Timeout | undefined;
  private linesShown = 0;
  private now = '';

  constructor(private readonly out: NodeJS.WriteStream) {}

  /** From now on there is something to look at. */
  watch(source: LiveViewSource): void {
    this.source = source;
    this.timer = setInterval(() => this.show(), this.out.isTTY ? FRAME_MS : PLAIN_LINE_MS);
  }

  /** One line that stays, with the time since the start. */
  say(line: string): void {
    this.clear();
    this.out.write(`${seconds(Date.now() - this.began)}  ${line}\n`);
    if (this.out.isTTY) this.show();
  }

  /** What is happening now; also one line that stays. */
  announce(what: string): void {
    this.now = what;
    this.say(what);
  }

  /** Ends the screen; its last state stays on the terminal. Idempotent. */
  close(): void {
    clearInterval(this.timer);
    this.source = undefined;
    this.linesShown = 0;
  }

  private show(): void {
    if (!this.source) return;
    if (!this.out.isTTY) {
      this.out.write(`${seconds(Date.now() - this.began)}    ${this.summary(this.source)}\n`);
      return;
    }
    this.clear();
    const lines = this.frame(this.source).map((line) => clip(line, this.out.columns || 80));
    this.out.write(`${lines.join('\n')}\n`);
    this.linesShown = lines.length;
  }

  private clear(): void {
    if (this.linesShown > 0) this.out.write(`\x1b[${this.linesShown}F\x1b[0J`);
    this.linesShown = 0;
  }

  private frame(source: LiveViewSource): string[] {
    const { observer, regions } = source;
    const width = Math.max(...regions.map((region) => region.length));
    const lanes = regions.map((region) => ({ region, lane: observer.lane(region) }));
    // The second that has just begun would make every lane end in a dip.
    for (const { lane } of lanes) lane.pop();
    const peak = Math.max(1, ...lanes.flatMap(({ lane }) => lane));
    return [
      '',
      `  ${this.summary(source)}`,
      ...lanes.flatMap(({ region, lane }) => [
        `  ${region.padEnd(width)}  ${describe(region, observer.view)}, ${count(observer.processedIn.get(region) ?? 0)} processed`,
        `  ${' '.repeat(width)}  ${lane.map((n) => BLOCKS[Math.ceil((n / peak) * 8)]).join('')}|`,
      ]),
      `  now: ${this.now}`,
    ];
  }

  private summary({ observer, published }: LiveViewSource): string {
    const holder = observer.view?.holder;
    const who = holder ? `${holder.pod} is active (token ${holder.token})` : 'nobody is active';
    const figures = `${count(observer.finished.size)} of ${count(published())} processed`;
    return `${who}, ${observer.rate()} messages/s, ${figures}`;
  }
}

/** `ACTIVE us-east-a-1f3c, token 42, 2 candidates`. */
function describe(region: string, view: LockView | null): string {
  if (!view) return 'etcd has not answered yet';
  const candidates = view.candidates.filter((candidate) => candidate.region === region);
  const ready = candidates.filter(({ state, standing }) => state === 'ready' && standing).length;
  const { holder } = view;
  const draining = candidates.some(({ state, pod }) => state === 'draining' && pod === holder?.pod);
  const state =
    holder?.region === region
      ? `${draining ? 'DRAINING' : 'ACTIVE'} ${holder.pod}, token ${holder.token}`
      : view.paused
        ? 'paused'
        : 'standby';
  return `${state}, ${ready} of ${candidates.length} pods ready`;
}

function clip(line: string, columns: number): string {
  return line.length < columns ? line : `${line.slice(0, columns - 2)}…`;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1).padStart(5)} s`;
}

export function count(n: number): string {
  return n.toLocaleString('en-US');
}
