import os from 'node:os';
import { MessageChannel } from 'node:worker_threads';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  Guard,
  type GuardOptions,
  type HolderReading,
  type Over,
  type Verdict,
} from '../../src/listener/guard';
import { pass as passOnly, releaseClock, stopClock } from '../pod/fake-clock';
import { eventually } from '../support/eventually';

const mine = { token: 7, leaseId: '99' };
type Holder = HolderReading['holder'];
const reading = (holder: Holder): HolderReading => ({ revision: 7, holder });

/** Answers when it is told to, or by itself after a delay. */
class Reader {
  reads = 0;
  inFlight = 0;
  mostInFlight = 0;
  private readonly open: { resolve: (holder: Holder) => void; reject: (error: Error) => void }[] = [];

  constructor(private readonly answer?: { afterMs: number; holder: Holder | Error }) {}

  async readHolder(): Promise<HolderReading> {
    this.reads += 1;
    this.inFlight += 1;
    this.mostInFlight = Math.max(this.mostInFlight, this.inFlight);
    try {
      if (!this.answer)
        return reading(await new Promise((resolve, reject) => this.open.push({ resolve, reject })));
      const { afterMs } = this.answer;
      await new Promise((done) => setTimeout(done, afterMs));
      if (this.answer.holder instanceof Error) throw this.answer.holder;
      return reading(this.answer.holder);
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
const endGuards = (): void => {
  for (const guard of open.splice(0)) guard.end();
};
afterEach(endGuards);

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
    // Where a test does not choose them, far beyond what a machine that stalls could take.
    deadlineNs: nsIn(60_000),
    marginMs: 500,
    verificationMaxAgeMs: 30_000,
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

/** Time passes only by `pass`: what is between two calls takes none, on whatever machine. */
function describeWithStoppedClock(name: string, tests: () => void): void {
  // oxlint-disable-next-line jest/valid-title, jest/valid-describe-callback -- handed on as they are
  describe(name, () => {
    beforeEach(() => {
      stopClock();
      // The machine is never suspended.
      jest.spyOn(os, 'uptime').mockImplementation(() => performance.now() / 1000);
    });
    afterEach(async () => {
      endGuards();
      // Reads under way end.
      await passOnly(100);
      jest.restoreAllMocks();
      releaseClock();
    });
    tests();
  });
}

/** The guard settles a deadline over two turns of the event loop, which does not stand still. */
async function pass(ms: number): Promise<void> {
  await passOnly(ms);
  for (let turn = 0; turn < 5; turn += 1) await new Promise((done) => setImmediate(done));
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
    await eventually(() => expect(reader.reads).toBe(2));
    // The first read has answered, and says nothing about this message.
    expect(verdict).toBeNull();
    expect(guard.check(guard.lastReadBeganNs, receivedNs)).toBe('not verified since it was received');
    reader.reply(mine);
    await sleep(1);
    expect(verdict).toMatchObject({ held: true });
    expect(guard.lastReadBeganNs).toBeGreaterThan(receivedNs);
    expect(guard.check(guard.lastReadBeganNs, receivedNs)).toBeNull();
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
    await eventually(() => expect(reader.reads).toBe(65));
  });

  it('lets a later read serve those whose own read is slower', async () => {
    const reader = new Reader();
    const { guard } = guardOf(reader);
    const first = guard.verify();
    await eventually(() => expect(reader.reads).toBe(1));
    const second = guard.verify();
    await eventually(() => expect(reader.reads).toBe(2));
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

describeWithStoppedClock('a distant etcd', () => {
  it('does not cap the rate: further reads begin while one is on its way, here for 40 ms', async () => {
    const reader = new Reader({ afterMs: 40, holder: mine });
    const { guard } = guardOf(reader);
    const waits: number[] = [];
    for (let ms = 0; ms < 400; ms += 1) {
      const asked = performance.now();
      void guard.verify().then(() => waits.push(performance.now() - asked));
      await passOnly(1);
    }
    await pass(60);
    expect(waits).toHaveLength(400);
    expect(reader.mostInFlight).toBeGreaterThan(5);
    expect(reader.mostInFlight).toBeLessThanOrEqual(64);
    expect(Math.max(...waits)).toBeLessThan(80);
  });
});

describeWithStoppedClock('a near etcd', () => {
  it.each([
    ['at once after a read for few', 3, 1],
    ['2 ms after the begin of a read for many', 4, 0],
  ])('reads %s', async (_, callers, readsAtOnce) => {
    const reader = new Reader({ afterMs: 0, holder: mine });
    const { guard } = guardOf(reader);
    for (let n = 0; n < callers; n += 1) void guard.verify();
    await passOnly(1);
    expect(reader.reads).toBe(1);
    void guard.verify();
    await passOnly(0);
    expect(reader.reads).toBe(1 + readsAtOnce);
    await pass(2);
    expect(reader.reads).toBe(2);
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

  it('sees in the same tick that the deadline has passed', async () => {
    const { guard, over } = guardOf(new Reader({ afterMs: 0, holder: mine }), { deadlineNs: nsIn(1_500) });
    const receivedNs = process.hrtime.bigint();
    const verdict = await guard.verify();
    expect(verdict.held).toBe(true);
    block(1_600);
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

describeWithStoppedClock('a read older than the configured age', () => {
  it('is refused, until another one has been made', async () => {
    const { guard } = guardOf(new Reader({ afterMs: 5, holder: mine }), { verificationMaxAgeMs: 30 });
    const verified = async (): Promise<void> => {
      const verdict = guard.verify();
      await pass(5);
      expect(await verdict).toMatchObject({ held: true });
    };
    const receivedNs = process.hrtime.bigint();
    await pass(1);
    await verified();
    expect(guard.check(guard.lastReadBeganNs, receivedNs)).toBeNull();
    // The age counts from its begin.
    await pass(25);
    expect(guard.check(guard.lastReadBeganNs, receivedNs)).toBeNull();
    await pass(1);
    expect(guard.check(guard.lastReadBeganNs, receivedNs)).toBe('verification too old');
    await verified();
    expect(guard.check(guard.lastReadBeganNs, receivedNs)).toBeNull();
  });
});

describe('when etcd does not answer', () => {
  it('keeps asking, and those who wait go on waiting until an answer comes', async () => {
    const reader = new Reader();
    const { guard, over } = guardOf(reader);
    let verdict: Verdict | null = null;
    void guard.verify().then((result) => (verdict = result));
    for (let reads = 1; reads <= 3; reads += 1) {
      await eventually(() => expect(reader.reads).toBe(reads));
      reader.reply(new Error('no answer'));
    }
    await eventually(() => expect(reader.reads).toBe(4));
    expect(verdict).toBeNull();
    expect(over).toEqual([]);
    reader.reply(mine);
    await sleep(1);
    expect(verdict).toMatchObject({ held: true });
  });
});

describeWithStoppedClock('the deadline', () => {
  it('ends all waiting when etcd does not answer', async () => {
    const { guard, over } = guardOf(new Reader({ afterMs: 5, holder: new Error('no answer') }), {
      deadlineNs: nsIn(150),
    });
    let verdict: Verdict | null = null;
    void guard.verify().then((result) => (verdict = result));
    await pass(149);
    expect([verdict, over]).toEqual([null, []]);
    await pass(3);
    expect(verdict).toEqual({ held: false, why: 'deadline passed' });
    expect(over).toEqual(['deadline passed']);
  });

  it('is preceded by an abort of the handlers, repeated only for a later deadline', async () => {
    const { guard, over, aborts } = guardOf(new Reader(), { deadlineNs: nsIn(250), abortLeadMs: 100 });
    await pass(149);
    expect(aborts).toEqual([]);
    await pass(3);
    expect(aborts).toHaveLength(1);
    await pass(90);
    expect(aborts).toHaveLength(1);
    guard.extend(nsIn(200));
    await pass(99);
    expect(aborts).toHaveLength(1);
    await pass(3);
    expect([aborts.length, over]).toEqual([2, []]);
    await pass(97);
    expect(over).toEqual([]);
    await pass(3);
    expect(over).toEqual(['deadline passed']);
  });
});

describe('a blocked event loop', () => {
  it('does not abort when the new deadline lies unread in the pipe', async () => {
    const { guard, over, aborts } = guardOf(new Reader(), { deadlineNs: nsIn(2_000), abortLeadMs: 100 });
    await new Promise<void>((done) => {
      // As an IPC message would be: read in the poll phase, after the timers of the blocked time.
      const { port1, port2 } = new MessageChannel();
      port2.on('message', () => {
        guard.extend(nsIn(60_000));
        port2.close();
        done();
      });
      setTimeout(() => {
        // The turn after this one begins with the timers that fell due during the block.
        setImmediate(() => {
          port1.postMessage('extended');
          block(2_500);
        });
      }, 20);
    });
    await sleep(20);
    expect(aborts).toEqual([]);
    expect(over).toEqual([]);
  });
});
