/** `npm run demo`: two regions, switches and kills under load, and a verdict from the handlers' own ledger. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type CommandSpec, type Options, runParsed, UsageError } from '../cli/command-line';
import { judge, reportChanges, type ReportInput, reportJson, reportText } from './demo-report';
import { DemoScenario } from './demo-scenario';
import { concurrency, DemoSystem, regions } from './demo-system';
import { Interruption } from './interruption';
import { readLedger } from './ledger';
import { checkLedger } from './ledger-checker';
import { LiveView } from './live-view';

const DRAIN_LIMIT_MS = 15_000;
/** For so long the queue must have been empty: a late duplicate would show by then. */
const QUIET_MS = 500;

const spec = {
  name: 'demo',
  summary: 'two regions, switches and kills under load, with a checked result',
  options: {
    json: { help: 'print one line of JSON at the end, and everything else to standard error' },
    keep: { help: 'leave everything running at the end, until Ctrl-C' },
    ttl: { value: 'SECONDS', whole: { min: 2, max: 60 }, help: 'TTL of the lease (default 5)' },
    rate: { value: 'N', whole: { min: 1, max: 5_000 }, help: 'messages per second (default 500)' },
    seconds: {
      value: 'N',
      whole: { min: 0, max: 86_400 },
      help: 'keep the messages flowing for at least so long (default 0: until all steps are done)',
    },
  },
  notes: 'Exit codes: 0 every guarantee held, 1 one broke or the demo failed, 2 bad input.',
} as const satisfies CommandSpec;

/** @returns the exit code; nothing is left behind by then. */
export const runDemo = (argv: string[]): Promise<number> => runParsed(spec, argv, work);

async function work(options: Options<typeof spec>): Promise<number> {
  const { json, keep } = options;
  const leaseTtlMs = Number(options.ttl ?? 5) * 1000;
  const out = json ? process.stderr : process.stdout;
  const interruption = new Interruption();
  const failure = new AbortController();
  const signal = AbortSignal.any([interruption.signal, failure.signal]);
  const view = new LiveView(out);
  let system: DemoSystem | undefined;
  try {
    system = await DemoSystem.start({
      leaseTtlMs,
      say: (line) => view.say(line),
      onPodExit: (pod, how) =>
        failure.abort(new Error(`pod ${pod.name} ended ${how}; the end of its log:\n${pod.logTail()}`)),
      onHolder: () => undefined,
      signal,
    });
    const input = await runScenario(system, view, signal, {
      leaseTtlMs,
      rate: Number(options.rate ?? 500),
      seconds: Number(options.seconds ?? 0),
    });
    view.close();
    const changes = reportChanges(input);
    const findings = judge(input, changes);
    const { verdict } = input;
    out.write(
      `\n${reportText(verdict, changes, findings)}\n\n${keep ? system.describe() : addresses(system)}\n`,
    );
    if (keep) {
      out.write('\neverything is left running; Ctrl-C ends it\n');
      await interruption.wait();
    }
    await system.stop();
    if (json) process.stdout.write(`${reportJson(verdict, changes)}\n`);
    return findings.every(({ kind, ok }) => ok || kind === 'expectation') ? 0 : 1;
  } catch (error) {
    view.close();
    const reason: unknown = signal.aborted ? signal.reason : error;
    out.write(`\n${reason instanceof Error ? reason.message : String(reason)}\n`);
    out.write('stopping everything\n');
    await system?.stop();
    return interruption.exitCode ?? 1;
  } finally {
    interruption.dispose();
  }
}

async function runScenario(
  system: DemoSystem,
  view: LiveView,
  signal: AbortSignal,
  options: { leaseTtlMs: number; rate: number; seconds: number },
): Promise<ReportInput> {
  const { observer, publisher } = system;
  const { leaseTtlMs, rate, seconds } = options;
  const announce = (what: string): void => view.announce(what);
  const scenario = new DemoScenario({ system, leaseTtlMs, seconds, announce, signal });
  view.watch({ regions: [...regions], observer, published: () => publisher.published.size });
  announce(`publishing ${rate} messages a second`);
  publisher.start(rate);
  await system.explain(() => scenario.run());
  publisher.pause();
  announce('publishing has ended; waiting for the queue to drain');
  await publisher.settle();
  await drain(system, view, signal);
  const verdict = checkLedger({
    published: publisher.published,
    processes: readLedger(system.ledgerFolder),
    receipts: await system.receipts(),
    deaths: scenario.deaths,
    concurrency,
  });
  return { verdict, disturbances: scenario.disturbances, leaseTtlMs, concurrency };
}

/** Until every published message was processed, and nothing is left to be delivered again. */
async function drain(
  { observer, publisher }: DemoSystem,
  view: LiveView,
  signal: AbortSignal,
): Promise<void> {
  const missing = (): number[] => [...publisher.published].filter((seq) => !observer.finished.has(seq));
  try {
    await observer.until('every message was processed', DRAIN_LIMIT_MS, signal, () => missing().length === 0);
  } catch (error) {
    signal.throwIfAborted();
    // Not the demo's failure but its finding: the checker counts what is lost.
    view.say(
      `${(error as Error).message}; ${missing().length} are missing, ${await publisher.queued()} in the queue`,
    );
  }
  await sleep(QUIET_MS, undefined, { signal });
}

function addresses(system: DemoSystem): string {
  const ui = system.stack.temporalUiUrl ?? system.stack.temporalAddress;
  return `Temporal UI ${ui}, workflows ${system.workflowIds.join(' and ')} (--keep leaves them running)`;
}

if (require.main === module) {
  void runDemo(process.argv.slice(2))
    .catch((error: unknown) => {
      console.error(error instanceof UsageError ? `demo: ${error.message}` : error);
      return error instanceof UsageError ? 2 : 1;
    })
    .then((code) => process.stdout.write('', () => process.exit(code)));
}
