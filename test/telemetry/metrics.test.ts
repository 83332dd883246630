import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { ListenerMetrics } from '../../src/telemetry/listener-metrics';
import { PodMetrics } from '../../src/telemetry/metrics';

const orders = { name: 'orders', leaseTtlMs: 10_000, beatMs: 10_000 };

/** A listener's registry as it comes over the pipe. */
async function snapshot(processed: number, inFlight: number): Promise<unknown> {
  const registry = new Registry();
  const registers = [registry];
  new Counter({ name: 'baton_messages_total', help: 'm', labelNames: ['lock'], registers }).inc(
    { lock: 'orders' },
    processed,
  );
  new Gauge({ name: 'baton_in_flight', help: 'f', registers }).set(inFlight);
  const seconds = new Histogram({ name: 'baton_handler_seconds', help: 's', buckets: [1], registers });
  for (let n = 0; n < processed; n++) seconds.observe(0.5);
  new Gauge({ name: 'nodejs_external_memory_bytes', help: 'n', registers }).set(7);
  return structuredClone(await registry.getMetricsAsJSON());
}

const line = (text: string, name: string): string | undefined =>
  text.split('\n').find((row) => row.startsWith(name));

test('listeners are summed, and a dead one’s counters stay while its gauges go', async () => {
  const listeners = new ListenerMetrics();
  listeners.update(1, await snapshot(3, 2));
  listeners.update(2, await snapshot(4, 1));
  expect(line(await listeners.text(), 'baton_messages_total')).toBe('baton_messages_total{lock="orders"} 7');
  expect(line(await listeners.text(), 'baton_in_flight')).toBe('baton_in_flight 3');

  listeners.retire(1);
  expect(line(await listeners.text(), 'baton_messages_total')).toBe('baton_messages_total{lock="orders"} 7');
  expect(line(await listeners.text(), 'baton_in_flight')).toBe('baton_in_flight 1');

  // The kernel gave the first one's pid to a third process.
  listeners.update(1, await snapshot(1, 5));
  listeners.retire(2);
  listeners.retire(2);
  const text = await listeners.text();
  expect(line(text, 'baton_messages_total')).toBe('baton_messages_total{lock="orders"} 8');
  expect(line(text, 'baton_handler_seconds_count')).toBe('baton_handler_seconds_count 8');
  expect(line(text, 'baton_handler_seconds_bucket{le="1"}')).toBe('baton_handler_seconds_bucket{le="1"} 8');
});

test('what is not a snapshot is ignored', async () => {
  const listeners = new ListenerMetrics();
  for (const wrong of [undefined, null, 'x', [null], [{}]]) listeners.update(1, wrong);
  listeners.retire(1);
  expect((await listeners.text()).trim()).toBe('');
});

test('the text has every series from the start, and no metric twice', async () => {
  const metrics = new PodMetrics({ version: '1.2.3', region: 'us-east', locks: [orders] });
  const listeners = new ListenerMetrics();
  listeners.update(1, await snapshot(1, 1));
  const text = await metrics.text(listeners);
  expect(text).toContain('baton_acquisitions_total{lock="orders",region="us-east",outcome="won"} 0');
  expect(text).toContain('baton_extensions_total{lock="orders",region="us-east",outcome="confirmed"} 0');
  expect(text).toContain(
    'baton_tenure_transitions_total{lock="orders",region="us-east",event="hand_over"} 0',
  );
  expect(text).toContain('baton_holder{lock="orders"} 0');
  expect(text).toContain('baton_build_info{version="1.2.3",node_version="');
  expect(text).toContain('baton_gap_seconds_count{lock="orders",cause="switch"} 0');
  expect(text).toContain('baton_lease_ttl_seconds{lock="orders"} 10');
  expect(text).toContain('baton_listener_nodejs_external_memory_bytes 7');
  const names = text
    .split('\n')
    .filter((row) => row.startsWith('# TYPE'))
    .map((row) => row.split(' ')[2]);
  expect(new Set(names).size).toBe(names.length);
});

test('an ended tenure leaves no token and no margin', async () => {
  const metrics = new PodMetrics({ version: '1', region: 'r', locks: [orders] });
  metrics.token.set({ lock: 'orders' }, 42);
  metrics.leaseMargin.set({ lock: 'orders' }, 4.2);
  metrics.holder.set({ lock: 'orders' }, 1);
  expect(await metrics.text()).toContain('baton_token{lock="orders"} 42');
  metrics.clearTenure('orders');
  const text = await metrics.text();
  expect(text).not.toContain('baton_token{');
  expect(text).not.toContain('baton_lease_margin_seconds{');
  expect(text).toContain('baton_holder{lock="orders"} 0');
});
