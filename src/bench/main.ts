/** `npm run bench`: Baton beside its peers, on the same servers, with the same work and the same faults. */
import { setMaxListeners } from 'node:events';
import { mkdirSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { UsageError } from '../cli/command-line';
import { fields } from '../cli/table';
import { Interruption } from '../demo/interruption';
import { startDevStack, type DevStack } from '../dev/dev-stack';
import type { Bench, BenchContext, BenchReport } from './bench';
import { type BenchFile, conditionsText, readBenchFile, readConditions, writeBenchFile } from './bench-file';
import { type BenchOptions, parseBenchOptions } from './bench-options';
import { reportJson, reportText } from './bench-table';
import { compareResults, comparisonText } from './comparison';
import { writeHtmlReport } from './html-report';
import { benches } from './registry';

/** @returns the exit code; nothing is left behind by then, but what `--keep` keeps. */
export async function runBench(argv: string[]): Promise<number> {
  const options = parseBenchOptions(argv);
  if ('help' in options) {
    console.log(options.help);
    return 0;
  }
  // Read first: a wrong file shall not show after half an hour.
  const before = options.compare === undefined ? null : readBenchFile('--compare', options.compare);
  if (options.results !== undefined)
    return conclude(options, readBenchFile('--results', options.results), before);
  const interruption = new Interruption();
  const say = (line: string): void => void process.stderr.write(`bench: ${line}\n`);
  let stack: DevStack | undefined;
  try {
    say('starting etcd, RabbitMQ, Temporal and Toxiproxy');
    stack = await startDevStack({ servers: ['etcd', 'rabbitmq', 'temporal', 'toxiproxy'], onProgress: say });
    stack.lowerTemporalPriority();
    const report = await runAll(options, contextOf(options, stack, say, interruption.signal));
    await stack.stop();
    return conclude(options, { ...report, conditions: readConditions(argv) }, before);
  } catch (error) {
    const reason: unknown = interruption.signal.aborted ? interruption.signal.reason : error;
    say(
      reason instanceof Error
        ? interruption.signal.aborted
          ? reason.message
          : (reason.stack ?? '')
        : String(reason),
    );
    say('stopping everything');
    await stack?.stop();
    return interruption.exitCode ?? 1;
  } finally {
    interruption.dispose();
  }
}

function contextOf(
  { quick, rounds, skip, keep }: BenchOptions,
  stack: DevStack,
  say: (line: string) => void,
  signal: AbortSignal,
): BenchContext {
  const folder = keep ? mkdtempSync(join(tmpdir(), 'baton-bench-')) : join(stack.folder, 'bench');
  mkdirSync(folder, { recursive: true });
  // Many systems wait side by side, each of them also for the end.
  setMaxListeners(0, signal);
  if (keep) say(`ledgers and logs stay in ${folder}`);
  return {
    quick,
    rounds: (full, few) => rounds ?? (quick ? few : full),
    skips: (system) => skip.includes(system),
    stack,
    folder,
    say,
    signal,
  };
}

async function runAll(options: BenchOptions, context: BenchContext): Promise<BenchReport> {
  const report: BenchReport = { results: [], goals: [], notes: [] };
  for (const name of options.benches) {
    const bench = benches[name];
    context.signal.throwIfAborted();
    context.say(`${bench.name}: ${bench.title}`);
    const { results, goals, notes, failure } = await runOne(bench, context);
    report.results.push(...results);
    report.goals.push(...goals);
    for (const note of notes) if (!report.notes.includes(note)) report.notes.push(note);
    if (failure === undefined) continue;
    context.say(failure);
    // The first line: the rest are the ends of logs.
    report.notes.push(failure.split('\n')[0]!);
    report.failure ??= failure;
  }
  return report;
}

/** An hour of other benches' figures must not be lost with one. */
async function runOne(bench: Bench, context: BenchContext): Promise<BenchReport> {
  try {
    return await bench.run(context);
  } catch (error) {
    context.signal.throwIfAborted();
    const failure = `${bench.name} failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
    return { results: [], goals: [], notes: [], failure };
  }
}

/** Says and saves everything. @returns the exit code. */
function conclude(options: BenchOptions, content: BenchFile, before: BenchFile | null): number {
  const { json, out, html } = options;
  const output = json ? process.stderr : process.stdout;
  const changes = before === null ? [] : compareResults(before.results, content.results);
  const comparison = before === null ? null : comparisonText(changes, before.conditions.date);
  const conditions = fields(conditionsText(content.conditions));
  output.write(`\n${reportText(content, output.columns)}\n\n${conditions}\n`);
  if (comparison !== null) output.write(`\n${comparison}\n`);
  if (out !== undefined) {
    writeBenchFile(out, content);
    output.write(`\nresults with samples: ${resolve(out)}\n`);
  }
  writeHtmlReport(html, content, comparison);
  output.write(`\nreport with pictures: ${resolve(html)}\n`);
  if (json) process.stdout.write(`${reportJson(content)}\n`);
  return content.failure !== undefined || changes.some(({ verdict }) => verdict === 'slower') ? 1 : 0;
}

if (require.main === module) {
  void runBench(process.argv.slice(2))
    .catch((error: unknown) => {
      console.error(error instanceof UsageError ? `bench: ${error.message}` : error);
      return error instanceof UsageError ? 2 : 1;
    })
    .then((code) => process.stdout.write('', () => process.exit(code)));
}
