import type { IKeyValue } from 'etcd3';
import type { Receipt } from '../../workflows/contract';
import type { LockSettings } from '../config/config';
import type { BrokerChannel, BrokerReports, Queued, Return } from './simulated-broker';
import type { Change, SimulatedEtcd } from './simulated-etcd';
import type { SimulatedProcess } from './simulated-process';
import type { World } from './world';

export interface Execution {
  message: string;
  token: number;
  process: SimulatedProcess;
  startedAt: number;
  isRunning: boolean;
  /** The delivery that it works on, unless the process made the message up. */
  delivery: Delivery | undefined;
}

interface Delivery {
  receivedAt: number;
  channel: BrokerChannel;
}

interface Token {
  leaseId: string;
  endedAt: number | null;
  why: string;
}

/** The last success of a message, and why its delivery had come back, or came back later. */
interface Success {
  token: number;
  process: SimulatedProcess;
  cameBack: Return | null;
}

/** Rounding, and what the network takes at least. */
const slackMs = 1;

/**
 * Watches from outside: the handlers' starts and ends, the broker, etcd's commits. It knows neither Baton's state nor
 * its clocks, only what has happened when, in global time.
 */
export class Judge implements BrokerReports {
  readonly published = new Set<string>();
  readonly done = new Map<string, Success>();
  starts = 0;
  switches = 0;
  tenures = 0;
  duplicates = 0;
  private readonly running = new Set<Execution>();
  private readonly tokens = new Map<number, Token>();
  private holder: number | null = null;
  private newestStarted = 0;
  /** By process: when etcd last showed it which token as holder's. */
  private readonly reads = new Map<SimulatedProcess, Map<number, number>>();
  private readonly received = new Map<SimulatedProcess, Map<string, Delivery>>();
  private readonly instructed = new Map<string, Set<number>>();
  private readonly aborted = new Set<string>();
  /** Tokens that were handed over, by the new one's receipt. */
  private readonly handedOver = new Map<number, Receipt>();
  private readonly holderKey: string;
  private readonly prefix: string;

  constructor(
    private readonly world: World,
    etcd: SimulatedEtcd,
    private readonly settings: LockSettings,
  ) {
    this.prefix = `/baton/${settings.name}/`;
    this.holderKey = `${this.prefix}holder`;
    etcd.onChanges.push((changes) => this.committed(changes));
  }

  get holderToken(): number | null {
    return this.holder;
  }

  // --- etcd --------------------------------------------------------------------------------------------

  private committed(changes: Change[]): void {
    for (const { type, key, kv, why } of changes) {
      if (key.startsWith(`${this.prefix}aborted/`)) this.aborted.add(key.slice(this.prefix.length + 8));
      if (key === this.holderKey && type === 'Put') this.newHolder(kv, changes);
      if (key === this.holderKey && type === 'Delete') {
        this.world.trace(null, `the holder key goes (${why})`);
        if (this.holder !== null)
          this.endToken(this.holder, why === 'lease' ? 'its lease ran out' : 'deleted');
        this.holder = null;
      }
    }
  }

  private newHolder(kv: IKeyValue, changes: Change[]): void {
    const token = Number(kv.mod_revision);
    const { pod } = JSON.parse(String(kv.value)) as { pod: string };
    this.world.trace(null, `${pod} becomes holder under token ${token}`);
    this.tenures += 1;
    const written = changes.find(({ key }) => key.startsWith(`${this.prefix}receipts/`));
    if (!written) this.world.violate('every change leaves a receipt', `none for token ${token}`);
    else this.checkReceipt(JSON.parse(String(written.kv.value)) as Receipt, token);
    if (this.holder !== null) this.endToken(this.holder, `${pod} took over`);
    this.tokens.set(token, { leaseId: kv.lease, endedAt: null, why: '' });
    this.holder = token;
  }

  private checkReceipt(receipt: Receipt, token: number): void {
    const { id, cause, from } = receipt;
    if (this.holder !== null && from?.token !== this.holder)
      this.world.violate(
        'a change follows the present holder',
        `token ${token} (${cause} ${id}) comes from ${from?.token}, but ${this.holder} held the lock`,
      );
    if (cause === 'switch' || cause === 'shutdown') {
      this.switches += 1;
      if (from) this.handedOver.set(from.token, receipt);
    }
    if (cause !== 'switch') return;
    const named = this.instructed.get(id);
    if (!named) return;
    if (from === null || !named.has(from.token))
      this.world.violate(
        'a stale instruction changes nothing',
        `switch ${id} was for token ${[...named].join()}, and ended ${from?.token}`,
      );
    if (this.aborted.has(id))
      this.world.violate('an aborted switch does not happen', `switch ${id}, token ${token}`);
  }

  private endToken(token: number, why: string): void {
    const known = this.tokens.get(token);
    if (!known) return;
    known.endedAt = this.world.now;
    known.why = why;
    for (const execution of this.running) {
      const { process, startedAt, message } = execution;
      if (execution.token !== token || !process.isAlive) continue;
      if (process.stoodStill(startedAt, this.world.now)) continue;
      this.world.violate(
        'fail-stop at the deadline',
        `${process.name} works on ${message} under token ${token} when it ends: ${why}`,
      );
    }
  }

  noteInstruction({ switchId, tenure }: { switchId: string; tenure: { token: number } }): void {
    const known = this.instructed.get(switchId);
    if (known) known.add(tenure.token);
    else this.instructed.set(switchId, new Set([tenure.token]));
  }

