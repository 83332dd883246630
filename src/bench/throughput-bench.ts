import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, type ChannelModel, type ConfirmChannel } from 'amqplib';
import {
  percentile,
  resultOf,
  type Bench,
  type BenchContext,
  type BenchReport,
  type BenchResult,
  type Goal,
} from './bench';
import type { Strategy } from './throughput-consumer';
import { decodeNotes, encodeMark, monotonicMs, roundFile, type RoundNote } from './throughput-handler';
import {
  BatonListener,
  farMs,
  loadName,
  PlainConsumer,
  type Load,
  type ThroughputSystem,
} from './throughput-systems';

const names = {
  plain: 'amqplib unverified',
  batched: 'amqplib unverified, batched acks',
  readEach: 'one etcd read per message',
  readBeside: 'amqplib unverified, reads beside',
  wait: `amqplib unverified, ${farMs} ms late`,
  waitBeside: `amqplib unverified, ${farMs} ms late, reads beside`,
  single: 'single active consumer',
  baton: 'baton',
} as const;

/** What is measured, and how long. */
export interface ThroughputGrid {
  prefetches: number[];
  /** Durations of the handler in ms. */
  handlers: number[];
  /** Of a round; the first messages, which fill the prefetch, come on top. */
  windowMs: number;
  warmUpRounds: number;
}

const fullGrid: ThroughputGrid = {
  prefetches: [1, 50, 200, 500, 2_000],
  handlers: [0, 1, 10],
  windowMs: 300,
  warmUpRounds: 3,
};
const quickGrid: ThroughputGrid = {
  prefetches: [50, 200, 500],
  handlers: [0],
  windowMs: 200,
  warmUpRounds: 2,
};

/** For the size of a round; with etcd far away, more than any of the systems reaches. */
const capPerSecond = { near: 20_000, far: 50_000 };
/** So many windows is a round's length with etcd far away: the burst of a full prefetch takes some round trips to level out. */
const farWindows = 2;
const leastMeasured = 12;
const roundLimitMs = 30_000;
const latencyRates = [500, 5_000];
const latencySeconds = 1;
const latencyLoad: Load = { prefetch: 500, handlerMs: 0 };
/** Of one system at one rate, in the report. */
const mostLatencySamples = 3_000;

interface Cell {
  load: Load;
  etcd: 'near' | 'far';
  system: ThroughputSystem;
  /** Messages per second it can reach at most, for the size of its rounds. */
  expected: number;
  /** So many come in a burst at first, and are not measured. */
  burst: number;
  rounds: number;
  samples: number[];
}

/**
 * Messages per second out of a full queue. Every round fills the queue first, then starts one of the systems, and
 * takes the rate between the first message beyond the prefetch and the last one.
 */
export const throughputBench: Bench = {
  name: 'throughput',
  title: 'Verified throughput: what it costs that a read covers every message',
  run: (context) => measureThroughput(context, context.quick ? quickGrid : fullGrid),
};

export async function measureThroughput(context: BenchContext, grid: ThroughputGrid): Promise<BenchReport> {
  const run = new ThroughputRun(context, grid);
  try {
    return await run.run();
  } finally {
    await run.close();
  }
}

class ThroughputRun {
  private readonly closers: (() => Promise<unknown>)[] = [];
  private readonly id = `throughput-${process.pid}-${Date.now().toString(36)}-`;
  private readonly folder: string;
  private broker!: ChannelModel;
  private channel!: ConfirmChannel;
  private round = 0;
  /** Messages that Baton's handlers were called for. */
  private handledByBaton = 0;
  /** Messages found in the queue although they had been handled and acknowledged. */
  private readonly returned = new Map<string, number>();
  private readonly latencies = new Map<string, number[]>();

  constructor(
    private readonly context: BenchContext,
    private readonly grid: ThroughputGrid,
  ) {
    this.folder = join(context.folder, 'throughput');
  }

