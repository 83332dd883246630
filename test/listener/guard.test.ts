import { MessageChannel } from 'node:worker_threads';
import { setTimeout as sleep } from 'node:timers/promises';
import { Guard, type GuardOptions, type Over, type Verdict } from '../../src/listener/guard';
import { eventually } from '../support/eventually';

const mine = { token: 7, leaseId: '99' };
type Holder = { token: number; leaseId: string } | null;

/** Answers when it is told to, or by itself after a delay. */
class Reader {
  reads = 0;
  inFlight = 0;
  mostInFlight = 0;
  private readonly open: { resolve: (holder: Holder) => void; reject: (error: Error) => void }[] = [];

  constructor(private readonly answer?: { afterMs: number; holder: Holder | Error }) {}

  async readHolder(): Promise<Holder> {
    this.reads += 1;
    this.inFlight += 1;
    this.mostInFlight = Math.max(this.mostInFlight, this.inFlight);
    try {
      if (!this.answer) return await new Promise((resolve, reject) => this.open.push({ resolve, reject }));
      await sleep(this.answer.afterMs);
      if (this.answer.holder instanceof Error) throw this.answer.holder;
      return this.answer.holder;
    } finally {
      this.inFlight -= 1;
    }
  }

  /** Answers the oldest open read. */
  reply(holder: Holder | Error): void {
    const read = this.open.shift();
    if (!read) throw new Error('no read is open');
    if (holder instanceof Error) read.reject(holder);
    else read.resolve(holder);
  }
}

const open: Guard[] = [];
afterEach(() => {
  for (const guard of open.splice(0)) guard.end();
});

const nsIn = (ms: number): bigint => process.hrtime.bigint() + BigInt(Math.round(ms * 1e6));

function guardOf(
  reader: Reader,
  options: Partial<GuardOptions> = {},
): { guard: Guard; over: Over[]; aborts: number[] } {
  const over: Over[] = [];
  const aborts: number[] = [];
  const guard = new Guard({
    ...mine,
    reader,
    deadlineNs: nsIn(10_000),
    marginMs: 500,
    verificationMaxAgeMs: 1_000,
    abortLeadMs: 100,
    onAbort: () => aborts.push(performance.now()),
    onOver: (why) => over.push(why),
    ...options,
  });
  open.push(guard);
  return { guard, over, aborts };
}

function block(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}

describe('sharing reads', () => {
  it('serves everyone who was waiting when it began with one read', async () => {
    const reader = new Reader();
    const { guard } = guardOf(reader);
    const waiting = Array.from({ length: 100 }, () => guard.verify());
    await sleep(1);
    expect(reader.reads).toBe(1);
    reader.reply(mine);
    const verdicts = await Promise.all(waiting);
    expect(verdicts.every((verdict) => verdict.held)).toBe(true);
    expect(reader.reads).toBe(1);
  });

  it('never counts a read that began before the message came', async () => {
    const reader = new Reader();
    const { guard } = guardOf(reader);
    void guard.verify();
    await sleep(1);
    const receivedNs = process.hrtime.bigint();
    let verdict: Verdict | null = null;
    void guard.verify().then((result) => (verdict = result));
    reader.reply(mine);
    await sleep(10);
    // The first read has answered, and says nothing about this message.
    expect(verdict).toBeNull();
    expect(guard.check(guard.lastReadBeganNs, receivedNs)).toBe('not verified since it was received');
    reader.reply(mine);
    await sleep(1);
    expect(verdict).toMatchObject({ held: true });
    expect(guard.lastReadBeganNs).toBeGreaterThan(receivedNs);
    expect(guard.check(guard.lastReadBeganNs, receivedNs)).toBeNull();
  });

  it('begins further reads while one is on its way, so that 40 ms of latency do not cap the rate', async () => {
    const reader = new Reader({ afterMs: 40, holder: mine });
    const { guard } = guardOf(reader);
    const waits: number[] = [];
    const began = performance.now();
    while (performance.now() - began < 400) {
      const asked = performance.now();
      void guard.verify().then(() => waits.push(performance.now() - asked));
      await sleep(1);
    }
    await sleep(60);
    expect(reader.mostInFlight).toBeGreaterThan(5);
    expect(reader.mostInFlight).toBeLessThanOrEqual(64);
    expect(Math.max(...waits)).toBeLessThan(80);
  });

  it('has at most 64 reads in flight, and goes on when one of them answers', async () => {
    const reader = new Reader();
    const { guard } = guardOf(reader);
    for (let i = 0; i < 100; i += 1) {
      void guard.verify();
      await sleep(3);
    }
    expect(reader.reads).toBe(64);
    reader.reply(mine);
    await sleep(5);
    expect(reader.reads).toBe(65);
  });

  it('lets a later read serve those whose own read is slower', async () => {
    const reader = new Reader();
    const { guard } = guardOf(reader);
    const first = guard.verify();
    await sleep(5);
    const second = guard.verify();
    await sleep(5);
    expect(reader.reads).toBe(2);
    const answers: string[] = [];
    void first.then(() => answers.push('first'));
    void second.then(() => answers.push('second'));
    // Only the second, which is behind the first in the list of open reads, is answered: the first stays open.
    (reader as unknown as { open: unknown[] }).open.reverse();
    reader.reply(mine);
    await sleep(1);
    expect(answers).toEqual(['first', 'second']);
  });
});

