import type { CheckReport } from './check-report';

/** For people: the figures, the gaps by cause, and each violation with what happened around it. */
export function reportText(report: CheckReport): string {
  const { faults, gaps, violations } = report;
  const injected = Object.entries(faults).map(([kind, n]) => `${kind} ${n}`);
  const lines = [
    `faults           ${injected.join(', ') || 'none'}`,
    `tenures          ${report.tenures}`,
    `messages         ${report.published} published, ${report.processed} processed, ${report.lost} lost`,
    `duplicates       ${report.duplicatesAllowed} allowed, ${report.duplicatesForbidden} forbidden`,
    `overlaps         ${report.overlaps}, stale starts ${report.staleStarts}`,
    ...(report.effects > 0 ? [`store            ${report.effects} messages`] : []),
    `frozen handlers  ${report.staleEffects} overlapped a newer tenure; the store refused ${report.refusedEffects} writes`,
    ...Object.entries(gaps).map(
      ([cause, { n, p50, p99, max }]) =>
        `gap              ${cause}: n ${n}, p50 ${p50} ms, p99 ${p99} ms, max ${max} ms`,
    ),
    violations.length === 0 ? 'no violation' : `violations       ${violations.length}`,
  ];
  for (const { kind, text, interleaving } of violations) {
    lines.push('', `VIOLATION ${kind}: ${text}`);
    if (interleaving !== '') lines.push(interleaving);
  }
  return lines.join('\n');
}
