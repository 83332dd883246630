import { EventEmitter } from 'node:events';
import type { IDuplexStream, IRangeRequest, ITxnRequest, IWatchRequest } from 'etcd3';
import {
  EndpointFailure,
  type FailureKind,
  type Endpoint,
  type Service,
  type WatchedStream,
} from '../etcd/etcd-endpoint';
import type { SimulatedProcess } from './simulated-process';
import type { Change, EtcdAnswer, SimulatedEtcd } from './simulated-etcd';
import type { Pipe, Route } from './world';

const lateMs = 50;

/** Told of each moment whose holder etcd tells somebody: of a read, and of a change that is watched. */
export type OnHolderRead = (process: SimulatedProcess, lockHolderKey: string) => void;

export interface EndpointWorld {
  etcd: SimulatedEtcd;
  /** From the process's machine to this member. */
  route: Route;
  /** The member takes no connections: a request fails at once and was certainly not sent. */
  isDown: () => boolean;
  onHolderRead: OnHolderRead;
  /** By how much this transaction is late. */
  lateMs: (request: ITxnRequest) => number;
  /** By how much watches hear late of what changes. */
  newsLateMs: () => number;
  /** A keepalive's answer has just come in. */
  onKeepAlive: (process: SimulatedProcess) => void;
  /** For weaknesses: what is really sent. */
  alter: (request: ITxnRequest) => ITxnRequest;
}

/** One member as a process of a pod reaches it, in the place of gRPC. */
export class SimulatedEndpoint implements Endpoint {
  constructor(
    readonly name: string,
    private readonly process: SimulatedProcess,
    private readonly means: EndpointWorld,
  ) {}

  unary<T>(_service: Service, method: string, payload: unknown, timeoutMs: number): Promise<T> {
    const delayMs = method === 'txn' ? this.means.lateMs(payload as ITxnRequest) : 0;
    return this.ask(
      timeoutMs,
      () => this.perform(method, payload) as EtcdAnswer<T>,
      isWrite(method, payload),
      delayMs,
    );
  }

  exchange<Q, A>(_service: Service, _method: string, question: Q, timeoutMs: number): Promise<A> {
    const { etcd } = this.means;
    const { ID } = question as { ID: string };
    const { world } = this.process;
    return new Promise((resolve, reject) => {
      const timer = this.giveUpAfter(timeoutMs, reject);
      if (this.refused(reject, timer)) return;
      this.send(() => {
        const answer = etcd.keepAlive(ID, this.name);
        world.trace(null, `keepalive of ${ID} by ${this.process.name}: TTL ${answer.TTL}`);
        this.answer(() => {
          clearTimeout(timer);
          this.means.onKeepAlive(this.process);
          resolve(answer as A);
        });
      });
    });
  }

  watch<Q, A>(): Promise<WatchedStream<Q, A>> {
    const stream = new SimulatedWatch(this.process, this.means);
    return Promise.resolve({
      stream: stream as unknown as IDuplexStream<Q, A>,
      answered: () => {},
      silentSince: () => {},
    });
  }

  close(): void {}

  private ask<T>(
    timeoutMs: number,
    perform: () => EtcdAnswer<T>,
    writes: boolean,
    delayMs: number,
  ): Promise<T> {
    const { etcd } = this.means;
    const { world } = this.process;
    return new Promise((resolve, reject) => {
      const timer = this.giveUpAfter(timeoutMs, reject);
      if (this.refused(reject, timer)) return;
      const commit = (): void => {
        const { deposed } = etcd;
        const waitsFor = Math.max(
          etcd.stalledUntil,
          deposed?.member === this.name && deposed.until > world.now ? deposed.until : 0,
        );
        if (waitsFor > world.now) {
          // Neither lost nor committed: it may still be, when nobody waits for it any more.
          world.at(waitsFor + world.between(0, 30), commit);
          return;
        }
        const result = perform();
        this.answer(() => {
          clearTimeout(timer);
          if ('answer' in result) resolve(result.answer);
          else reject(new EndpointFailure(kindOf(result.error), this.name, result.error));
        });
      };
      this.send(writes ? () => world.after(delayMs + world.between(0.2, 3), commit) : commit);
    });
  }

