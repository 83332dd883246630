import fc from 'fast-check';
import { RefusedError } from '../../activities/errors';
import { checkInstruction } from '../../activities/instruction-check';
import { fuzzRuns, thrownBy } from './fuzz-runs';
import { hostileJson, mutationOf } from './hostile-values';

const lock = 'orders';
const tenure = { lock, region: 'east', pod: 'e1', leaseId: '7', token: 5, since: '2026-01-01T00:00:00.000Z' };
const who = { reason: 'maintenance', by: 'anna' };
const stamp = { lock, seq: 3 };

const valid: Record<Parameters<typeof checkInstruction>[0], object> = {
  awaitTenure: { ...stamp, afterToken: 4, paused: false },
  standDown: stamp,
  startListener: { ...stamp, tenure },
  renewLease: { ...stamp, tenure },
  drainAndHandOver: { ...stamp, tenure, switchId: 's1', targets: [{ region: 'west', pod: 'w1' }], ...who },
  releaseLock: { ...stamp, tenure, switchId: 's1', towards: 'west', ...who },
  abortSwitch: { lock, switchId: 's1', why: 'no answer' },
  force: { lock, force: { switchId: 's1', token: 5, to: 'west', waitFor: 'deadline', ...who } },
  crash: { lock, token: 5, drillId: 'd1', ...who },
  mark: { lock, mark: { kind: 'cordon', region: 'west', ...who } },
  inspectLock: { lock, gaps: true },
  probe: { lock },
  awaitSuccessor: { lock, switchId: 's1', waitMs: 5_000 },
  runHook: {
    lock,
    hook: 'freeze',
    stage: 'after-release',
    switchId: 's1',
    from: { region: 'east', pod: 'e1', token: 5 },
    to: null,
    receipt: null,
    ...who,
  },
  switchLock: { lock, to: 'west', switchId: 's1', ...who },
  whyNotSwitch: { lock, to: 'west' },
  activeRegion: { lock },
  awaitElsewhere: { lock, region: 'west', waitMs: 5_000 },
  crashTarget: { lock },
  awaitRecovery: { lock, token: 5, killedAt: '2026-01-01T00:00:00.000Z' },
};
const names = Object.keys(valid) as (keyof typeof valid)[];

test.each(names)('%s is let in as the workflows send it, and refused without any of its parts', (name) => {
  const input = valid[name];
  expect(() => checkInstruction(name, input)).not.toThrow();
  for (const part of Object.keys(input).filter((each) => !['paused', 'towards', 'gaps'].includes(each)))
    expect(() => checkInstruction(name, { ...input, [part]: undefined })).toThrow(RefusedError);
});

test.each([
  // Compared with it, no later number is too low: every stale instruction would pass.
  ['standDown', { lock, seq: 'z' }],
  ['standDown', { lock, seq: null }],
  // Of no kind it would take the pause away.
  ['mark', { lock, mark: { kind: 'x', ...who } }],
  ['mark', { lock, mark: { kind: 'cordon', ...who } }],
  // Neither would be taken for "do not wait for the old holder".
  ['force', { lock, force: { switchId: 's1', token: 5, to: 'west', ...who } }],
  ['force', { lock, force: { switchId: 's1', token: 5, to: 'west', waitFor: 'x', ...who } }],
  // It would ask etcd for ever.
  ['awaitSuccessor', { lock, switchId: 's1', waitMs: 'long' }],
  ['awaitSuccessor', { lock, switchId: 's1', waitMs: 1e300 }],
] as const)('%s %j is refused', (name, input) => {
  expect(() => checkInstruction(name, input)).toThrow(RefusedError);
});

test('whatever it is: let in or refused, never another error', () => {
  const input = fc
    .constantFrom(...names)
    .chain((name) =>
      fc
        .oneof({ weight: 4, arbitrary: mutationOf(valid[name]) }, { weight: 1, arbitrary: hostileJson })
        .map((value) => [name, value] as const),
    );
  fc.assert(
    fc.property(input, ([name, value]) => {
      const error = thrownBy(() => checkInstruction(name, value));
      const refused = error instanceof RefusedError;
      expect(refused ? null : error).toBeNull();
      const { lock: on, seq } = (value ?? {}) as { lock?: unknown; seq?: unknown };
      const bad = typeof on !== 'string' || ('seq' in valid[name] && !Number.isSafeInteger(seq));
      expect(bad && !refused).toBe(false);
    }),
    fuzzRuns(1_500),
  );
});
