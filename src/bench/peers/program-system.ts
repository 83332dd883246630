import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'amqplib';
import type { DevStack } from '../../dev/dev-stack';
import type { Command } from '../../dev/server';
import type { ConsumerSystem, Contender, SystemPlace } from '../contender';
import { ProgramContender } from './program-contender';

/** What makes one peer's contenders different from another's. */
export interface ProgramPlan {
  /** Of the system. */
  name: string;
  /** What to execute; the contract's arguments are added to its own. */
  command: Command;
  /** Starts what the contenders need, once per run, and gives its addresses; null when they need only the broker. */
  servers: (() => Promise<string[]>) | null;
  /** Over those of a quorum queue. */
  queueArguments?: Record<string, unknown>;
  /**
   * The broker decides, and tells nobody: the contender that has been standing longest is the active one, though it
   * only knows when a message comes. Default: false.
   */
  longestStandingIsActive?: boolean;
}

const CONTENDERS = 2;
const READY_LIMIT_MS = 60_000;
const POLL_MS = 10;

/** A peer of Baton: two processes and a quorum queue. Each process has a name of its own, also when it replaces a killed one. */
export class ProgramSystem implements ConsumerSystem {
  readonly name: string;
  readonly queue: string;
  readonly ledgerFile: string;
  /** In the order in which they last began to stand or became active. */
  private contenders: ProgramContender[] = [];
  private addresses: string[] = [];
  private started = 0;
  private stopped = false;

  constructor(
    private readonly plan: ProgramPlan,
    private readonly place: SystemPlace,
    private readonly stack: DevStack,
  ) {
    this.name = plan.name;
    this.queue = place.id;
    this.ledgerFile = join(place.folder, 'ledger');
  }

  async start(): Promise<void> {
    mkdirSync(this.place.folder, { recursive: true });
    writeFileSync(this.ledgerFile, '', { flag: 'a' });
    if (this.plan.servers) this.addresses = await this.plan.servers();
    await this.declareQueue();
    await this.heal();
  }

  active(): Contender | null {
    const said = this.contenders.findLast(({ state }) => state === 'active');
    if (said || !this.plan.longestStandingIsActive) return said ?? null;
    return this.contenders.find(({ state }) => state === 'standing') ?? null;
  }

  async giveWay(): Promise<void> {
    await this.activeOne().order('resign');
  }

  async block(): Promise<void> {
    await this.activeOne().order('block');
  }

  async heal(): Promise<void> {
    for (const contender of this.contenders) contender.thaw();
    await Promise.all(this.contenders.filter(({ isBlocked }) => isBlocked).map((each) => each.kill()));
    this.contenders = this.contenders.filter(({ state }) => state !== 'ended');
    while (this.contenders.length < CONTENDERS && !this.stopped) this.launch();
    await this.untilReady();
  }

  async stop(): Promise<void> {
    this.stopped = true;
    await Promise.all(this.contenders.map((contender) => contender.kill()));
  }

  private launch(): void {
    const name = `${this.place.id}-${++this.started}`;
    const { program, args, environment } = this.plan.command;
    const command: Command = {
      program,
      args: [...args, ...this.contenderArgs(name)],
      ...(environment ? { environment } : {}),
    };
    const log = join(this.place.folder, `${name}.log`);
    const moveLast = (contender: ProgramContender): void => {
      if (contender.state !== 'standing' && contender.state !== 'active') return;
      this.contenders = [...this.contenders.filter((each) => each !== contender), contender];
    };
    this.contenders.push(new ProgramContender(name, command, log, this.stack, moveLast));
  }

  private contenderArgs(name: string): string[] {
    const { amqpUrl, prefetch, ttlMs, id } = this.place;
    return [
      ...['--name', name, '--amqp', amqpUrl, '--queue', this.queue, '--prefetch', String(prefetch)],
      ...(this.plan.servers ? ['--servers', this.addresses.join(',')] : []),
      ...['--lock', id, '--ttl-ms', String(ttlMs), '--ledger', this.ledgerFile],
    ];
  }

  private async declareQueue(): Promise<void> {
    const model = await connect(this.place.amqpUrl, { timeout: 5_000 });
    try {
      const channel = await model.createChannel();
      const args = { 'x-queue-type': 'quorum', ...this.plan.queueArguments };
      await channel.assertQueue(this.queue, { durable: true, arguments: args });
    } finally {
      await model.close();
    }
  }

  private activeOne(): ProgramContender {
    const active = this.active();
    if (!active) throw new Error(`no contender of ${this.name} is active`);
    return active as ProgramContender;
  }

  /** One is active, and all others stand. */
  private async untilReady(): Promise<void> {
    const giveUpAt = performance.now() + READY_LIMIT_MS;
    const isReady = (): boolean => {
      const active = this.active();
      return active !== null && this.contenders.every((each) => each === active || each.state === 'standing');
    };
    while (!isReady()) {
      if (this.stopped) throw new Error(`${this.name} was stopped`);
      const ended = this.contenders.find(({ state }) => state === 'ended');
      if (ended) throw new Error(`contender ${ended.name} ended by itself\n${ended.logTail()}`);
      if (performance.now() > giveUpAt) {
        const states = this.contenders.map((each) => `--- ${each.name}: ${each.state}\n${each.logTail()}`);
        throw new Error(
          `${this.name} had no active and a standing contender within ${READY_LIMIT_MS / 1000} s\n${states.join('\n')}`,
        );
      }
      await sleep(POLL_MS);
    }
  }
}