  async run(): Promise<BenchReport> {
    const { context } = this;
    const { stack } = context;
    this.broker = await connect(stack.rabbitmqUrl, { noDelay: true });
    this.closers.push(() => this.broker.close());
    this.channel = await this.broker.createConfirmChannel();
    const { prefetches, handlers } = this.grid;
    const loads = handlers.flatMap((handlerMs) => prefetches.map((prefetch) => ({ prefetch, handlerMs })));
    const proxy = await stack.toxiproxy.proxy(this.id, stack.etcdAddresses[0] as string);
    this.closers.push(() => proxy.remove());
    const latency = { type: 'latency', attributes: { latency: farMs / 2 } } as const;
    await proxy.addToxic('there', 'upstream', latency);
    await proxy.addToxic('back', 'downstream', latency);

    const near = await this.openBaton('near', loads, stack.etcdAddresses);
    const far = await this.openBaton('far', loads, [proxy.address]);
    const plain = await this.openPlain('plain', names.plain, 'ack each', near);
    const batched = await this.openPlain('batched', names.batched, 'ack batched', near);
    const singleQueue = `${this.id}single`;
    const single = context.skips(names.single) ? null : await this.openSingle(singleQueue, near);
    const readNear = await this.openPlain('read-near', names.readEach, 'read each', near);
    const readBeside = await this.openPlain('read-beside', names.readBeside, 'read beside', near);
    const readFar = await this.openPlain('read-far', names.readEach, 'read each', near, [proxy.address]);
    const wait = await this.openPlain('wait', names.wait, 'wait', near);
    const waitBeside = await this.openPlain('wait-beside', names.waitBeside, 'wait beside', near, [
      proxy.address,
    ]);

    const goalRounds = context.rounds(30, 5);
    const gridRounds = context.rounds(5, 1);
    const cells: Cell[] = [];
    for (const load of loads) {
      const atGoal = load.handlerMs === 0 && (load.prefetch === 500 || load.prefetch === 200);
      const near30 = atGoal ? goalRounds : gridRounds;
      const far30 = load.handlerMs === 0 && load.prefetch > 1 ? goalRounds : gridRounds;
      const limit = Math.min(capPerSecond.near, handlerLimit(load));
      const cell = (
        system: ThroughputSystem | null,
        rounds: number,
        expected = limit,
        etcd: Cell['etcd'] = 'near',
        burst = load.prefetch,
      ): void => {
        if (system) cells.push({ load, etcd, system, expected, burst, rounds, samples: [] });
      };
      cell(plain, near30);
      cell(batched, near30);
      cell(near, near30);
      cell(single, gridRounds);
      // One read at a time: the handler and the prefetch change nothing about it.
      if (load.handlerMs === 0) cell(readNear, gridRounds, 1_500, 'near', 5);
      if (load.handlerMs === 0) cell(readFar, context.rounds(5, 1), 1_000 / farMs, 'far', 2);
      const farLimit = Math.min(capPerSecond.far, handlerLimit(load));
      const byDistance = Math.min(farLimit, (load.prefetch * 1_000) / (farMs + load.handlerMs));
      cell(far, far30, byDistance, 'far');
      if (load.handlerMs === 0)
        for (const late of [wait, waitBeside]) cell(late, gridRounds, byDistance, 'far');
    }

    await this.warmUp([near, far, plain, batched, single, readNear, readBeside, wait, waitBeside], loads);
    await this.measureRates(cells, goalRounds);
    await this.measureLatencies([plain, near], readBeside, context.rounds(8, 2));

    const results = [...cells.map(rateResult), ...this.latencyResults()];
    return {
      results,
      goals: [...rateGoals(results), ...latencyGoals(results)],
      notes: [await this.verificationNote([near, far]), ...this.returnedNotes(), ...notesOnMethod],
    };
  }

  /** Last opened, first closed; one that cannot be closed does not keep the others. */
  async close(): Promise<void> {
    for (const close of this.closers.toReversed())
      await close().catch((error: Error) => this.context.say(`throughput: ${error.message}`));
  }

  // --- the systems ---------------------------------------------------------------------------------------

  private async openBaton(place: string, loads: Load[], etcd: string[]): Promise<BatonListener> {
    const folder = join(this.folder, `baton-${place}`);
    const listener = new BatonListener(names.baton, folder, loads, `${this.id}${place}-`, etcd, this.context);
    this.closers.push(() => listener.close());
    await listener.open();
    for (const load of loads) this.removeLater(listener.queueOf(load));
    return listener;
  }

  /** It takes its messages from Baton's own queues. */
  private async openPlain(
    place: string,
    name: string,
    strategy: Strategy,
    near: BatonListener,
    etcd = this.context.stack.etcdAddresses,
    queueOf = (load: Load) => near.queueOf(load),
  ): Promise<PlainConsumer> {
    const consumer = new PlainConsumer(name, join(this.folder, place), strategy, queueOf, this.context);
    this.closers.push(() => consumer.close());
    await consumer.open(this.context.stack.rabbitmqUrl, etcd, near.lockOf(latencyLoad));
    return consumer;
  }

