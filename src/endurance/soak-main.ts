/** `npm run soak`: load and switches for a long time; does anything grow? */
import { resolve } from 'node:path';
import { readConditions } from '../bench/bench-file';
import { exitWith, onOwnServers } from './command';
import { enduranceHelp, parseEnduranceOptions } from './endurance-options';
import { runSoak } from './soak';
import { soakJson, soakText, writeSoakHtml } from './soak-report';

export const soakOptions = {
  minutes: { kind: 'number', min: 1, max: 10_080, default: 60, help: 'how long' },
  'switch-seconds': {
    kind: 'number',
    ...{ min: 5, max: 3_600, default: 60 },
    help: 'from one switch of all locks to the next',
  },
  locks: { kind: 'number', min: 1, max: 50, default: 2, help: 'locks, each with a queue' },
  rate: { kind: 'number', min: 1, max: 10_000, default: 100, help: 'messages per second, of all locks' },
  json: { kind: 'flag', help: 'at the end one line of JSON on standard output, all else on standard error' },
  html: { kind: 'file', default: 'bench/latest.soak.html', help: 'where the report with pictures goes' },
} as const;

const help = enduranceHelp(
  'npm run soak [-- OPTION…]: an hour of load with a switch each minute; leases, watches, connections, channels,\n' +
    'processes, descriptors, memory and histories of the first quarter are compared with those of the last.',
  soakOptions,
  '0 nothing leaks, 1 something does or the run failed, 2 bad input.',
);

/** Readings of a run, at least; for a week not more than each minute. */
const wantedReadings = 400;

export async function soakCommand(argv: string[]): Promise<number> {
  const options = parseEnduranceOptions(argv, soakOptions);
  if (options === 'help') {
    console.log(help);
    return 0;
  }
  const { minutes, 'switch-seconds': switchSeconds, locks, rate, json, html } = options;
  const readingSeconds = Math.min(60, Math.max(2, (minutes * 60) / wantedReadings));
  return onOwnServers('soak', async (context) => {
    const plan = { minutes, switchSeconds, readingSeconds, locks, rate };
    const result = await runSoak(plan, context);
    const conditions = readConditions(argv);
    (json ? process.stderr : process.stdout).write(`\n${soakText(result, conditions)}\n`);
    writeSoakHtml(html, result, conditions);
    process.stderr.write(`\nreport with pictures: ${resolve(html)}\n`);
    if (json) process.stdout.write(`${soakJson(result)}\n`);
    return result.problems.length === 0 ? 0 : 1;
  });
}

if (require.main === module) exitWith('soak', soakCommand(process.argv.slice(2)));
