import type { Receipt } from '../../workflows/contract';
import type { AcquisitionOutcome, ExtensionOutcome, PodMetrics, TenureEvent } from '../telemetry/metrics';

/** The pod's metrics with one lock's labels filled in. */
export class LockMetrics {
  /** When the last beat came, or the tenure began. */
  private lastBeatMs: number | null = null;

  constructor(
    private readonly metrics: PodMetrics,
    private readonly lock: string,
    private readonly region: string,
  ) {}

  acquisition(outcome: AcquisitionOutcome): void {
    this.metrics.acquisitions.inc({ lock: this.lock, region: this.region, outcome });
  }

  extension(outcome: ExtensionOutcome): void {
    this.metrics.extensions.inc({ lock: this.lock, region: this.region, outcome });
  }

  tenure(event: TenureEvent): void {
    this.metrics.tenureTransitions.inc({ lock: this.lock, region: this.region, event });
  }

  beatPeriod(beatMs: number): void {
    this.metrics.beatPeriod.set({ lock: this.lock }, beatMs / 1000);
  }

  holding(token: number): void {
    this.metrics.holder.set({ lock: this.lock }, 1);
    this.metrics.token.set({ lock: this.lock }, token);
    this.lastBeatMs = performance.now();
  }

  /** The region workflow has asked the holder to renew. */
  beat(): void {
    const nowMs = performance.now();
    if (this.lastBeatMs !== null)
      this.metrics.beatInterval.observe({ lock: this.lock }, (nowMs - this.lastBeatMs) / 1000);
    this.lastBeatMs = nowMs;
  }

  beatAge(): void {
    if (this.lastBeatMs === null) return;
    this.metrics.beatAge.set({ lock: this.lock }, (performance.now() - this.lastBeatMs) / 1000);
  }

  /** A change of holder towards this pod, once its first message has started. */
  gap(cause: Receipt['cause'], gapMs: number | null): void {
    if (gapMs === null) return;
    this.metrics.gap.observe({ lock: this.lock, cause }, Math.max(0, gapMs) / 1000);
    this.metrics.overlap.observe({ lock: this.lock, cause }, Math.max(0, -gapMs) / 1000);
  }

  recovered(cause: Receipt['cause'], tookMs: number): void {
    this.metrics.recovery.observe({ lock: this.lock, cause }, tookMs / 1000);
  }

  drained(tookMs: number): void {
    this.metrics.drain.observe({ lock: this.lock }, tookMs / 1000);
  }

  standby(could: boolean): void {
    this.metrics.standby.set({ lock: this.lock }, could ? 1 : 0);
  }

  notHolding(): void {
    this.lastBeatMs = null;
    this.metrics.clearTenure(this.lock);
  }

  margin(ms: number): void {
    this.metrics.leaseMargin.set({ lock: this.lock }, ms / 1000);
  }

  flapping(stopped: boolean): void {
    this.metrics.flapping.set({ lock: this.lock }, stopped ? 1 : 0);
  }

  candidateReady(ready: boolean): void {
    this.metrics.candidateReady.set({ lock: this.lock }, ready ? 1 : 0);
  }

  receipt(cause: Receipt['cause']): void {
    this.metrics.receipts.inc({ lock: this.lock, cause });
  }
}
