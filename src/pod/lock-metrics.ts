import type { Receipt } from '../../workflows/contract';
import type { AcquisitionOutcome, ExtensionOutcome, PodMetrics, TenureEvent } from '../telemetry/metrics';

/** The pod's metrics with one lock's labels filled in. */
export class LockMetrics {
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

  holding(token: number): void {
    this.metrics.holder.set({ lock: this.lock }, 1);
    this.metrics.token.set({ lock: this.lock }, token);
  }

  notHolding(): void {
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
