import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { compiledProgram } from '../compiled-program';

export type LoadOrder =
  { kind: 'start'; messagesPerSecond: number } | { kind: 'pause' } | { kind: 'publish' } | { kind: 'settle' };

/** After the connection, and to each `settle`: what the broker has confirmed since the report before. */
export interface LoadReport {
  confirmed: number[];
}

/**
 * Publishes numbered persistent messages (the body is the number) to one queue at a steady rate, and knows which of
 * them the broker has confirmed. It goes straight to the broker, also where the contenders are far away from it, and does so
 * in a process of its own: what the bench has to do in the moment of a switch must not keep a message back.
 */
export class Load {
  /** Confirmed by the broker. Up to date after `settle`. */
  readonly published = new Set<number>();

  private readonly exited: Promise<unknown>;

  private constructor(private readonly publisher: ChildProcess) {
    this.exited = once(publisher, 'exit');
  }

  /** The queue must exist. */
  static async connect(url: string, queue: string): Promise<Load> {
    const publisher = fork(compiledProgram('bench/load-program.js'), [url, queue], {
      serialization: 'advanced',
      detached: true,
    });
    const load = new Load(publisher);
    await load.report();
    return load;
  }

  /** From now on, until `pause`. Called again, it changes the rate. */
  start(messagesPerSecond: number): void {
    this.order({ kind: 'start', messagesPerSecond });
  }

  pause(): void {
    this.order({ kind: 'pause' });
  }

  publish(): void {
    this.order({ kind: 'publish' });
  }

  /** Waits until the broker has answered for every message. For one caller at a time. */
  async settle(): Promise<void> {
    const report = this.report();
    this.order({ kind: 'settle' });
    for (const seq of (await report).confirmed) this.published.add(seq);
  }

  /** Idempotent. */
  async close(): Promise<void> {
    if (this.publisher.connected) this.publisher.disconnect();
    await this.exited;
  }

  private order(order: LoadOrder): void {
    if (!this.publisher.connected) throw new Error('the publisher has ended');
    // One that ends just now shows it in its next report.
    this.publisher.send(order, () => undefined);
  }

  private async report(): Promise<LoadReport> {
    const report = once(this.publisher, 'message') as Promise<[LoadReport]>;
    const first = await Promise.race([report, this.exited.then(() => null)]);
    if (!first) throw new Error('the publisher has ended');
    return first[0];
  }
}
