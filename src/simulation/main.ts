import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import type { SeedResult } from './run-seed';
import { SeedPool } from './seed-pool';
import { OptionError, readSimulationOptions, usage, type SimulationOptions } from './simulation-options';

/** Seeds in one go to a worker. */
const partSize = 25;
const progressMs = 10_000;
/** Of those that failed, by number and rule. */
const shownSeeds = 20;
/** Of a failing seed, before its first violation. */
const shownLines = 150;

async function main(): Promise<number> {
  let options;
  try {
    options = readSimulationOptions(process.argv.slice(2), availableParallelism());
  } catch (error) {
    if (!(error instanceof OptionError)) throw error;
    process.stderr.write(`${error.message}\n`);
    return 2;
  }
  if (options === 'help') {
    process.stdout.write(`${usage}\n`);
    return 0;
  }
  return simulate(options);
}

async function simulate(options: SimulationOptions): Promise<number> {
  const { from, seeds, weakness, trace } = options;
  const pool = new SeedPool(Math.min(options.workers, seeds));
  const began = performance.now();
  const sum = {
    seeds: 0,
    events: 0,
    simulatedMs: 0,
    messages: 0,
    starts: 0,
    tenures: 0,
    switches: 0,
    duplicates: 0,
  };
  const faults: Record<string, number> = {};
  const failed: SeedResult[] = [];
  const order = { from, count: seeds, weakness, isTraced: trace, untilFailure: weakness !== null };
  const progress = setInterval(() => {
    const seconds = (performance.now() - began) / 1_000;
    process.stderr.write(
      `${sum.seeds} seeds, ${(sum.seeds / seconds).toFixed(0)}/s, ${failed.length} failed\n`,
    );
  }, progressMs);
  try {
    await pool.run(order, partSize, (results) => {
      for (const result of results) {
        sum.seeds += 1;
        for (const key of [
          'events',
          'simulatedMs',
          'messages',
          'starts',
          'tenures',
          'switches',
          'duplicates',
        ] as const)
          sum[key] += result[key];
        for (const [kind, count] of Object.entries(result.faults)) faults[kind] = (faults[kind] ?? 0) + count;
        if (result.violations.length > 0) failed.push(result);
        if (trace) process.stdout.write(`${result.trace.join('\n')}\nhash ${result.hash}\n`);
      }
      // Of what is broken on purpose, one is enough.
      return weakness !== null && failed.length > 0 ? 'enough' : undefined;
    });
    const first = failed.toSorted((a, b) => a.seed - b.seed)[0];
    if (first && !trace) await show(pool, first, options);
  } finally {
    clearInterval(progress);
    await pool.close();
  }
  const seconds = (performance.now() - began) / 1_000;
  if (options.keep !== null && weakness === null) keep(options.keep, failed);
  const perSecond = Math.round(sum.seeds / seconds);
  process.stdout.write(
    `${sum.seeds} seeds from ${from} in ${seconds.toFixed(1)} s (${perSecond}/s): ${sum.tenures} tenures, ` +
      `${sum.switches} planned hand-overs, ${sum.starts} messages started, ${failed.length} seeds failed\n`,
  );
  for (const { seed, violations } of failed.slice(0, shownSeeds))
    process.stdout.write(`  seed ${seed}: ${violations[0]?.rule}: ${violations[0]?.what}\n`);
  if (options.json)
    process.stdout.write(
      `${JSON.stringify({
        ...sum,
        from,
        weakness,
        seconds: Number(seconds.toFixed(1)),
        perSecond,
        faults,
        failed: failed.map(({ seed, violations }) => ({ seed, violations: violations.slice(0, 3) })),
      })}\n`,
    );
  return failed.length > 0 ? 1 : 0;
}

/** The same seed once more, with its trace. */
async function show(
  pool: SeedPool,
  { seed, hash }: SeedResult,
  { weakness }: SimulationOptions,
): Promise<void> {
  const order = { from: seed, count: 1, weakness, isTraced: true, untilFailure: true };
  await pool.run(order, 1, ([again]) => {
    if (!again) return;
    const at = again.trace.findIndex((line) => line.includes('VIOLATION'));
    const lines = again.trace.slice(Math.max(0, at - shownLines), at + 1);
    process.stdout.write(`seed ${seed}${again.hash === hash ? '' : ' (ran otherwise than before!)'}:\n`);
    process.stdout.write(`${lines.join('\n')}\n`);
  });
}

interface KeptSeed {
  seed: number;
  found: string;
}

function keep(file: string, failed: SeedResult[]): void {
  const kept = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as KeptSeed[]) : [];
  const fresh = failed.filter(({ seed }) => !kept.some((each) => each.seed === seed));
  if (fresh.length === 0) return;
  for (const { seed, violations } of fresh)
    kept.push({ seed, found: `${violations[0]?.rule}: ${violations[0]?.what}`.slice(0, 300) });
  writeFileSync(file, `${JSON.stringify(kept, null, 2)}\n`);
}

void main().then((code) => {
  process.exitCode = code;
});