describe('what it refuses', () => {
  it.each([
    [{ token: 8, leaseId: '99' }, 'another holder'],
    [{ token: 7, leaseId: '98' }, 'another holder'],
    [null, 'no holder'],
  ] as const)('is over for good when etcd shows %j', async (holder, why) => {
    const reader = new Reader();
    const { guard, over } = guardOf(reader);
    const verdict = guard.verify();
    await sleep(1);
    reader.reply(holder);
    expect(await verdict).toEqual({ held: false, why });
    expect(over).toEqual([why]);
    expect(guard.check(process.hrtime.bigint(), 0n)).toBe(why);
    expect(await guard.verify()).toEqual({ held: false, why });
    guard.extend(nsIn(60_000));
    expect(guard.check(process.hrtime.bigint(), 0n)).toBe(why);
  });

  it('refuses a read older than the configured age', async () => {
    const { guard } = guardOf(new Reader({ afterMs: 0, holder: mine }), { verificationMaxAgeMs: 30 });
    const receivedNs = process.hrtime.bigint();
    await guard.verify();
    expect(guard.check(guard.lastReadBeganNs, receivedNs)).toBeNull();
    block(40);
    expect(guard.check(guard.lastReadBeganNs, receivedNs)).toBe('verification too old');
    await guard.verify();
    expect(guard.check(guard.lastReadBeganNs, receivedNs)).toBeNull();
  });

  it('sees in the same tick that the deadline has passed', async () => {
    const { guard, over } = guardOf(new Reader({ afterMs: 0, holder: mine }), { deadlineNs: nsIn(60) });
    const receivedNs = process.hrtime.bigint();
    const verdict = await guard.verify();
    expect(verdict.held).toBe(true);
    block(80);
    expect(guard.check(guard.lastReadBeganNs, receivedNs)).toBe('deadline passed');
    await eventually(() => expect(over).toEqual(['deadline passed']));
    guard.extend(nsIn(10_000));
    expect(guard.check(process.hrtime.bigint(), receivedNs)).toBe('deadline passed');
  });

  it('starts nothing while draining', async () => {
    const { guard } = guardOf(new Reader({ afterMs: 0, holder: mine }));
    await guard.verify();
    guard.draining = true;
    expect(guard.check(guard.lastReadBeganNs, 0n)).toBe('draining');
  });

  it('never moves the deadline backwards', async () => {
    const { guard } = guardOf(new Reader({ afterMs: 0, holder: mine }));
    await guard.verify();
    guard.extend(nsIn(-1_000));
    expect(guard.check(guard.lastReadBeganNs, 0n)).toBeNull();
  });
});

describe('when etcd does not answer', () => {
  it('keeps asking, and those who wait go on waiting until an answer comes', async () => {
    const reader = new Reader();
    const { guard, over } = guardOf(reader);
    let verdict: Verdict | null = null;
    void guard.verify().then((result) => (verdict = result));
    for (let i = 0; i < 3; i += 1) {
      await sleep(40);
      reader.reply(new Error('no answer'));
    }
    await sleep(40);
    expect(verdict).toBeNull();
    expect(over).toEqual([]);
    reader.reply(mine);
    await sleep(1);
    expect(verdict).toMatchObject({ held: true });
  });

  it('ends all waiting at the deadline', async () => {
    const { guard, over } = guardOf(new Reader({ afterMs: 5, holder: new Error('no answer') }), {
      deadlineNs: nsIn(150),
    });
    const began = performance.now();
    expect(await guard.verify()).toEqual({ held: false, why: 'deadline passed' });
    expect(performance.now() - began).toBeGreaterThan(145);
    expect(performance.now() - began).toBeLessThan(250);
    expect(over).toEqual(['deadline passed']);
  });
});

describe('the deadline', () => {
  it('aborts the handlers shortly before it, and again only for a later one', async () => {
    const { guard, over, aborts } = guardOf(new Reader(), { deadlineNs: nsIn(250), abortLeadMs: 100 });
    const began = performance.now();
    await sleep(200);
    expect(aborts).toHaveLength(1);
    expect((aborts[0] as number) - began).toBeGreaterThan(145);
    guard.extend(nsIn(200));
    await sleep(150);
    expect(aborts).toHaveLength(2);
    expect(over).toEqual([]);
    await sleep(100);
    expect(over).toEqual(['deadline passed']);
  });

  it('does not abort after a blocked loop when the new deadline lies unread in the pipe', async () => {
    const { guard, over, aborts } = guardOf(new Reader(), { deadlineNs: nsIn(150), abortLeadMs: 100 });
    await new Promise<void>((done) => {
      // As an IPC message would be: read in the poll phase, after the timers of the blocked time.
      const { port1, port2 } = new MessageChannel();
      port2.on('message', () => {
        guard.extend(nsIn(10_000));
        port2.close();
        done();
      });
      setTimeout(() => {
        // The turn after this one begins with the timers that fell due during the block.
        setImmediate(() => {
          port1.postMessage('extended');
          block(250);
        });
      }, 20);
    });
    await sleep(20);
    expect(aborts).toEqual([]);
    expect(over).toEqual([]);
  });
});