  /** With a second consumer that stands by, without which such a queue would make no sense. */
  private async openSingle(queue: string, near: BatonListener): Promise<PlainConsumer> {
    const channel = await this.broker.createChannel();
    await channel.assertQueue(queue, {
      durable: true,
      arguments: { 'x-queue-type': 'quorum', 'x-single-active-consumer': true },
    });
    this.removeLater(queue);
    await channel.close();
    return this.openPlain('single', names.single, 'ack each', near, undefined, () => queue);
  }

  private removeLater(queue: string): void {
    this.closers.push(async () => {
      const channel = await this.broker.createChannel();
      await channel.deleteQueue(queue);
      await channel.deleteQueue(`${queue}.dead`);
      await channel.deleteExchange(`${queue}.dead`);
      await channel.close();
    });
  }

  // --- rates ---------------------------------------------------------------------------------------------

  /** Compiled code, grown buffers, made connections: as in a consumer that has been running for a while. */
  private async warmUp(systems: (ThroughputSystem | null)[], loads: Load[]): Promise<void> {
    this.context.say('throughput: warming up');
    const load = loads.find(isWarmUpLoad) ?? latencyLoad;
    for (let round = 0; round < this.grid.warmUpRounds; round += 1)
      for (const system of systems)
        if (system) await this.runRound(system, load, system.name === names.readEach ? 300 : 5_000);
  }

  private async measureRates(cells: Cell[], rounds: number): Promise<void> {
    for (let round = 0; round < rounds; round += 1) {
      const due = cells.filter(
        (cell) => cell.samples.length < Math.ceil(((round + 1) * cell.rounds) / rounds),
      );
      const began = performance.now();
      for (const group of groupBy(due, ({ load }) => loadName(load)).values()) {
        // Nobody always comes after the same other one.
        for (const cell of shuffled(group)) {
          if (this.context.signal.aborted) throw new Error('the bench was ended');
          await this.measureRate(cell);
        }
      }
      const seconds = ((performance.now() - began) / 1_000).toFixed(1);
      this.context.say(`throughput: round ${round + 1} of ${rounds}: ${due.length} samples in ${seconds} s`);
    }
  }

  private async measureRate({ load, etcd, system, expected, burst, samples }: Cell): Promise<void> {
    const windowMs = this.grid.windowMs * (etcd === 'far' ? farWindows : 1);
    const wanted = Math.max(leastMeasured, (expected * windowMs) / 1_000);
    const notes = await this.runRound(system, load, burst + burst * Math.ceil(wanted / burst));
    // A full prefetch is verified at once and starts in a burst: from the end of one to the end of another, so that
    // there are as many bursts as waits between them.
    const from = notes[burst - 1] as RoundNote;
    const last = notes.at(-1) as RoundNote;
    samples.push(((notes.length - burst) * 1_000) / (last.startedAt - from.startedAt));
  }

  private async runRound(system: ThroughputSystem, load: Load, total: number): Promise<RoundNote[]> {
    const queue = system.queueOf(load);
    const round = (this.round += 1);
    const body = encodeMark({ round, total, sentAt: 0 });
    for (let sent = 0; sent < total; sent += 1) this.channel.sendToQueue(queue, body, { persistent: true });
    await this.channel.waitForConfirms();
    await system.consume(load);
    return this.finishRound(system, round, queue);
  }

  private async finishRound(system: ThroughputSystem, round: number, queue: string): Promise<RoundNote[]> {
    const file = roundFile(system.folder, round);
    const until = performance.now() + roundLimitMs;
    while (!existsSync(file)) {
      if (performance.now() > until) throw new Error(`${system.name} has not emptied ${queue}`);
      await sleep(5);
    }
    const notes = decodeNotes(readFileSync(file));
    rmSync(file);
    await system.stop();
    // RabbitMQ's quorum queues forget acknowledgements that a channel sent shortly before it was closed.
    const { messageCount } = await this.channel.purgeQueue(queue);
    if (messageCount > 0)
      this.returned.set(system.name, (this.returned.get(system.name) ?? 0) + messageCount);
    if (system instanceof BatonListener) this.handledByBaton += notes.length;
    return notes;
  }

  // --- latencies -----------------------------------------------------------------------------------------

  private async measureLatencies(
    systems: ThroughputSystem[],
    beside: PlainConsumer,
    rounds: number,
  ): Promise<void> {
    for (let round = 0; round < rounds; round += 1)
      for (const rate of latencyRates)
        for (const system of shuffled([...systems, beside])) {
          if (this.context.signal.aborted) throw new Error('the bench was ended');
          const paced = await this.runPaced(system, rate);
          const all = system === beside ? beside.readsMs : paced;
          const variant = system === beside ? readVariant(rate) : latencyVariant(rate);
          const key = `${variant}|${system.name}`;
          const known = this.latencies.get(key) ?? [];
          this.latencies.set(key, [...known, ...thinned(all, mostLatencySamples / rounds)]);
        }
    this.context.say(`throughput: latencies at ${latencyRates.join(' and ')} messages/s`);
  }

