import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'amqplib';
import { encodeClear } from '../../src/listener/watchdog-frames';
import type { HolderChange } from '../../src/pod/lock-store';
import { eventually } from '../support/eventually';
import { LossyProxy } from '../support/lossy-proxy';
import { sharedServers } from '../support/servers';
import { ListenerFixture, type FixtureOptions } from './listener-fixture';
import type { Order } from './scripted-handler';

let fixture: ListenerFixture;
const open = async (options: FixtureOptions = {}): Promise<ListenerFixture> =>
  (fixture = await new ListenerFixture(options).open());
const proxies: LossyProxy[] = [];
afterEach(async () => {
  await fixture.close();
  await Promise.all(proxies.splice(0).map((proxy) => proxy.close()));
});

/** A proxy before the broker, and the broker's URL through it. */
async function proxyToBroker(): Promise<{ proxy: LossyProxy; amqpUrl: string }> {
  const url = new URL(sharedServers().rabbitmq);
  const proxy = await LossyProxy.start(url.host);
  proxies.push(proxy);
  url.host = proxy.address;
  return { proxy, amqpUrl: url.href };
}

const orders = (count: number, more: Partial<Order> = {}): Order[] =>
  Array.from({ length: count }, (_, index) => ({ id: index + 1, ...more }));
const idsOf = (notes: { id: number }[]): number[] => notes.map(({ id }) => id).toSorted((a, b) => a - b);
const range = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1);

describe('a tenure', () => {
  it('handles each message once, under its token, and nothing before it begins', async () => {
    await open();
    const child = await fixture.forkWarm();
    await fixture.publish(orders(50));
    await sleep(200);
    expect(fixture.notes()).toEqual([]);
    const token = await fixture.startTenure(child);
    await child.next('consuming');
    expect(await child.next('first-message')).toMatchObject({ token });
    await eventually(() => expect(idsOf(fixture.notes('end'))).toEqual(range(50)));
    expect(fixture.notes().every((note) => note.token === token)).toBe(true);
    const { stats, metrics } = await child.next('stats');
    expect(stats).toHaveLength(1);
    expect(JSON.stringify(metrics)).toContain('baton_messages_total');
    await child.drain(token);
    expect(await fixture.ready()).toBe(0);
  });

  it('halts when etcd shows another token, and starts nothing more', async () => {
    await open();
    const child = await fixture.forkWarm();
    const token = await fixture.startTenure(child);
    await child.next('consuming');
    await fixture.locks.putRaw(fixture.locks.keys.holder, '{}');
    await fixture.publish(orders(10));
    expect(await child.next('halted')).toMatchObject({ token, why: 'another holder' });
    await sleep(200);
    expect(fixture.notes()).toEqual([]);
    await eventually(async () => expect(await fixture.ready()).toBe(10));
  });

  it('asks again for a message that waited longer for its turn than a verification may be old', async () => {
    await open({ queue: { concurrency: 1 }, settings: { verificationMaxAgeMs: 500 } });
    const child = await fixture.forkWarm();
    await fixture.startTenure(child);
    await fixture.publish([{ id: 1, waitMs: 5_000 }, { id: 2 }]);
    await eventually(() => expect(fixture.notes('start')).toHaveLength(1));
    await sleep(500);
    // Both are received and verified; from now on only a new read can tell.
    await fixture.locks.putRaw(fixture.locks.keys.holder, '{}');
    expect(await child.next('halted')).toMatchObject({ why: 'another holder' });
    await sleep(100);
    expect(idsOf(fixture.notes('start'))).toEqual([1]);
  });

  it('ends with its agent, whatever its handler does', async () => {
    await open();
    const child = await fixture.forkWarm();
    await fixture.startTenure(child);
    await fixture.publish([{ id: 1, waitMs: 60_000 }]);
    await eventually(() => expect(fixture.notes('start')).toHaveLength(1));
    const began = performance.now();
    child.process.disconnect();
    const { at, signal } = await child.exited;
    expect(signal).toBe('SIGKILL');
    // The handler would go on for a minute.
    expect(at - began).toBeLessThan(10_000);
  });

  it('ignores SIGINT and SIGTERM, and exits when told to', async () => {
    await open();
    const child = await fixture.forkWarm();
    child.process.kill('SIGINT');
    child.process.kill('SIGTERM');
    await sleep(200);
    child.send({ kind: 'ping', n: 5 });
    expect(await child.next('pong')).toEqual({ kind: 'pong', n: 5 });
    child.send({ kind: 'exit' });
    expect(await child.exited).toMatchObject({ code: 0 });
  });
});

