import type { Duplicate, Execution, Verdict } from '../demo/ledger-checker';

/** What the ledger says: the handler's calls, as each process noted them itself. */
export interface TestVerdict extends Verdict {
  /**
   * One sentence for each guarantee that did not hold; empty when all did. A message worked on twice because a
   * process was killed with it in flight breaks none: it stands in `duplicates` alone.
   */
  broken: string[];
  /** The numbers of the messages that the broker has confirmed: what must be there now. */
  publishedMessages: number[];
}

const EXAMPLES = 5;

/** @internal */
export function judged(verdict: Verdict, published: Iterable<number>): TestVerdict {
  const forbidden = verdict.duplicates.filter(({ allowed }) => !allowed);
  const silent = verdict.changes.filter(({ cause }) => cause === null);
  const found: [boolean, string][] = [
    [verdict.published === 0, 'nothing was published, so nothing is proven'],
    [
      verdict.lost.length > 0,
      `lost: ${some(verdict.lost.map((seq) => `message ${seq}`))}: published and never worked on to the end`,
    ],
    [
      verdict.overlaps > 0,
      `two tenures worked at the same time: ${some(verdict.overlapExamples.map(overlapText))}`,
    ],
    [!verdict.tokensMonotonic, 'a tenure with a lower token worked after one with a higher token'],
    [
      forbidden.length > 0,
      `worked on twice, and no process was killed with it: ${some(forbidden.map(duplicateText))}`,
    ],
    [
      silent.length > 0,
      `a change of holder without a receipt: ${some(silent.map(({ to }) => `token ${to.token}`))}`,
    ],
  ];
  const broken = found.flatMap(([is, what]) => (is ? [what] : []));
  return { ...verdict, broken, publishedMessages: [...published] };
}

const overlapText = ([a, b]: [Execution, Execution]): string =>
  `message ${a.seq} in ${a.pod} (token ${a.token}) and message ${b.seq} in ${b.pod} (token ${b.token})`;

const duplicateText = ({ seq, first, again }: Duplicate): string =>
  `message ${seq} in ${first.pod} (token ${first.token}) and in ${again.pod} (token ${again.token})`;

const some = (all: string[]): string =>
  all.length <= EXAMPLES
    ? all.join('; ')
    : `${all.slice(0, EXAMPLES).join('; ')} and ${all.length - EXAMPLES} more`;