  /** From sending to the handler's start, at a rate that no system has trouble with. */
  private async runPaced(system: ThroughputSystem, rate: number): Promise<number[]> {
    const queue = system.queueOf(latencyLoad);
    const round = (this.round += 1);
    const total = rate * latencySeconds;
    await system.consume(latencyLoad);
    const began = monotonicMs();
    for (let sent = 0; sent < total;) {
      const now = monotonicMs();
      for (; sent < total && began + (sent * 1_000) / rate <= now; sent += 1) {
        const body = encodeMark({ round, total, sentAt: monotonicMs() });
        this.channel.sendToQueue(queue, body, { persistent: true });
      }
      await sleep(1);
    }
    const notes = await this.finishRound(system, round, queue);
    // The first tenth pays for beginning.
    return notes.slice(total / 10).map(({ sentAt, startedAt }) => startedAt - sentAt);
  }

  private latencyResults(): BenchResult[] {
    return [...this.latencies].map(([key, samples]) => {
      const [variant = '', system = ''] = key.split('|');
      return resultOf({ bench: 'throughput', variant, system, unit: 'ms' }, samples.map(rounded));
    });
  }

  private returnedNotes(): string[] {
    return [...this.returned].map(
      ([system, count]) =>
        `${system}: ${count} messages came back although acknowledged, when the channel was closed.`,
    );
  }

  /** Baton's own count must be that of the handlers' calls. */
  private async verificationNote(listeners: BatonListener[]): Promise<string> {
    let verified = 0;
    let reads = 0;
    for (const listener of listeners) {
      const count = await listener.verifiedCount();
      verified += count.verified;
      reads += count.reads;
    }
    if (verified !== this.handledByBaton)
      throw new Error(`${this.handledByBaton} messages were handled, but ${verified} verified before`);
    const each = (verified / reads).toFixed(0);
    return (
      `Of the ${this.handledByBaton} messages that Baton handled, ${verified} were covered by a linearizable read ` +
      `begun after they were received (${reads} reads, one for ${each} messages on average).`
    );
  }
}

const notesOnMethod = [
  'Rates are those of a queue filled before; quorum queue, persistent messages of 256 bytes, one node of each server.',
  '"Batched acks" acknowledges as Baton does; the goals are relative to one acknowledgement per message.',
  `"${farMs} ms late" asks nobody: it begins each message so long after it came, the least that a question over that distance can cost. "Reads beside" asks as often as Baton, and no message waits for the answers.`,
  'Latencies run from sending to the start of the handler; the latency added is the difference of the percentiles. A read alone is asked for by a plain consumer under the same load, every few ms, and no message waits for it.',
];

const isWarmUpLoad = ({ prefetch, handlerMs }: Load): boolean => prefetch === 500 && handlerMs === 0;
const handlerLimit = ({ prefetch, handlerMs }: Load): number =>
  prefetch === 1 ? 1_000 / (handlerMs + 0.5) : handlerMs === 0 ? Infinity : (prefetch * 1_000) / handlerMs;

const etcdNames = { near: 'etcd near', far: `etcd at ${farMs} ms` };
const rateVariant = ({ prefetch, handlerMs }: Load, etcd: 'near' | 'far'): string =>
  `prefetch ${prefetch}, handler ${handlerMs} ms, ${etcdNames[etcd]}`;
const latencyVariant = (rate: number): string => `sent to started, ${rate} messages/s, ${etcdNames.near}`;
/** What a message that waits for one read, begun as it comes, waits at the least. */
const readVariant = (rate: number): string => `a read's round trip, ${rate} messages/s, ${etcdNames.near}`;

const rateResult = ({ load, etcd, system, samples }: Cell): BenchResult =>
  resultOf(
    { bench: 'throughput', variant: rateVariant(load, etcd), system: system.name, unit: 'msg/s' },
    samples.map(rounded),
  );

const find = (results: BenchResult[], variant: string, system: string): BenchResult | undefined =>
  results.find((result) => result.variant === variant && result.system === system);

/** The reference of the goals: the consumer as amqplib's users write it, an acknowledgement per message. */
const unverified = (results: BenchResult[], load: Load): BenchResult | undefined =>
  find(results, rateVariant(load, 'near'), names.plain);