describe('a listener that consumes ahead', () => {
  /** All messages there are, for no tenure yet. */
  const holding = async (count: number, offered = true) => {
    await open();
    const child = await fixture.forkWarm();
    const { leaseId } = await fixture.stand();
    child.prepare(leaseId, 0, 120_000, offered);
    await child.next('prepared');
    await fixture.publish(orders(count));
    await eventually(async () => expect(await fixture.ready()).toBe(0));
    return { child, leaseId };
  };

  it.each([
    ['a watch and reads', true],
    ['reads alone', false],
  ])(
    'holds what comes, and starts it in the moment in which %s show its pod as holder',
    async (_, offered) => {
      const { child, leaseId } = await holding(5, offered);
      await sleep(300);
      expect(fixture.notes()).toEqual([]);
      const { token } = await fixture.acquire();
      expect(await child.next('started')).toMatchObject({ token });
      await child.next('first-message');
      const kinds = child.messages.map(({ kind }) => kind);
      expect(kinds.indexOf('started')).toBeLessThan(kinds.indexOf('first-message'));
      await eventually(() => expect(idsOf(fixture.notes('end'))).toEqual(range(5)));
      expect(fixture.notes().every((note) => note.token === token && note.redeliveries === 0)).toBe(true);
      // The agent's order comes later, and finds it at work.
      child.startTenure(token, leaseId, 120_000);
      await fixture.publish([{ id: 6 }]);
      await eventually(() => expect(idsOf(fixture.notes('end'))).toEqual(range(6)));
      expect(child.messages.some(({ kind }) => kind === 'halted')).toBe(false);
    },
  );

  it('begins nothing under a token that is not above those of before', async () => {
    await open();
    const child = await fixture.forkWarm();
    const { token, leaseId } = await fixture.acquire();
    child.prepare(leaseId, token);
    await child.next('prepared');
    await fixture.publish(orders(3));
    await sleep(500);
    expect(fixture.notes()).toEqual([]);
    const next = await fixture.acquire();
    expect(next.token).toBeGreaterThan(token);
    expect(await child.next('started')).toMatchObject({ token: next.token });
    await eventually(() => expect(idsOf(fixture.notes('end'))).toEqual(range(3)));
    expect(fixture.notes().every((note) => note.token === next.token)).toBe(true);
  });

  it('begins nothing on another lease, nor after its deadline, by which it is dead', async () => {
    await open();
    const child = await fixture.forkWarm();
    const { leaseId } = await fixture.stand();
    const other = await fixture.forkWarm();
    other.prepare('1234567', 0);
    await other.next('prepared');
    child.prepare(leaseId, 0, 5_000);
    await child.next('prepared');
    await fixture.publish(orders(4));
    expect((await child.exited).signal).toBe('SIGKILL');
    await fixture.acquire();
    await sleep(500);
    expect(fixture.notes()).toEqual([]);
  });

  it('goes on with a later deadline', async () => {
    await open();
    const child = await fixture.forkWarm();
    const { leaseId } = await fixture.stand();
    child.prepare(leaseId, 0, 4_000);
    child.prepare(leaseId, 0, 60_000);
    await sleep(4_500);
    await fixture.publish(orders(2));
    const { token } = await fixture.acquire();
    expect(await child.next('started')).toMatchObject({ token });
    await eventually(() => expect(idsOf(fixture.notes('end'))).toEqual(range(2)));
  });

  it('returns what it holds when nothing comes of it, and is ready for another tenure', async () => {
    const { child } = await holding(5);
    child.send({ kind: 'unprepare', lock: fixture.lock, n: 7 });
    expect(await child.next('unprepared')).toMatchObject({ n: 7 });
    await eventually(async () => expect(await fixture.ready()).toBe(5));
    await fixture.startTenure(child);
    await eventually(() => expect(idsOf(fixture.notes('end'))).toEqual(range(5)));
    expect(idsOf(fixture.notes('start'))).toEqual(range(5));
  });
});