  private perform(method: string, payload: unknown): EtcdAnswer<unknown> {
    const { etcd, onHolderRead, alter } = this.means;
    const { world, name } = this.process;
    switch (method) {
      case 'txn': {
        const result = etcd.txn(alter(payload as ITxnRequest));
        if (world.isTraced) world.remark(null, `txn of ${name}: ${describe(payload as ITxnRequest, result)}`);
        return result;
      }
      case 'range': {
        const request = payload as IRangeRequest;
        if (request.keys_only) onHolderRead(this.process, String(request.key));
        return { answer: etcd.range(request) };
      }
      case 'leaseGrant': {
        const { TTL, ID } = payload as { TTL: number; ID: number | string };
        return etcd.grant(TTL, Number(ID) === 0 ? undefined : String(ID));
      }
      case 'leaseRevoke':
        return etcd.revoke((payload as { ID: string }).ID);
      default:
        throw new Error(`not simulated: ${method}`);
    }
  }

  private send(arrive: () => void): void {
    const { route } = this.means;
    this.process.world.transmit({ from: this.process, route, mayBeLost: true }, arrive);
  }

  private answer(arrive: () => void): void {
    const { route } = this.means;
    this.process.world.transmit({ to: this.process, route, way: 'back', mayBeLost: true }, arrive);
  }

  private giveUpAfter(timeoutMs: number, reject: (error: Error) => void): NodeJS.Timeout {
    const late = `no answer after ${Math.round(timeoutMs)} ms`;
    return setTimeout(() => reject(new EndpointFailure('no-answer', this.name, late)), timeoutMs + lateMs);
  }

  private refused(reject: (error: Error) => void, timer: NodeJS.Timeout): boolean {
    if (!this.means.isDown()) return false;
    clearTimeout(timer);
    reject(new EndpointFailure('not-sent', this.name, 'No connection established'));
    return true;
  }
}

const isWrite = (method: string, payload: unknown): boolean =>
  method !== 'range' && !(method === 'txn' && !(payload as ITxnRequest).compare?.length);

function describe(
  { compare = [], success = [], failure = [] }: ITxnRequest,
  result: EtcdAnswer<unknown>,
): string {
  if ('error' in result) return result.error;
  const { succeeded, header } = result.answer as { succeeded: boolean; header: { revision: string } };
  const done = (succeeded ? success : failure).flatMap(
    ({ request_put: put, request_delete_range: remove }) =>
      put ? [`put ${String(put.key)}`] : remove ? [`delete ${String(remove.key)}`] : [],
  );
  const verdict = compare.length > 0 ? (succeeded ? 'accepted' : 'refused') : 'read';
  return `${verdict} at ${header.revision} ${done.join(', ')}`;
}

/** One watch stream: what is committed after its creation, in order, late, or never when its connection is dead. */
class SimulatedWatch extends EventEmitter {
  private readonly back: Pipe = { lastArrival: 0 };
  private prefix: { from: string; to: string } | null = null;
  private isOpen = true;

  constructor(
    private readonly process: SimulatedProcess,
    private readonly means: EndpointWorld,
  ) {
    super();
    process.onKill.push(() => this.cancel());
  }

  write({ create_request: create }: IWatchRequest): void {
    const { world } = this.process;
    const { route, etcd } = this.means;
    world.transmit({ from: this.process, route, mayBeLost: true }, () => {
      if (!this.isOpen) return;
      if (create) {
        this.prefix = { from: String(create.key), to: String(create.range_end) };
        etcd.onChanges.push(this.onChanges);
      }
      this.deliver({ created: create !== undefined, events: [] });
    });
  }

  cancel(): void {
    this.isOpen = false;
    const { onChanges } = this.means.etcd;
    const index = onChanges.indexOf(this.onChanges);
    if (index >= 0) onChanges.splice(index, 1);
  }

  private readonly onChanges = (changes: Change[]): void => {
    const { prefix } = this;
    const events = changes
      .filter(({ key }) => prefix !== null && key >= prefix.from && key < prefix.to)
      .map(({ type, kv }) => ({ type, kv }));
    for (const { type, kv } of events)
      if (type === 'Put' && String(kv.key).endsWith('/holder'))
        this.means.onHolderRead(this.process, String(kv.key));
    if (events.length > 0) this.deliver({ events });
  };

  private deliver(response: object): void {
    const { route, etcd, newsLateMs } = this.means;
    const { world } = this.process;
    // A dead connection swallows everything from here on, without a word.
    if (route.cutUntil.back > world.now && world.chance(0.3)) return this.cancelSilently();
    const header = etcd.header();
    const minMs = 0.2 + newsLateMs();
    const transfer = {
      to: this.process,
      route,
      way: 'back',
      pipe: this.back,
      minMs,
      maxMs: minMs + 1.8,
    } as const;
    world.transmit(transfer, () => {
      if (this.isOpen) this.emit('data', { header, canceled: false, ...response });
    });
  }

  private cancelSilently(): void {
    this.cancel();
  }
}

const kindOf = (error: string): FailureKind => (error.includes('lease not found') ? 'lease-gone' : 'refused');
