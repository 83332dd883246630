import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Contender } from '../../bench/contender';
import { Load } from '../../bench/load';
import { parseEntry } from '../../bench/ledger';
import type { Peer } from '../../bench/peers/peers';
import type { DevStack } from '../../dev/dev-stack';
import { ControlRun, type SeenKey } from './control-run';
import { Leadership } from './leadership';

export interface PeerControlOptions {
  /** Where the peer keeps its leader in etcd. */
  etcdPrefix: (lock: string) => string;
  rounds: number;
  ttlMs: number;
}

const ratePerSecond = 100;
const burst = 3_000;
const prefetch = 100;
const thawedMs = 2_000;
const takeoverLimitMs = 60_000;
/** What a system that neither keeps receipts nor hands a token to a store does not have. */
const without = ['receipts', 'broker'];

let systems = 0;

/**
 * Freezes a peer's leader past its lease and thaws it, and leaves a run folder in which each reign, as etcd shows it,
 * is a tenure: its token is the revision at which it began.
 */
export async function runPeerControl(
  peer: Peer,
  stack: DevStack,
  folder: string,
  { etcdPrefix, rounds, ttlMs }: PeerControlOptions,
): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const lock = `control-${process.pid}-peer-${++systems}`;
  const { etcdAddresses, rabbitmqUrl: amqpUrl } = stack;
  // The run folder has a ledger of its own.
  const place = { id: lock, amqpUrl, etcdAddresses, ttlMs, prefetch, folder: join(folder, 'peer') };
  const system = peer.system(place, stack);
  const prefix = etcdPrefix(lock);
  const run = new ControlRun({
    folder,
    lock,
    ttlMs,
    concurrency: 1,
    etcdAddresses,
    etcdPrefix: prefix,
    without,
  });
  const leadership = new Leadership(lock);
  let load: Load | undefined;
  try {
    await run.start((seen: SeenKey) => leadership.take(seen));
    await system.start();
    load = await Load.connect(amqpUrl, system.queue);
    for (let round = 0; round < rounds; round++) {
      await system.heal();
      load.start(ratePerSecond);
      await sleep(1_000);
      const victim = system.active();
      if (!victim) throw new Error(`nobody of ${peer.name} leads`);
      for (let i = 0; i < burst; i++) load.publish();
      await sleep(10);
      const thawAt = performance.now() + ttlMs + 500;
      victim.freeze();
      const ended = run.fault('pod-freeze-long', victim.name, [pidOf(victim.name)]);
      await untilAnotherWorks(system.ledgerFile, victim);
      await sleep(Math.max(500, thawAt - performance.now()));
      victim.thaw();
      ended();
      await sleep(thawedMs);
    }
    load.pause();
    await load.settle();
    await sleep(1_000);
    writeDown(run, lock, system.ledgerFile, load.published, leadership);
  } finally {
    await load?.close();
    await system.stop();
    await run.close();
  }
}

/** Contenders are numbered, and their processes told apart by that. */
const pidOf = (name: string): number => Number(/(\d+)$/.exec(name)?.[1] ?? 0);

async function untilAnotherWorks(ledgerFile: string, victim: Contender): Promise<void> {
  const giveUpAt = performance.now() + takeoverLimitMs;
  const frozenAt = process.hrtime.bigint();
  const lines = (): string[] => readFileSync(ledgerFile, 'utf8').split('\n').slice(0, -1);
  const works = (): boolean => {
    const last = lines().at(-1);
    if (last === undefined) return false;
    const { contender, startNs } = parseEntry(last);
    return contender !== victim.name && startNs > frozenAt;
  };
  while (!works()) {
    if (performance.now() > giveUpAt)
      throw new Error(`nobody took over from ${victim.name} within ${takeoverLimitMs / 1000} s`);
    await sleep(50);
  }
}

function writeDown(
  run: ControlRun,
  lock: string,
  ledgerFile: string,
  published: Iterable<number>,
  leadership: Leadership,
): void {
  const at = String(run.startedAt);
  run.append(
    'published',
    ...[...published].map((id) => ({ lock, id: String(id), sentAt: at, confirmedAt: at })),
  );
  run.append('etcd', ...leadership.events);
  const byPod = new Map<string, object[]>();
  for (const line of readFileSync(ledgerFile, 'utf8').split('\n').slice(0, -1)) {
    const { seq, contender, startNs, endNs } = parseEntry(line);
    const place = { lock, id: String(seq), region: '', pod: contender, pid: pidOf(contender) };
    const token = leadership.tokenOf(contender, startNs);
    const lines = byPod.get(contender) ?? [];
    byPod.set(contender, lines);
    lines.push({ ...place, token, event: 'start', at: String(startNs) });
    lines.push({ ...place, token, event: 'end', at: String(endNs), outcome: 'ok' });
  }
  for (const [pod, lines] of byPod)
    writeFileSync(
      join(run.ledgerFolder, `${pod}-${pidOf(pod)}.jsonl`),
      lines.map((line) => `${JSON.stringify(line)}\n`).join(''),
    );
}
