import { count } from './check-tenures';
import { asNumber, asObject, asText } from './json-lines';
import type { EtcdEvent, Execution, Finding, ReceiptKey, RunEvidence } from './run-evidence';

/** The oldest receipts are pruned beyond so many. */
const receiptsKept = 1_000;

export interface EtcdCheck {
  findings: Finding[];
  /** Tokens in etcd or in the ledgers. */
  tokens: Set<number>;
}

/** What etcd's own revisions say of one lock: every token was one, and every change of holder has its receipt. */
export function checkEtcd(evidence: RunEvidence, lock: string): EtcdCheck {
  const holder = evidence.etcd.filter((event) => event.lock === lock && event.key === 'holder');
  const puts = holder.filter(({ type }) => type === 'put');
  const executions = evidence.executions.filter((each) => each.lock === lock);
  const tokens = new Set([...puts.map(({ revision }) => revision), ...executions.map(({ token }) => token)]);
  const findings = [...findUnknownTokens(lock, puts, executions), ...findStepsBack(lock, puts)];
  if (!evidence.without.has('receipts')) findings.push(...checkReceipts(evidence, lock, holder));
  return { findings, tokens };
}

const podOf = ({ value }: EtcdEvent): string => asText(asObject(value)?.['pod'], '?');

/** One finding for each token that was not a revision of the holder key, or another pod's. */
function findUnknownTokens(lock: string, puts: EtcdEvent[], executions: Execution[]): Finding[] {
  const pods = new Map(puts.map((event) => [event.revision, podOf(event)]));
  const groups = new Map<string, Execution[]>();
  for (const execution of executions) {
    if (pods.get(execution.token) === execution.pod) continue;
    const key = `${execution.token} ${execution.pod}`;
    const group = groups.get(key);
    if (group) group.push(execution);
    else groups.set(key, [execution]);
  }
  return [...groups.values()].map((group) => {
    const [{ token, pod, id, startNs }] = group as [Execution];
    const owner = pods.get(token);
    const why = owner === undefined ? 'the holder key never had this revision' : `${owner} had it`;
    return {
      kind: 'unknown-token',
      lock,
      ns: [startNs],
      text: `${count(group.length, 'message')} of ${lock} worked on in ${pod} under token ${token}, but ${why}; the first was ${id}`,
    };
  });
}

/** In the order in which the watch delivered them. */
function findStepsBack(lock: string, puts: EtcdEvent[]): Finding[] {
  return puts.flatMap((event, i) => {
    const before = puts[i - 1];
    if (!before || event.revision > before.revision) return [];
    return {
      kind: 'token-back',
      lock,
      token: event.revision,
      ns: [event.ns],
      text: `the holder key of ${lock} was written at revision ${event.revision} (${podOf(event)}) after ${before.revision} (${podOf(before)})`,
    };
  });
}

function checkReceipts(evidence: RunEvidence, lock: string, holder: EtcdEvent[]): Finding[] {
  const kept = evidence.receipts.filter((each) => each.lock === lock);
  const seen = firstPutsOfReceipts(evidence, lock);
  const byToken = new Map<number, ReceiptKey[]>();
  for (const receipt of kept)
    if (toOf(receipt))
      byToken.set(receipt.createRevision, [...(byToken.get(receipt.createRevision) ?? []), receipt]);
  const oldestKept = Math.min(...kept.map(({ createRevision }) => createRevision));
  const wasPruned = (token: number): boolean => kept.length >= receiptsKept && token < oldestKept;

  return holder.flatMap((event, i): Finding[] => {
    if (event.type === 'delete') return [];
    const { revision, ns } = event;
    const change = `the change of holder of ${lock} to ${podOf(event)} under token ${revision}`;
    const found = byToken.get(revision) ?? [];
    if (found.length === 0) {
      const before = holder[i - 1];
      const overwrites = before?.type === 'put' && before.lease !== event.lease;
      if (overwrites && !seen.has(revision))
        return [
          {
            kind: 'foreign-holder',
            lock,
            ns: [ns],
            text: `the holder key of ${lock}, ${podOf(before)}'s under lease ${before.lease}, was overwritten for ${podOf(event)} under lease ${event.lease} at revision ${revision}, by no hand-over`,
          },
        ];
      if (wasPruned(revision) && seen.has(revision)) return [];
      return [{ kind: 'missing-receipt', lock, ns: [ns], text: `${change} has no receipt` }];
    }
    if (found.length > 1) {
      const keys = found.map(({ key }) => key).join(', ');
      return [
        { kind: 'receipt-twice', lock, ns: [ns], text: `${change} has ${found.length} receipts: ${keys}` },
      ];
    }
    const wrong = whatIsWrong(found[0]!, event, holder.slice(0, i));
    return wrong
      ? [{ kind: 'receipt-wrong', lock, ns: [ns], text: `the receipt of ${change} ${wrong}` }]
      : [];
  });
}

const toOf = ({ value }: ReceiptKey) => asObject(asObject(value)?.['to']);

/** Its new holder must be the one who then stood in the key, and its former one the one who stood there before. */
function whatIsWrong(receipt: ReceiptKey, event: EtcdEvent, earlier: EtcdEvent[]): string | null {
  const to = asText(toOf(receipt)?.['pod'], '?');
  if (to !== podOf(event)) return `names ${to} as the new holder`;
  const from = asObject(asObject(receipt.value)?.['from']);
  const before = earlier.findLast(({ type }) => type === 'put');
  if (!from || !before) return null;
  const token = asNumber(from['token']);
  return token === before.revision
    ? null
    : `names token ${token} as the former one, but that was ${before.revision}`;
}

/** Revisions at which a receipt was created: those pruned since are not in etcd at the end. */
function firstPutsOfReceipts({ etcd }: RunEvidence, lock: string): Set<number> {
  const created = new Map<string, number>();
  for (const { lock: of, key, type, revision } of etcd)
    if (of === lock && type === 'put' && key.startsWith('receipts/') && !created.has(key))
      created.set(key, revision);
  return new Set(created.values());
}