describe('a drain', () => {
  it('finishes what is in flight and returns the rest: nothing lost, nothing twice', async () => {
    await open();
    const first = await fixture.forkWarm();
    const second = await fixture.forkWarm();
    const token = await fixture.startTenure(first);
    // Some that are done, then as many that take long as run at once: those are in flight when the drain begins.
    const isLong = (id: number): boolean => id > 5 && id <= 10;
    await fixture.publish(orders(60).map((order) => ({ ...order, waitMs: isLong(order.id) ? 3_000 : 10 })));
    await eventually(() => expect(fixture.notes('start').filter(({ id }) => isLong(id))).toHaveLength(5));
    const drained = await first.drain(token);
    const reportedAt = Date.now();
    expect(drained).toMatchObject({ token, complete: true });
    expect(drained.drained).toBeGreaterThanOrEqual(5);
    expect(drained.requeued).toBeGreaterThan(0);
    const lastEnd = Math.max(...fixture.notes('end').map(({ at }) => at));
    expect(drained.lastFinishedAt).toBeGreaterThanOrEqual(lastEnd);
    expect(drained.lastFinishedAt).toBeLessThanOrEqual(reportedAt);
    const before = fixture.notes('start').length;
    expect(fixture.notes('end')).toHaveLength(before);
    await eventually(async () => expect(await fixture.ready()).toBe(60 - before));
    await sleep(100);
    expect(fixture.notes('start')).toHaveLength(before);
    const nextToken = await fixture.startTenure(second);
    expect(nextToken).toBeGreaterThan(token);
    await eventually(() => expect(idsOf(fixture.notes('end'))).toEqual(range(60)));
    await second.drain(nextToken);
    expect(await fixture.ready()).toBe(0);
    expect(idsOf(fixture.notes('start'))).toEqual(range(60));
  });

  it('starts nothing more half a second after it was ordered, also while the broker is silent', async () => {
    const { proxy, amqpUrl } = await proxyToBroker();
    await open({ amqpUrl, queue: { prefetch: 1_000 } });
    const child = await fixture.forkWarm();
    const token = await fixture.startTenure(child);
    // More than can be worked on before the limit.
    await fixture.publish(orders(1_000, { waitMs: 100 }));
    await eventually(() => expect(fixture.notes('end').length).toBeGreaterThan(5));
    proxy.swallowAnswers();
    const drained = child.drain(token, 6_000);
    // What it is told it takes in order: it has been told to drain when it answers this.
    child.send({ kind: 'ping', n: 1 });
    await child.next('pong');
    await sleep(2_500);
    const started = fixture.notes('start').length;
    expect(started).toBeLessThan(1_000);
    await drained;
    expect(fixture.notes('start')).toHaveLength(started);
  });

  it('returns what arrives between its end and the answer of the broker, also of a tenure that was begun ahead', async () => {
    const { proxy, amqpUrl } = await proxyToBroker();
    await open({ amqpUrl });
    const child = await fixture.forkWarm();
    const { leaseId } = await fixture.stand();
    child.prepare(leaseId, 0);
    await child.next('prepared');
    const { token } = await fixture.acquire();
    await child.next('started');
    // The broker delivers, and answers the cancellation; nothing of it arrives before the tenure is another pod's.
    proxy.holdAnswersBack();
    await fixture.publish(orders(3));
    await child.drain(token);
    child.send({ kind: 'end', lock: fixture.lock, token });
    child.send({ kind: 'ping', n: 1 });
    await child.next('pong');
    expect(await fixture.ready()).toBe(0);
    proxy.deliverAnswers();
    await eventually(async () => expect(await fixture.ready()).toBe(3));
    expect(fixture.notes()).toEqual([]);
  });

  describe('that is undone', () => {
    /** Drained, with messages that came since: the broker has not heard that the consumer is cancelled. */
    const drainedWith = async (count: number, settings: FixtureOptions['settings'] = {}) => {
      const { proxy, amqpUrl } = await proxyToBroker();
      await open({ amqpUrl, settings });
      const child = await fixture.forkWarm();
      const token = await fixture.startTenure(child);
      await child.next('consuming');
      proxy.holdRequestsBack();
      await child.drain(token);
      await fixture.publish(orders(count));
      await eventually(async () => expect(await fixture.ready()).toBe(0));
      child.send({ kind: 'ping', n: 1 });
      await child.next('pong');
      expect(fixture.notes()).toEqual([]);
      const resume = (): void => {
        child.send({ kind: 'resume', lock: fixture.lock, token });
        proxy.deliverRequests();
      };
      return { child, token, resume };
    };

    it('works on what came since, also when nothing comes any more', async () => {
      const { resume } = await drainedWith(3);
      resume();
      await eventually(() => expect(idsOf(fixture.notes('end'))).toEqual(range(3)));
    });

    it('starts none of it on a read that is older than a verification may be', async () => {
      const { child, token, resume } = await drainedWith(3, { verificationMaxAgeMs: 200 });
      await sleep(250);
      await fixture.locks.putRaw(fixture.locks.keys.holder, '{}');
      resume();
      expect(await child.next('halted')).toMatchObject({ token, why: 'another holder' });
      await sleep(200);
      expect(fixture.notes()).toEqual([]);
    });
  });

  describe('with a hand-over', () => {
    const handOver = async (): Promise<HolderChange> => {
      await fixture.locks.stand('there', 'other', 120_000);
      return fixture.locks.changeTo({ region: 'there', pod: 'other' }, await fixture.locks.store.read());
    };

    it('commits it after the last message has ended, with what it has counted', async () => {
      await open();
      const child = await fixture.forkWarm();
      const token = await fixture.startTenure(child);
      await child.next('consuming');
      await fixture.publish([{ id: 1, waitMs: 1_500 }]);
      await eventually(() => expect(fixture.notes('start')).toHaveLength(1));
      const change = await handOver();
      child.send({ kind: 'rehearse', lock: fixture.lock, handOver: change });
      const drained = child.drain(token, 15_000, change);
      await sleep(500);
      expect((await fixture.locks.store.read()).holder?.token).toBe(token);
      expect(await drained).toMatchObject({
        ...{ drained: 1, requeued: 0, complete: true },
        handedOver: { outcome: 'applied', receipt: { id: change.id, drained: 1, requeued: 0 } },
      });
      const { holder, last } = await fixture.locks.store.read();
      expect(holder).toMatchObject({ region: 'there', pod: 'other' });
      const ended = fixture.notes('end')[0]?.at ?? Infinity;
      expect(Date.parse(last?.receipt.lastFinishedAt ?? '')).toBeGreaterThanOrEqual(ended);
      expect(Date.parse(last?.receipt.at ?? '')).toBeGreaterThanOrEqual(ended);
    });

    it('tells that it was refused, and can be resumed', async () => {
      await open();
      const child = await fixture.forkWarm();
      const token = await fixture.startTenure(child);
      await child.next('consuming');
      const change = await handOver();
      await fixture.locks.store.abortSwitch(change.id, 'rolled back');
      expect(await child.drain(token, 15_000, change)).toMatchObject({ handedOver: { outcome: 'refused' } });
      child.send({ kind: 'resume', lock: fixture.lock, token });
      expect(await child.next('consuming')).toMatchObject({ token });
    });

    it('does not send it while a handler goes on, nor for a tenure that does not run here', async () => {
      await open();
      const child = await fixture.forkWarm();
      const token = await fixture.startTenure(child);
      await child.next('consuming');
      await fixture.publish([{ id: 1, waitMs: 60_000 }]);
      await eventually(() => expect(fixture.notes('start')).toHaveLength(1));
      const change = await handOver();
      const elsewhere = await child.drain(token + 1, 300, change);
      const incomplete = await child.drain(token, 300, change);
      expect([elsewhere.handedOver, incomplete.complete, incomplete.handedOver]).toEqual([
        ...[undefined, false, undefined],
      ]);
      expect((await fixture.locks.store.read()).holder?.token).toBe(token);
    });
  });

  it('goes on under the same token when it is resumed', async () => {
    await open();
    const child = await fixture.forkWarm();
    const token = await fixture.startTenure(child);
    await child.next('consuming');
    await fixture.publish(orders(30, { waitMs: 200 }));
    await eventually(() => expect(fixture.notes('end').length).toBeGreaterThan(3));
    await child.drain(token);
    child.send({ kind: 'resume', lock: fixture.lock, token });
    expect(await child.next('consuming')).toMatchObject({ token });
    await eventually(() => expect(idsOf(fixture.notes('end'))).toEqual(range(30)));
    expect(idsOf(fixture.notes('start'))).toEqual(range(30));
  });

  it('leaves the process ready for another tenure, also after the deadline of the first', async () => {
    await open();
    const child = await fixture.forkWarm();
    const token = await fixture.startTenure(child, 5_000);
    await child.next('consuming');
    expect(await child.drain(token)).toMatchObject({ drained: 0, requeued: 0, complete: true });
    child.watchdog.write(encodeClear(fixture.lock));
    await sleep(5_500);
    expect(child.messages.filter(({ kind }) => kind === 'halted')).toEqual([]);
    const next = await fixture.startTenure(child);
    expect(await child.next('consuming')).toMatchObject({ token: next });
    child.send({ kind: 'resume', lock: fixture.lock, token });
    await fixture.publish([{ id: 1 }]);
    await eventually(() => expect(fixture.notes('end')).toMatchObject([{ id: 1, token: next }]));
  });

  it('fires the AbortSignal at its limit; handlers that heed it complete the drain', async () => {
    await open();
    const child = await fixture.forkWarm();
    const token = await fixture.startTenure(child);
    await fixture.publish([{ id: 1, patienceMs: 60_000 }]);
    await eventually(() => expect(fixture.notes('start')).toHaveLength(1));
    const began = performance.now();
    expect(await child.drain(token, 300)).toMatchObject({ complete: true });
    expect(performance.now() - began).toBeGreaterThan(290);
    expect(fixture.notes('aborted')).toHaveLength(1);
    await eventually(async () => expect(await fixture.ready()).toBe(1));
  });

  it('reports that it is incomplete when a handler goes on regardless', async () => {
    await open();
    const child = await fixture.forkWarm();
    const token = await fixture.startTenure(child);
    await fixture.publish([{ id: 1, waitMs: 60_000 }]);
    await eventually(() => expect(fixture.notes('start')).toHaveLength(1));
    expect(await child.drain(token, 300)).toMatchObject({ complete: false, drained: 0 });
    // Not back in the queue while its handler runs.
    expect(await fixture.ready()).toBe(0);
    const next = await fixture.startTenure(child);
    expect(await child.next('halted')).toMatchObject({ token: next });
  });
});

