import { count } from './check-tenures';
import type { Effect, Finding, RunEvidence } from './run-evidence';

export interface SinkCheck {
  findings: Finding[];
  /** Messages taken, by a store that keeps an inbox. */
  effects: number;
  /** Refused because of their token. */
  refused: number;
}

/** The store that checks the token, for one lock: never a lower one after a higher one. */
export function checkSink(evidence: RunEvidence, lock: string): SinkCheck {
  const own = evidence.effects.filter((each) => each.lock === lock);
  const taken = own.filter(({ accepted }) => accepted).toSorted(byStoreOrder);
  const refused = own.filter(
    ({ accepted, token, ns }) => !accepted && taken.some((each) => each.token > token && each.ns <= ns),
  );
  const { findings, effects } = evidence.exactlyOnce
    ? checkInbox(evidence, lock, taken)
    : { findings: [], effects: 0 };
  return { findings: [...checkTokens(taken, lock), ...findings], effects, refused: refused.length };
}

const byStoreOrder = (a: Effect, b: Effect): number =>
  a.sequence !== null && b.sequence !== null ? a.sequence - b.sequence : a.ns - b.ns;

function checkTokens(taken: Effect[], lock: string): Finding[] {
  let highest: Effect | null = null;
  const stale = new Map<string, { effect: Effect; after: Effect; n: number }>();
  for (const effect of taken) {
    if (!highest || effect.token >= highest.token) {
      highest = effect;
      continue;
    }
    const key = `${effect.token} ${highest.token}`;
    const known = stale.get(key);
    if (known) known.n++;
    else stale.set(key, { effect, after: highest, n: 1 });
  }
  return [...stale.values()].map(({ effect, after, n }): Finding => ({
    kind: 'sink-accepted-stale',
    lock,
    ns: [effect.ns],
    text: `the store took ${count(n, 'write')} of ${lock} under token ${effect.token} after one under ${after.token}; the first was ${effect.id}`,
  }));
}

/** What was finished is in the store, once, and nothing else is. */
function checkInbox(
  { executions, published }: RunEvidence,
  lock: string,
  taken: Effect[],
): Pick<SinkCheck, 'findings' | 'effects'> {
  const times = new Map<string, number[]>();
  for (const { id, ns } of taken) times.set(id, [...(times.get(id) ?? []), ns]);
  const ends = new Map<string, number[]>();
  for (const { lock: of, ok, id, endNs } of executions)
    if (of === lock && ok) ends.set(id, [...(ends.get(id) ?? []), endNs ?? 0]);
  const sent = new Set(published.filter((each) => each.lock === lock).map(({ id }) => id));

  const twice = [...times].filter(([, each]) => each.length > 1);
  const missing = [...ends].filter(([id]) => !times.has(id));
  const unknown = [...times].filter(([id]) => !sent.has(id));
  const findings = [
    finding('effect-twice', twice, lock, (n) => `took ${n} of ${lock} more than once`),
    finding('effect-missing', missing, lock, (n) => `has nothing of ${n} of ${lock} that were finished`),
    finding('effect-unknown', unknown, lock, (n) => `took ${n} of ${lock} that were never published`),
  ];
  return { findings: findings.flat(), effects: times.size };
}

function finding(
  kind: Finding['kind'],
  messages: [id: string, ns: number[]][],
  lock: string,
  what: (messages: string) => string,
): Finding[] {
  const [first] = messages;
  if (!first) return [];
  const [id, ns] = first;
  const text = `the store ${what(count(messages.length, 'message'))}; the first was ${id}`;
  return [{ kind, lock, ns, text }];
}
