import { checkDuplicates } from './check-duplicates';
import { checkEtcd } from './check-etcd';
import { checkHistories } from './check-histories';
import { checkMessages } from './check-messages';
import type { CheckReport } from './check-report';
import { checkSink } from './check-sink';
import { checkTenures } from './check-tenures';
import { gapsIn } from './gaps';
import type { Finding, RunEvidence } from './run-evidence';
import { readRunFolder } from './run-folder';
import { Timeline } from './timeline';

/**
 * Judges a run by what lies in its folder: the handlers' ledgers, the broker, etcd's own revisions, Temporal's
 * histories. Shares no code with what it checks, and believes no word of it: receipts and the pods' logs are looked
 * at as claims, or shown beside a violation. Changes nothing.
 *
 * @throws NoRunError when the folder is not one of a run.
 */
export async function checkRun(folder: string): Promise<CheckReport> {
  const evidence = readRunFolder(folder);
  const report = { ...emptyReport(evidence), gaps: gapsIn(evidence) };
  const findings: Finding[] = [...checkEvidence(evidence), ...checkHistories(evidence)];
  for (const lock of evidence.locks) {
    const messages = checkMessages(evidence, lock.lock);
    const duplicates = checkDuplicates(evidence, lock);
    const tenures = checkTenures(evidence, lock.lock);
    const etcd = checkEtcd(evidence, lock.lock);
    const sink = checkSink(evidence, lock.lock);
    for (const { findings: found } of [tenures, etcd, messages, duplicates, sink]) findings.push(...found);
    report.tenures += etcd.tokens.size;
    report.published += messages.published;
    report.processed += messages.processed;
    report.lost += messages.lost;
    report.duplicatesAllowed += duplicates.allowed;
    report.duplicatesForbidden += duplicates.forbidden;
    report.overlaps += tenures.overlaps;
    report.staleEffects += tenures.staleEffects;
    report.staleStarts += tenures.staleStarts;
    report.effects += sink.effects;
    report.refusedEffects += sink.refused;
  }
  if (findings.length === 0) return report;
  const timeline = new Timeline(evidence);
  report.violations = withoutRepetition(findings).map((finding) => ({
    kind: finding.kind,
    text: finding.text,
    interleaving: timeline.around(finding),
  }));
  return report;
}

function withoutRepetition(findings: Finding[]): Finding[] {
  const told = new Set<string>();
  return findings.filter(({ kind, lock, token }) => {
    const key = `${kind} ${lock} ${token}`;
    if (token !== undefined && told.has(key)) return false;
    told.add(key);
    return true;
  });
}

function emptyReport({ seed, minutes, faults }: RunEvidence): CheckReport {
  const byKind: Record<string, number> = {};
  for (const { kind } of faults) byKind[kind] = (byKind[kind] ?? 0) + 1;
  return {
    seed,
    minutes,
    faults: byKind,
    tenures: 0,
    published: 0,
    processed: 0,
    lost: 0,
    duplicatesAllowed: 0,
    duplicatesForbidden: 0,
    overlaps: 0,
    staleEffects: 0,
    staleStarts: 0,
    effects: 0,
    refusedEffects: 0,
    gaps: {},
    violations: [],
  };
}

function checkEvidence({ unreadable, missing, locks, published, executions }: RunEvidence): Finding[] {
  const known = new Set(locks.map(({ lock }) => lock));
  const strangers = [...published, ...executions].find(({ lock }) => !known.has(lock));
  return [
    ...missing.map((name): Finding => ({
      kind: 'missing-evidence',
      lock: null,
      ns: [],
      text: `${name} is missing: expected it, or its name under "without" in run.json`,
    })),
    ...unreadable.map((text): Finding => ({ kind: 'unreadable', lock: null, ns: [], text })),
    ...(strangers
      ? [
          {
            kind: 'unreadable' as const,
            lock: null,
            ns: [],
            text: `lock ${strangers.lock} is not in run.json`,
          },
        ]
      : []),
  ];
}
