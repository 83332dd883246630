import type { Receipt } from '../../workflows/contract';
import type { TraceContext } from '../../workflows/trace-context';
import { noTracing, type SpanHandle, type SpanOptions, type Tracing } from '../telemetry/tracing';
import type { PodIdentity } from './candidacy';
import type { Offer } from './lock-store';

/**
 * The span of a tenure's beginning in this pod: from the holder's offer, or from the change itself, until the listener
 * consumes. It belongs to the trace of whoever handed over; a takeover begins one of its own.
 */
export class TakeOverSpan {
  /** Set before the agent starts. */
  tracing: Tracing = noTracing;
  private span: SpanHandle | null = null;
  /** Of the last offer, also after its span has ended: offers are seen again and again. */
  private offer: { id: string; context: TraceContext | undefined } | null = null;
  /** A tenure that has begun before its receipt was read. */
  private unnamed: { token: number; beganAt: number } | null = null;

  constructor(
    private readonly lock: string,
    private readonly identity: PodIdentity,
  ) {}

  /** The holder means to hand over to this pod. */
  offered({ id, trace }: Offer): TraceContext | undefined {
    if (this.offer?.id === id) return this.offer.context;
    this.end('another offer came');
    this.open({ parent: trace, attributes: { 'baton.switch_id': id } });
    this.offer = { id, context: this.span?.context };
    return this.offer.context;
  }

  /** The tenure begins in this pod. */
  began(token: number, receipt: Receipt | null): TraceContext | undefined {
    if (!this.span && !receipt) this.unnamed = { token, beganAt: Date.now() };
    else if (!this.span) this.open({ parent: receipt?.trace });
    this.span?.set({ 'baton.token': token, 'baton.cause': receipt?.cause });
    return this.span?.context;
  }

  /** The listener consumes. */
  working(): void {
    this.end();
  }

  /** Where no offer had named it: the receipt of the tenure was found. */
  named(token: number, { cause, trace }: Receipt): void {
    if (this.unnamed?.token !== token) return;
    this.open({ parent: trace, startedAt: this.unnamed.beganAt });
    this.unnamed = null;
    this.span?.set({ 'baton.token': token, 'baton.cause': cause });
    this.end();
  }

  /** Idempotent. `why`: nothing came of it. */
  end(why?: string): void {
    if (why !== undefined) this.span?.fail(why);
    this.span?.end();
    this.span = null;
  }

  private open({ attributes, ...options }: SpanOptions): void {
    if (!this.tracing.isOn) return;
    const { region, pod } = this.identity;
    const own = { 'baton.lock': this.lock, 'baton.region': region, 'baton.pod': pod };
    this.span = this.tracing.begin('take over', { ...options, attributes: { ...own, ...attributes } });
  }
}
