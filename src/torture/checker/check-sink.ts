import { count } from './check-tenures';
import type { Effect, Finding, RunEvidence } from './run-evidence';

export interface SinkCheck {
  findings: Finding[];
  /** Refused because of their token. */
  refused: number;
}

/** The store that checks the token, for one lock: never a lower one after a higher one. */
export function checkSink({ effects, exactlyOnce }: RunEvidence, lock: string): SinkCheck {
  const inOrder = effects
    .filter((each) => each.lock === lock)
    .toSorted((a, b) => (a.sequence !== null && b.sequence !== null ? a.sequence - b.sequence : a.ns - b.ns));
  let highest: Effect | null = null;
  let refused = 0;
  const stale = new Map<string, { effect: Effect; after: Effect; n: number }>();
  const taken = new Map<string, number>();
  for (const effect of inOrder) {
    if (!effect.accepted) {
      if (highest && effect.token < highest.token) refused++;
      continue;
    }
    taken.set(effect.id, (taken.get(effect.id) ?? 0) + 1);
    if (!highest || effect.token >= highest.token) {
      highest = effect;
      continue;
    }
    const key = `${effect.token} ${highest.token}`;
    const known = stale.get(key);
    if (known) known.n++;
    else stale.set(key, { effect, after: highest, n: 1 });
  }
  const findings = [...stale.values()].map(({ effect, after, n }): Finding => ({
    kind: 'sink-accepted-stale',
    lock,
    ns: [effect.ns],
    text: `the store took ${count(n, 'write')} of ${lock} under token ${effect.token} after one under ${after.token}; the first was ${effect.id}`,
  }));
  const twice = exactlyOnce ? inOrder.filter(({ id, accepted }) => accepted && (taken.get(id) ?? 0) > 1) : [];
  const [one] = twice;
  if (one)
    findings.push({
      kind: 'effect-twice',
      lock,
      ns: twice.filter(({ id }) => id === one.id).map(({ ns }) => ns),
      text: `the store took ${count(new Set(twice.map(({ id }) => id)).size, 'message')} of ${lock} more than once; the first was ${one.id}`,
    });
  return { findings, refused };
}