  noteHolderRead(process: SimulatedProcess): void {
    if (this.holder === null) return;
    const known = this.reads.get(process) ?? new Map<number, number>();
    this.reads.set(process, known.set(this.holder, this.world.now));
  }

  // --- the broker --------------------------------------------------------------------------------------

  onDelivered({ id }: Queued, channel: BrokerChannel): void {
    const { process } = channel.connection;
    const known = this.received.get(process) ?? new Map<string, Delivery>();
    this.received.set(process, known.set(id, { receivedAt: process.time, channel }));
  }

  onReturn({ id }: Queued, process: SimulatedProcess, why: Return): void {
    const success = this.done.get(id);
    if (success?.process === process) success.cameBack ??= why;
  }

  onAcknowledged({ id }: Queued): void {
    if (!this.done.has(id))
      this.world.violate('acknowledged only after success', `${id} is acknowledged unprocessed`);
  }

  // --- the handlers ------------------------------------------------------------------------------------

  begin(message: string, token: number, process: SimulatedProcess): Execution {
    const excused = process.hasJustStopped;
    const delivery = this.received.get(process)?.get(message);
    const execution: Execution = {
      message,
      token,
      process,
      startedAt: process.time,
      isRunning: false,
      delivery,
    };
    process.note(() => {
      this.world.trace(null, `${process.name} starts ${message} under token ${token}`);
      this.starts += 1;
      execution.isRunning = true;
      this.running.add(execution);
      if (!excused) this.checkStart(execution);
      this.checkOverlap(execution);
      this.checkTwice(execution);
      this.newestStarted = Math.max(this.newestStarted, token);
    });
    return execution;
  }

  end(execution: Execution, succeeded: boolean): void {
    const { message, token, process, delivery } = execution;
    process.note(() => {
      this.world.trace(null, `${process.name} ends ${message}: ${succeeded ? 'done' : 'failed'}`);
      execution.isRunning = false;
      this.running.delete(execution);
      // A channel that ended meanwhile has given the message back already: no acknowledgement reaches the broker.
      if (succeeded) this.done.set(message, { token, process, cameBack: delivery?.channel.endedBy ?? null });
    });
  }

  /** The tenure is valid, and etcd has said so since the message came. */
  private checkStart({ token, process, message, delivery }: Execution): void {
    const { now } = this.world;
    const what = `${process.name} starts ${message} under token ${token}`;
    if (token < this.newestStarted)
      this.world.violate('one at a time', `${what}, after a start under ${this.newestStarted}`);
    const { endedAt = null, why = '' } = this.tokens.get(token) ?? {};
    if (!this.tokens.has(token)) this.world.violate('one at a time', `${what}, which never held the lock`);
    else if (endedAt !== null && endedAt < now - slackMs)
      this.world.violate('one at a time', `${what}, ${(now - endedAt).toFixed(1)} ms after its end: ${why}`);
    const readAt = this.reads.get(process)?.get(token) ?? -Infinity;
    const receivedAt = delivery?.receivedAt ?? Infinity;
    if (readAt < receivedAt)
      this.world.violate(
        'a read since it was received',
        `${what}: read at ${readAt}, received at ${receivedAt}`,
      );
    // A suspension shorter than half the margin goes unnoticed, and its time by the monotonic clock uncounted.
    const { verificationMaxAgeMs, deadlineMarginMs } = this.settings;
    const unnoticedMs = process.machine.wasSuspended ? deadlineMarginMs / 2 : 0;
    const oldestMs = verificationMaxAgeMs / process.machine.rate + unnoticedMs + slackMs;
    if (now - readAt > oldestMs && Number.isFinite(readAt))
      this.world.violate('unknown means stop', `${what}: last read ${(now - readAt).toFixed(1)} ms ago`);
  }

  private checkOverlap(started: Execution): void {
    for (const other of this.running) {
      if (other === started) continue;
      if (!other.process.isAlive) {
        this.running.delete(other);
        continue;
      }
      const isAnother = other.token !== started.token || other.process !== started.process;
      const frozen = [other, started].some(({ process, startedAt }) =>
        process.stoodStill(startedAt, this.world.now),
      );
      if (isAnother && !frozen)
        this.world.violate(
          'one at a time',
          `${started.process.name} starts ${started.message} under ${started.token} while ` +
            `${other.process.name} works on ${other.message} under ${other.token}`,
        );
    }
  }

  /** Nothing comes twice that its consumer returned, or of which a finished drain was the end. */
  private checkTwice({ message, token, process }: Execution): void {
    const success = this.done.get(message);
    if (!success) return;
    this.duplicates += 1;
    const { cameBack } = success;
    const receipt = this.handedOver.get(success.token);
    const wasClean = cameBack === 'channel closed' && receipt !== undefined && success.process.isAlive;
    if (cameBack === 'returned by its consumer' || wasClean)
      this.world.violate(
        'nothing twice in a planned switch',
        `${process.name} starts ${message} under ${token}, done under ${success.token}, then ${cameBack}`,
      );
  }

  // --- the end -----------------------------------------------------------------------------------------

  get isAllDone(): boolean {
    return this.done.size === this.published.size;
  }

  leftOver(): string[] {
    return [...this.published].filter((message) => !this.done.has(message));
  }
}
