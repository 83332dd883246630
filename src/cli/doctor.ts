import type { Finding } from '../doctor/finding';
import { chosenLocks } from './chosen-locks';
import { type CommandSpec, configOption, jsonOption, type Options, runParsed } from './command-line';
import { lockOption } from './operator-command';
import { counted } from './table';

const spec = {
  name: 'doctor',
  summary: 'check versions, clocks, round trips, permissions, queues and the timing budget',
  options: {
    ...lockOption,
    grace: {
      value: 'SECONDS',
      whole: { min: 0, max: 86_400 },
      help: "the containers' grace period, to compare the drain limit with",
    },
    ...configOption,
    ...jsonOption,
  },
  notes:
    'Changes nothing. Every line is ok, warning or error, with what to change.\n' +
    'Exit code 0 without an error, 1 with one.',
} as const satisfies CommandSpec;

export const run = (argv: string[]): Promise<number> => runParsed(spec, argv, work);

async function work(options: Options<typeof spec>): Promise<number> {
  const [{ loadConfig }, { Servers }, { examine }] = await Promise.all([
    import('../config/load-config.js'),
    import('../client/servers.js'),
    import('../doctor/doctor.js'),
  ]);
  const config = loadConfig({
    ...(options.config !== undefined && { file: options.config }),
    env: process.env,
    checkHandlers: false,
    cwd: process.cwd(),
  });
  config.locks = chosenLocks(config, options.lock);
  const servers = new Servers(config, (problem) => console.error(`baton: ${problem}`));
  try {
    const graceMs = options.grace === undefined ? null : Number(options.grace) * 1000;
    const findings = await examine(config, servers, graceMs);
    console.log(options.json ? JSON.stringify({ findings }) : doctorText(findings));
    return findings.some(({ verdict }) => verdict === 'error') ? 1 : 0;
  } finally {
    await servers.close();
  }
}

/** Everything that `baton doctor` prints. */
export function doctorText(findings: Finding[]): string {
  const lines = findings.flatMap(({ area, of, verdict, why, change }, index) => [
    ...(findings[index - 1]?.area === area ? [] : [area]),
    `  ${verdict.padEnd(7)}  ${of}: ${why}`,
    ...(change === undefined ? [] : [`           change: ${change}`]),
  ]);
  const count = (verdict: Finding['verdict']): number =>
    findings.filter((each) => each.verdict === verdict).length;
  return [
    ...lines,
    `${count('ok')} ok, ${counted(count('warning'), 'warning')}, ${counted(count('error'), 'error')}`,
  ].join('\n');
}
