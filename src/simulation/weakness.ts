import { AdvanceConsumer } from '../listener/advance-consumer';
import { Guard, type Holder } from '../listener/guard';
import { DeadlineWatch } from '../listener/deadline-watch';
import { MessageWorker } from '../listener/message-worker';
import { UnknownOutcomeError } from '../../activities/errors';
import { EtcdLock } from '../etcd/etcd-lock';
import { HandOver } from '../pod/hand-over';
import { Keeper } from '../pod/keeper';
import { now } from '../pod/lease-clock';
import type { LockAgent } from '../pod/lock-agent';
import type { HolderChange, LockStore } from '../pod/lock-store';
import { Pod } from '../pod/pod';
import { RunningTenure } from '../pod/running-tenure';
import type { Weakness } from './weakness-names';

type Anything = (...given: never[]) => unknown;
type Methods = Record<string, Anything>;

const restores: (() => void)[] = [];

function replace(type: { prototype: object }, name: string, make: (original: Anything) => Anything): void {
  const methods = type.prototype as Methods;
  const original = methods[name];
  if (!original) throw new Error(`there is no method ${name} to weaken`);
  methods[name] = make(original);
  restores.push(() => {
    methods[name] = original;
  });
}

/** Until the function that it returns is called. */
export function weaken(weakness: Weakness): () => void {
  weakenings[weakness]();
  return () => {
    for (const restore of restores.splice(0)) restore();
  };
}

const nothing = (): undefined => undefined;

const weakenings: Record<Weakness, () => void> = {
  'no guard': () => {
    replace(Guard, 'check', () => () => null);
    replace(
      Guard,
      'verify',
      () => () => Promise.resolve({ held: true, readBeganNs: process.hrtime.bigint() }),
    );
  },
  'a change without its read': () => {
    replace(
      AdvanceConsumer,
      'findChange',
      () =>
        function believe(this: {
          change: Holder | null;
          find: (holder: Holder, readBeganNs: bigint) => void;
        }) {
          if (this.change) this.find(this.change, process.hrtime.bigint());
        },
    );
  },
  'no deadline kill': () => {
    replace(RunningTenure, 'checkDeadline', () => nothing);
    replace(DeadlineWatch, 'take', () => nothing);
    replace(Guard, 'deadlineSettled', () => nothing);
  },
  'deadline from the answer': () => {
    replace(
      Keeper,
      'extendOnce',
      (original) =>
        async function answered(this: { store: object }, sent: object) {
          const { store } = this;
          const late = Object.create(store) as { keepAlive: (leaseId: string) => Promise<unknown> };
          late.keepAlive = async (leaseId: string) => {
            const answer = await (store as { keepAlive: (id: string) => Promise<unknown> }).keepAlive(
              leaseId,
            );
            Object.assign(sent, now());
            return answer;
          };
          this.store = late;
          try {
            return await (original as (sent: object) => Promise<unknown>).call(this, sent);
          } finally {
            this.store = store;
          }
        },
    );
  },
  'unconfirmed extension': () => {
    replace(
      Keeper,
      'extendOnce',
      () =>
        async function unconfirmed(
          this: {
            store: { keepAlive: (id: string) => Promise<{ ttlMs: number }> };
            leaseId: string;
            lastConfirmed: object;
            reports: { onConfirmed: (extension: object) => void };
          },
          sent: object,
        ) {
          try {
            const { ttlMs } = await this.store.keepAlive(this.leaseId);
            this.lastConfirmed = { sent, ttlMs };
            this.reports.onConfirmed(this.lastConfirmed);
            return 'confirmed';
          } catch {
            return 'unknown';
          }
        },
    );
  },
  // The transactions themselves, on their way to etcd (run-seed.ts).
  'hand-over without compares': () => {},
  'settled by a read': () => {
    replace(
      EtcdLock,
      'changeHolder',
      (original) =>
        async function read(this: LockStore, change: HolderChange) {
          try {
            return await (original as LockStore['changeHolder']).call(this, change);
          } catch (error) {
            if (!(error instanceof UnknownOutcomeError)) throw error;
            const view = await this.read();
            if (view.holder?.token !== change.view.holder?.token) throw error;
            return { outcome: 'refused', why: 'a read has not shown it', view };
          }
        },
    );
    replace(
      HandOver,
      'resume',
      (original) =>
        async function resumed(this: { agent: LockAgent }, ...given: never[]) {
          const { candidacy, store } = this.agent;
          candidacy.write = async () => ({ outcome: 'applied', view: await store.read() });
          try {
            return await original.apply(this, given);
          } finally {
            Reflect.deleteProperty(candidacy, 'write');
            // What it offered is withdrawn all the same, when it may be too late.
            setTimeout(() => void candidacy.write().catch(() => {}), 1_000);
          }
        },
    );
  },
  'drain without waiting': () => {
    replace(MessageWorker, 'idle', () => () => Promise.resolve(true));
    replace(MessageWorker, 'workedOff', () => () => Promise.resolve());
  },
  'stale instructions obeyed': () => {
    replace(Pod, 'checkSeq', () => nothing);
    replace(
      HandOver,
      'handOverOnce',
      (original) =>
        function obey(
          this: { agent: { tenure: { tenure: object } | null; store: object } },
          input: { tenure: object },
        ) {
          const { tenure } = this.agent;
          const present = tenure ? { ...input, tenure: tenure.tenure } : input;
          return (original as (input: object) => unknown).call(this, present);
        },
    );
  },
};
