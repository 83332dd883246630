import { isDeepStrictEqual } from 'node:util';
import type { Logger } from 'pino';
import type { CandidateState } from '../../workflows/contract';
import type { LockSettings } from '../config/config';
import { Keeper, type ExtensionOutcome, type KeeperReports } from './keeper';
import type { ConfirmedExtension } from './lease-clock';
import type { CandidateNotes, CandidateWrite, LockStore, LockView } from './lock-store';

type Wanted = Pick<CandidateWrite, 'state' | 'standing'> & CandidateNotes;

/** Who this pod is. `pod` is its name plus its boot id. */
export interface PodIdentity {
  region: string;
  pod: string;
  version: string;
  /** `host:port` at which others reach its health endpoint; known once that is open. */
  health?: string;
}

/**
 * This pod's place among the candidates of one lock: its lease, the candidate key on it, and the keeper that
 * extends it. The same lease carries the holder key during a tenure, so it is alive and confirmed before.
 */
export class Candidacy {
  private keeper: Keeper | null = null;
  private wanted: Wanted = { state: 'warming', standing: false };
  private written: Wanted | null = null;
  private since = new Date().toISOString();

  constructor(
    private readonly store: LockStore,
    private readonly identity: PodIdentity,
    private readonly settings: LockSettings,
    private readonly reports: KeeperReports,
    private readonly logger: Logger,
  ) {}

  /** `null` while there is no lease. */
  get leaseId(): string | null {
    return this.keeper?.leaseId ?? null;
  }

  get confirmed(): ConfirmedExtension | null {
    return this.keeper?.confirmed ?? null;
  }

  get state(): CandidateState {
    return this.wanted.state;
  }

  want(state: CandidateState, standing: boolean, notes: CandidateNotes = {}): void {
    if (state !== this.wanted.state) this.since = new Date().toISOString();
    this.wanted = { state, standing, ...notes };
  }

  get isWritten(): boolean {
    return isDeepStrictEqual(this.written, this.wanted);
  }

  /** Grants a lease, puts the candidate key on it and extends it from now on. Throws when etcd is away. */
  async open(): Promise<LockView> {
    const lease = await this.store.grantLease(this.settings.leaseTtlMs);
    this.written = null;
    const wrote = { ...this.wanted };
    const { view } = await this.store.putCandidate(this.record(lease.leaseId));
    this.written = wrote;
    this.keeper = new Keeper(
      this.store,
      lease.leaseId,
      this.identity.pod,
      this.settings.keeperIntervalMs,
      this.reports,
      this.logger,
    );
    this.keeper.start();
    return view;
  }

  /** Writes the wanted state. With `whileHolding` it is refused once `holder` has another token. */
  async write(whileHolding?: number): Promise<{ outcome: 'applied' | 'refused'; view: LockView }> {
    const wrote = { ...this.wanted };
    // Without an answer nobody knows what stands there: it is written again then.
    this.written = null;
    const result = await this.store.putCandidate(
      this.current(),
      whileHolding === undefined ? {} : { whileHolding },
    );
    if (result.outcome === 'applied') this.written = wrote;
    return result;
  }

  /** The candidate key as wanted now. */
  current(): CandidateWrite {
    if (!this.keeper) throw new Error('no lease: the candidacy is not open');
    return this.record(this.keeper.leaseId);
  }

  /** The wanted state was written by another transaction. */
  noteWritten(): void {
    this.written = { ...this.wanted };
  }

  extend(): Promise<ExtensionOutcome> {
    return this.keeper?.extend() ?? Promise.resolve('lost');
  }

  /** Stops extending and forgets the lease, without touching etcd. */
  abandon(): void {
    this.keeper?.stop();
    this.keeper = null;
    this.written = null;
  }

  private record(leaseId: string): CandidateWrite {
    return { ...this.identity, leaseId, ...this.wanted, since: this.since };
  }
}
