/**
 * `node dist/src/demo/ledger-main.js [--json]`: judges what the demo's handlers and load generators have noted in the
 * folder of BATON_DEMO_LEDGER. Exit code 1 when a message is lost or two tenures worked at the same time. The pods
 * must have shared one machine: the ledger's clock is that of the machine.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { readLedger } from './ledger';
import { checkLedger, type Verdict } from './ledger-checker';
import { readPublished } from './load-file';

const QUEUE_LIMIT_MS = 30_000;
const POLL_MS = 1_000;

function judge(folder: string): Verdict {
  // In containers, several processes have the same id: here a process is a file.
  const processes = readLedger(folder).map(({ records }, index) => ({ pid: index, records }));
  return checkLedger({
    published: readPublished(folder),
    processes,
    receipts: [],
    deaths: [],
    concurrency: 0,
  });
}

/** What is not processed yet may still be in the queue. */
async function judgeWhenDone(folder: string): Promise<Verdict> {
  const giveUpAt = Date.now() + QUEUE_LIMIT_MS;
  for (;;) {
    const verdict = judge(folder);
    if (verdict.lost.length === 0 || Date.now() > giveUpAt) return verdict;
    await sleep(POLL_MS);
  }
}

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { json: { type: 'boolean', default: false } } });
  const folder = process.env['BATON_DEMO_LEDGER'];
  if (!folder) {
    console.error('ledger: BATON_DEMO_LEDGER must be set: the folder that the handlers write to');
    return 2;
  }
  const { published, processed, lost, duplicates, overlaps, tokensMonotonic, changes } =
    await judgeWhenDone(folder);
  const tenures = changes.map(({ to, gapMs }) => ({ ...to, gapMs }));
  const holds = lost.length === 0 && overlaps === 0 && tokensMonotonic;
  if (values.json) {
    const figures = { published, processed, lost: lost.length, duplicates: duplicates.length, overlaps };
    console.log(JSON.stringify({ holds, ...figures, tokensMonotonic, tenures }));
  } else {
    for (const { token, region, pod, gapMs } of tenures) {
      const gap = gapMs === null ? '' : `, ${Math.round(gapMs)} ms after the tenure before`;
      console.log(`token ${token}: ${region}, ${pod}${gap}`);
    }
    console.log(
      `published ${published}, processed ${processed}, lost ${lost.length}, duplicated ${duplicates.length}, ` +
        `overlapping pairs ${overlaps}, tokens ${tokensMonotonic ? 'in order' : 'out of order'}`,
    );
  }
  return holds ? 0 : 1;
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    console.error(`ledger: ${(error as Error).message}`);
    process.exit((error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS') ? 2 : 1);
  },
);