describe('messages that fail', () => {
  it('are tried exactly maxDeliveries times and then dead-lettered, with count and reason', async () => {
    await open();
    const child = await fixture.forkWarm();
    await fixture.startTenure(child);
    await fixture.publish([{ id: 1, throws: true }, ...orders(5).map(({ id }) => ({ id: id + 1 }))], {
      messageId: ({ id }) => `order-${id}`,
    });
    const [dead] = await eventually(async () => {
      const found = await fixture.deadLetters();
      expect(found).toHaveLength(1);
      return found;
    });
    expect(fixture.notes('start').filter(({ id }) => id === 1)).toHaveLength(3);
    expect(dead?.properties).toMatchObject({ messageId: 'order-1' });
    expect(dead?.properties.headers).toMatchObject({
      'x-baton-attempts': 3,
      'x-baton-reason': 'order 1 cannot be done',
    });
    await eventually(() => expect(idsOf(fixture.notes('end'))).toEqual([2, 3, 4, 5, 6]));
  });

  it('are not dead-lettered for having been returned unworked, however often', async () => {
    await open({ queue: { concurrency: 1, prefetch: 10 } });
    const child = await fixture.forkWarm();
    await fixture.publish(orders(10));
    // As many handovers, each of which returned all of them.
    for (let i = 0; i < 8; i += 1) {
      const consumer = await connect(sharedServers().rabbitmq);
      const channel = await consumer.createChannel();
      let count = 0;
      await channel.consume(fixture.settings.queue.name, () => (count += 1));
      await eventually(() => expect(count).toBe(10));
      await consumer.close();
    }
    await eventually(async () => expect(await fixture.ready()).toBe(10));
    await fixture.startTenure(child);
    await eventually(() => expect(idsOf(fixture.notes('end'))).toEqual(range(10)));
    expect(fixture.notes('start').every(({ redeliveries }) => redeliveries >= 8)).toBe(true);
    expect(await fixture.deadLetters()).toEqual([]);
  });

  it('are dead-lettered after a bounded number of deaths when they end the process', async () => {
    await open();
    await (await fixture.forkWarm()).kill();
    await fixture.publish([{ id: 1, exits: true }, { id: 2 }, { id: 3 }]);
    const { deadLetterExchange } = fixture.settings.queue;
    const isDead = async (): Promise<boolean> =>
      (await fixture.channel.checkQueue(deadLetterExchange)).messageCount === 1;
    let deaths = 0;
    for (; deaths < 10; deaths += 1) {
      const child = await fixture.forkWarm();
      await fixture.startTenure(child);
      await eventually(async () => expect(child.hasExited || (await isDead())).toBe(true));
      if (!child.hasExited) break;
      expect(await child.exited).toMatchObject({ code: 3 });
    }
    // The first delivery is not counted before it begins, the others are.
    expect(deaths).toBe(4);
    await eventually(() => expect(new Set(idsOf(fixture.notes('end')))).toEqual(new Set([2, 3])));
    const [dead] = await fixture.deadLetters();
    expect(dead?.properties.headers).toMatchObject({ 'x-baton-attempts': 3 });
  });
});
