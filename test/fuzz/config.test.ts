import fc from 'fast-check';
import { stringify } from 'yaml';
import { ConfigError } from '../../src/config/config-error';
import { ConfigFolder, minimal } from '../config/config-file';
import { fuzzRuns, thrownBy } from './fuzz-runs';
import { mutationOf } from './hostile-values';

const folder = new ConfigFolder();
afterAll(() => folder.remove());

const full = {
  ...minimal({
    leaseTtlMs: 5_000,
    deadlineMarginMs: 500,
    drainLimitMs: 1_000,
    maxFailureRate: 0.5,
    hooks: [{ name: 'freeze', at: 'before-release', url: 'http://localhost/x', timeoutMs: 1_000 }],
    drill: { allowCrash: true },
    preference: {
      order: ['us-east', 'us-west'],
      failback: { windows: [{ days: ['sat'], from: '02:00', to: '04:00' }], timeZone: 'UTC' },
    },
    queue: { name: 'orders', prefetch: 20, concurrency: 10, maxDeliveries: 5 },
  }),
  temporal: { address: 'localhost:7233', namespace: 'default' },
  health: { host: '127.0.0.1', port: 8080 },
  logLevel: 'info',
  defaults: { beatMs: 10_000 },
};

function outcomeOf(text: string): 'accepted' | 'refused' {
  const error = thrownBy(() => folder.load(text));
  if (error === null) return 'accepted';
  const problems = error instanceof ConfigError ? error.problems : [];
  const named = problems.filter(({ setting, expected }) => setting !== 'undefined' && /\S/.test(expected));
  if (named.length === 0 || named.length < problems.length) throw error;
  return 'refused';
}

test('whatever is changed, added or taken away: accepted, or refused by the name of the setting', () => {
  expect(outcomeOf(stringify(full))).toBe('accepted');
  const outcomes = { accepted: 0, refused: 0 };
  fc.assert(
    fc.property(mutationOf(full), (mutant) => {
      let text: string;
      try {
        text = stringify(mutant) ?? '';
      } catch {
        return; // Nothing that YAML can say.
      }
      outcomes[outcomeOf(text)] += 1;
    }),
    fuzzRuns(300),
  );
  expect(outcomes.accepted).toBeGreaterThan(0);
  expect(outcomes.refused).toBeGreaterThan(outcomes.accepted);
});

const bomb = Array.from({ length: 9 }, (_, level) => {
  const inner = level === 0 ? 'x' : `*a${level - 1}`;
  return `a${level}: &a${level} [${Array<string>(9).fill(inner).join(', ')}]`;
}).join('\n');

test.each([
  ['aliases that multiply', bomb],
  ['a list within itself', 'regions: &a [*a]'],
  ['a map within itself', 'locks: &a {orders: *a}'],
  ['settings within themselves', 'defaults: &a {queue: *a, handler: *a, hooks: [*a]}'],
  ['20,000 levels', '['.repeat(20_000)],
  ['an unclosed text', 'a: "'],
  ['several documents', 'a: 1\n---\nb: 2'],
  ['binary and dates', 'regions: !!binary aGVsbG8=\nlocks: !!set {x}\netcd: !!timestamp 2001-01-01'],
  ['keys that are no text', '? [a, b]\n: 1\n? {c: d}\n: 2'],
  ['an unknown tag', 'regions: !!js/function "function () {}"'],
  ['names of JavaScript', '__proto__: {etcd: 1}\nconstructor: {}\nlocks: {__proto__: {queue: {name: x}}}'],
  ['NUL', 'a: \0'],
  ['no text at all', '\ufffe\u0001\u0002'],
  ['numbers beyond all bounds', 'defaults: {leaseTtlMs: 1e999, beatMs: -.inf, drainLimitMs: .nan}'],
  ['odd units', 'defaults: {leaseTtlMs: 5s, beatMs: "10000", drainLimitMs: 0x10, stallLimitMs: 1_000}'],
])('%s: refused in good time', (_, text) => {
  const began = performance.now();
  expect(outcomeOf(text)).toBe('refused');
  expect(performance.now() - began).toBeLessThan(20_000);
});
