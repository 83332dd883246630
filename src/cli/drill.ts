import { checkRegion } from './chosen-locks';
import { type CommandSpec, configOption, jsonOption, parseCommand, UsageError } from './command-line';
import { whoAmI, whoOptions, withClient } from './operator-command';
import { fields } from './table';
import { readSpan } from './time-text';

const spec = {
  name: 'drill',
  summary: 'a planned switch and back, with the gaps measured',
  options: {
    to: { value: 'REGION', required: true, help: 'the region to become active for a while' },
    'return-after': { value: 'SPAN', required: true, help: 'as 90s, 10m, 2h' },
    ...whoOptions,
    lock: { value: 'LOCK', required: true, help: 'the lock' },
    objective: { value: 'MS', whole: { min: 1, max: 86_400_000 }, help: 'what each gap may be at most' },
    ...configOption,
    ...jsonOption,
  },
  notes:
    'It runs as a workflow of its own: Ctrl-C ends the waiting, not the drill. When somebody else changes the holder\nmeanwhile, the drill ends and leaves it alone. Exit code 0 when it passed.',
} as const satisfies CommandSpec;

export async function run(argv: string[]): Promise<number> {
  const options = parseCommand(spec, argv);
  if ('help' in options) {
    console.log(options.help);
    return 0;
  }
  const { to, reason, by = whoAmI(), lock, objective, json } = options;
  const returnAfterMs = readSpan(options['return-after']);
  if (returnAfterMs === null)
    throw new UsageError(`--return-after is ${options['return-after']}: must be like 90s, 10m, 2h`);
  return withClient({ ...options, lock: [lock] }, async (client) => {
    checkRegion(client.config, '--to', to);
    const objectiveMs = objective === undefined ? null : Number(objective);
    const report = await client.drill({ lock, to, reason, by, returnAfterMs, objectiveMs });
    const { outcome, why, from, there, back } = report;
    const gap = (of: typeof back): string =>
      of?.receipt ? `${of.receipt.gapMs ?? 'unknown'} ms` : (of?.why ?? '-');
    if (json) console.log(JSON.stringify({ drill: report }));
    else
      console.log(
        fields([
          ['drill', `${outcome}: ${why}`],
          ['lock', lock],
          ['there', `${from} → ${to}, gap ${gap(there)}`],
          ['back', back ? `${to} → ${from}, gap ${gap(back)}` : '-'],
        ]),
      );
    return outcome === 'passed' ? 0 : 1;
  });
}