function rateGoals(results: BenchResult[]): Goal[] {
  const goals: Goal[] = [];
  for (const [prefetch, least] of [
    [500, 0.95],
    [200, 0.8],
  ] as const) {
    const load = { prefetch, handlerMs: 0 };
    const baton = find(results, rateVariant(load, 'near'), names.baton);
    const reference = unverified(results, load);
    const batched = find(results, rateVariant(load, 'near'), names.batched);
    if (!baton || !reference || !batched) continue;
    const [ratio, toBatched] = [reference, batched].map(({ p50 }) => (baton.p50 / p50).toFixed(2));
    goals.push({
      goal: `verified throughput at prefetch ${prefetch}, etcd near: at least ${least} of unverified`,
      target: `≥ ${rate(least * reference.p50)} (${least} × ${reference.system})`,
      measured: `${rate(baton.p50)}, ${ratio} × (${toBatched} × with batched acks)`,
      met: baton.p50 >= least * reference.p50,
    });
  }
  for (const prefetch of [1, 50, 200, 500, 2_000]) {
    const load = { prefetch, handlerMs: 0 };
    const variant = rateVariant(load, 'far');
    const baton = find(results, variant, names.baton);
    const oneByOne = find(results, variant, names.readEach);
    const reference = unverified(results, load);
    if (!baton || !oneByOne || !reference) continue;
    // What the proxy and etcd add to the nominal round trip is the limit's, too.
    const roundTripMs = 1_000 / oneByOne.p50;
    const byRoundTrip = (prefetch * 1_000) / roundTripMs;
    const capped = reference.p50 < byRoundTrip;
    const limit = Math.min(byRoundTrip, reference.p50);
    const named = capped
      ? reference.system
      : `prefetch / ${roundTripMs.toFixed(1)} ms, a single read's round trip`;
    const ofNominal = ((baton.p50 * farMs) / (prefetch * 1_000)).toFixed(2);
    const [waiting, beside] = [names.wait, names.waitBeside].map((name) => find(results, variant, name));
    const bare = waiting ? `; merely waiting ${farMs} ms: ${rate(waiting.p50)}` : '';
    const asking = beside ? `, with reads beside: ${rate(beside.p50)}` : '';
    goals.push({
      goal: `verified throughput at prefetch ${prefetch}, etcd at ${farMs} ms: at least 0.85 of prefetch / round trip, or of unverified where that is less`,
      target: `≥ ${rate(0.85 * limit)} (0.85 × ${named})`,
      measured: `${rate(baton.p50)}, ${(baton.p50 / limit).toFixed(2)} × (${ofNominal} × prefetch / ${farMs} ms)${bare}${asking}`,
      met: baton.p50 >= 0.85 * limit,
    });
  }
  return goals;
}

function latencyGoals(results: BenchResult[]): Goal[] {
  return latencyRates.flatMap((perSecond): Goal[] => {
    const variant = latencyVariant(perSecond);
    const baton = find(results, variant, names.baton);
    const plain = find(results, variant, names.plain);
    if (!baton || !plain) return [];
    const added = { p50: baton.p50 - plain.p50, p99: baton.p99 - plain.p99 };
    const read = find(results, readVariant(perSecond), names.readBeside);
    const least = read ? ` (a read alone: p50 ${read.p50.toFixed(2)} ms, p99 ${read.p99.toFixed(2)} ms)` : '';
    return [
      {
        goal: `latency added per message at ${perSecond} messages/s, etcd near`,
        target: 'p50 ≤ 1.5 ms, p99 ≤ 8 ms',
        measured: `p50 ${added.p50.toFixed(2)} ms, p99 ${added.p99.toFixed(2)} ms${least}`,
        met: added.p50 <= 1.5 && added.p99 <= 8,
      },
    ];
  });
}

const rate = (perSecond: number): string => `${Math.round(perSecond).toLocaleString('en')} msg/s`;
const rounded = (value: number): number => Number(value.toPrecision(5));

/** At most so many, evenly from the sorted ones, so that the percentiles stay. */
function thinned(samples: number[], most: number): number[] {
  const sorted = samples.toSorted((a, b) => a - b);
  const count = Math.min(sorted.length, Math.floor(most));
  return Array.from({ length: count }, (_, index) => percentile(sorted, ((index + 0.5) * 100) / count));
}

function shuffled<T>(items: T[]): T[] {
  return items
    .map((item) => ({ item, at: Math.random() }))
    .toSorted((a, b) => a.at - b.at)
    .map(({ item }) => item);
}

function groupBy<T>(items: T[], keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    groups.set(key, [...(groups.get(key) ?? []), item]);
  }
  return groups;
}
