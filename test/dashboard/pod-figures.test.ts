import { figuresBetween, quantileMs, readPodMetrics } from '../../src/dashboard/pod-figures';
import { MessageMetrics } from '../../src/listener/message-metrics';

test('reads what a listener really exports, and nothing of another lock', async () => {
  const metrics = new MessageMetrics('us-east');
  const { counts, handlerSeconds, guardSeconds } = metrics.forLock('orders');
  metrics.forLock('other').counts.processed = 7;
  const before = readPodMetrics(await metrics.registry.metrics(), 0);
  counts.processed = 100;
  counts.failed = 2;
  counts.deadLettered = 1;
  counts.inFlight = 3;
  for (let i = 0; i < 100; i += 1) handlerSeconds.observe(i < 98 ? 0.004 : 0.6);
  guardSeconds.observe(0.002);
  const now = readPodMetrics(await metrics.registry.metrics(), 10_000);
  const { rate, handlerP50, handlerP99, guardP50, inFlight } = figuresBetween(before, now, 'orders');
  expect({ rate, inFlight }).toEqual({ rate: 10, inFlight: 3 });
  expect(handlerP50).toBeGreaterThan(1);
  expect(handlerP50).toBeLessThan(5);
  expect(handlerP99).toBeGreaterThan(500);
  expect(guardP50).toBeGreaterThan(1);
  expect(now.locks.get('orders')).toMatchObject({ processed: 100, failed: 2, deadLettered: 1 });
  expect(now.locks.get('other')).toMatchObject({ processed: 7 });
});

test('a counter that went back, and a single reading, give no rate', () => {
  const reading = (at: number, processed: number) =>
    readPodMetrics(`baton_messages_total{lock="a",region="r",outcome="processed"} ${processed}\n`, at);
  expect(figuresBetween(undefined, reading(0, 5), 'a').rate).toBeNull();
  expect(figuresBetween(reading(0, 5), reading(1_000, 2), 'a').rate).toBeNull();
  expect(figuresBetween(reading(0, 5), reading(1_000, 25), 'a').rate).toBe(20);
});

test('quantiles lie within their bucket; what is above the last bound is told as that', () => {
  const buckets = new Map([
    [0.01, 50],
    [0.1, 100],
    [Infinity, 100],
  ]);
  expect(quantileMs(buckets, 0.5)).toBeCloseTo(10);
  expect(quantileMs(buckets, 0.75)).toBeCloseTo(55);
  expect(
    quantileMs(
      new Map([
        [0.1, 0],
        [Infinity, 4],
      ]),
      0.99,
    ),
  ).toBe(100);
  expect(quantileMs(new Map(), 0.5)).toBeNull();
});
