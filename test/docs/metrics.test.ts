import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Registry } from 'prom-client';
import { MessageMetrics } from '../../src/listener/message-metrics';
import { PodMetrics } from '../../src/telemetry/metrics';

interface Row {
  name: string;
  type: string;
  labels: string;
}

const page = readFileSync(resolve(__dirname, '../../docs/metrics.md'), 'utf8');
const units = ['seconds', 'bytes', 'ratio'];

/** Node's and the process's own metrics are prom-client's to document. */
function registered(): (Row & { help: string })[] {
  const pod = new PodMetrics({
    version: '1',
    region: 'r',
    locks: [{ name: 'orders', leaseTtlMs: 1, beatMs: 1 }],
  });
  const listener = new MessageMetrics('r');
  listener.forLock('orders');
  return [pod.registry, listener.registry].flatMap((registry: Registry) =>
    (registry.getMetricsAsArray() as unknown as { name: string; labelNames?: string[]; help: string }[])
      .filter(({ name }) => name.startsWith('baton_'))
      .map((metric) => ({
        name: metric.name,
        type: typeOf(metric),
        labels: (metric.labelNames ?? ['lock']).toSorted().join(', '),
        help: metric.help,
      })),
  );
}

function typeOf(metric: object): string {
  const { name } = metric.constructor;
  return name === 'LockHistograms' ? 'histogram' : name.toLowerCase();
}

const cell = (text = ''): string => text.replaceAll('`', '').trim();

function documented(): (Row & { unit: string; meaning: string })[] {
  return page
    .split('\n')
    .filter((line) => line.startsWith('| `baton_'))
    .map((line) => {
      const [, name, type, labels, unit, meaning] = line.split('|');
      return {
        name: cell(name),
        type: cell(type),
        labels: cell(labels).split(', ').toSorted().join(', '),
        unit: cell(unit),
        meaning: cell(meaning),
      };
    });
}

const byName = (a: Row, b: Row): number => a.name.localeCompare(b.name);
const plain = ({ name, type, labels }: Row): Row => ({ name, type, labels });

test('docs/metrics.md has a row for every metric, with its type and labels, and for nothing else', () => {
  expect(documented().map(plain).toSorted(byName)).toEqual(registered().map(plain).toSorted(byName));
});

test('every row says what the metric means, and in which unit', () => {
  const unitOf = (name: string): string | undefined => units.find((unit) => name.endsWith(`_${unit}`));
  const wrong = documented().filter(
    ({ name, unit, meaning }) =>
      meaning.length < 10 || !(unitOf(name) ? [unitOf(name)] : ['1', 'count', 'token']).includes(unit),
  );
  expect(wrong).toEqual([]);
});

test("names follow Prometheus's conventions", () => {
  for (const { name, type, help } of registered()) {
    expect(name).toMatch(/^baton_[a-z]+(_[a-z]+)*$/);
    expect({ name, total: name.endsWith('_total') }).toEqual({ name, total: type === 'counter' });
    expect(name).not.toMatch(/_(ms|milliseconds|minutes|percent)\b/);
    expect(name).toMatch(type === 'histogram' ? /_seconds$/ : /./);
    expect(help).not.toMatch(/\.$/);
  }
});
