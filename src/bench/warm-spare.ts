import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from 'amqplib';
import { compiledProgram } from '../compiled-program';
import type { DevStack } from '../dev/dev-stack';
import type { ConsumerSystem, SystemPlace } from './contender';
import { waitUntil } from './wait';

export const warmSpareName = 'warm spare, no lock';

const readyLimitMs = 15_000;

/** The reference of killed listeners; see warm-spare-program.ts. It is no peer: it cannot leave its machine. */
export class WarmSpare implements ConsumerSystem {
  readonly name = warmSpareName;
  readonly queue: string;
  readonly ledgerFile: string;
  private supervisor: ChildProcess | null = null;
  /** How often a spare has become ready. */
  private spares = 0;
  private kills = 0;

  constructor(
    private readonly place: SystemPlace,
    private readonly stack: DevStack,
  ) {
    this.queue = place.id;
    this.ledgerFile = join(place.folder, 'ledger');
  }

  async start(): Promise<void> {
    writeFileSync(this.ledgerFile, '', { flag: 'a' });
    const { amqpUrl, prefetch } = this.place;
    const model = await connect(amqpUrl);
    const channel = await model.createChannel();
    await channel.assertQueue(this.queue, { durable: true, arguments: { 'x-queue-type': 'quorum' } });
    await model.close();
    const args = [
      compiledProgram('bench/warm-spare-program.js'),
      'supervisor',
      amqpUrl,
      this.queue,
      String(prefetch),
      this.ledgerFile,
    ];
    const supervisor = spawn(process.execPath, args, { detached: true, stdio: ['pipe', 'pipe', 'inherit'] });
    if (supervisor.pid === undefined) throw new Error(`${this.name} could not be started`);
    this.stack.adopt(supervisor.pid, { group: true });
    supervisor.stdout.on('data', (said: Buffer) => (this.spares += String(said).split('\n').length - 1));
    this.supervisor = supervisor;
    await this.heal();
  }

  async heal(): Promise<void> {
    const ready = (): boolean => this.spares > this.kills;
    if (!(await waitUntil(ready, readyLimitMs, new AbortController().signal)))
      throw new Error(`${this.name} is not ready after ${readyLimitMs / 1000} s`);
  }

  /** SIGKILL to the consumer that works. */
  kill(pid: number): void {
    this.kills += 1;
    process.kill(pid, 'SIGKILL');
  }

  active(): null {
    return null;
  }

  giveWay(): Promise<void> {
    throw new Error(`${this.name} has nobody to give way to`);
  }

  block(): Promise<void> {
    throw new Error(`${this.name} does not look whether its consumer blocks`);
  }

  async stop(): Promise<void> {
    const { supervisor } = this;
    this.supervisor = null;
    if (!supervisor || supervisor.exitCode !== null) return;
    const exited = once(supervisor, 'exit');
    supervisor.stdin?.end();
    await exited;
  }
}
