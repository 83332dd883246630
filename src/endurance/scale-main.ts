/** `npm run scale`: many locks on four pods, of which one dies. */
import { readConditions } from '../bench/bench-file';
import { exitWith, onOwnServers } from './command';
import { enduranceHelp, parseEnduranceOptions } from './endurance-options';
import { runScale } from './scale';
import { scaleJson, scaleText } from './scale-report';

export const scaleOptions = {
  locks: { kind: 'number', min: 2, max: 2_000, default: 200, help: 'locks, each with a queue' },
  ttl: { kind: 'number', min: 2, max: 60, default: 10, help: 'lease TTL in seconds' },
  seconds: { kind: 'number', min: 10, max: 3_600, default: 60, help: 'how long to measure before the kill' },
  rate: { kind: 'number', min: 1, max: 10_000, default: 200, help: 'messages per second, of all locks' },
  profile: { kind: 'file', default: '', help: 'a folder for CPU profiles of all pods' },
  json: { kind: 'flag', help: 'at the end one line of JSON on standard output, all else on standard error' },
} as const;

const help = enduranceHelp(
  'npm run scale [-- OPTION…]: many locks, two regions with two pods each; what do they cost, and how long are\n' +
    'locks without a holder when the pod that holds half of them is killed?',
  scaleOptions,
  '0 inside the bounds, 1 not or the run failed, 2 bad input.',
);

export async function scaleCommand(argv: string[]): Promise<number> {
  const options = parseEnduranceOptions(argv, scaleOptions);
  if (options === 'help') {
    console.log(help);
    return 0;
  }
  const { locks, ttl, seconds, rate, profile, json } = options;
  return onOwnServers('scale', async (context) => {
    const plan = { locks, ttlSeconds: ttl, steadySeconds: seconds, rate };
    const result = await runScale(profile === '' ? plan : { ...plan, profile }, context);
    (json ? process.stderr : process.stdout).write(`\n${scaleText(result, readConditions(argv))}\n`);
    if (json) process.stdout.write(`${scaleJson(result)}\n`);
    return result.problems.length === 0 ? 0 : 1;
  });
}

if (require.main === module) exitWith('scale', scaleCommand(process.argv.slice(2)));
