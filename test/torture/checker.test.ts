import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import fc from 'fast-check';
import { checkDuplicates, type DuplicateCheck } from '../../src/torture/checker/check-duplicates';
import type { CheckReport, ViolationKind } from '../../src/torture/checker/check-report';
import { checkRun } from '../../src/torture/checker/check-run';
import type { Execution, LockOfRun, RunEvidence } from '../../src/torture/checker/run-evidence';
import {
  lock,
  makeRun,
  ms,
  runPlan,
  writeRun,
  type Change,
  type LedgerEntry,
  type SyntheticRun,
  type TenureOfRun,
} from './synthetic-run';

/** More of them on request: each run is a folder of ten files. */
const runs = { numRuns: Number(process.env['BATON_TEST_RUNS'] ?? 5) };

async function judge(
  run: SyntheticRun,
  spoil: (folder: string) => void = () => {},
  torn = false,
): Promise<CheckReport> {
  const folder = mkdtempSync(join(tmpdir(), 'baton-check-'));
  try {
    writeRun(folder, run, torn);
    spoil(folder);
    return await checkRun(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const kindsOf = ({ violations }: CheckReport): string[] =>
  violations.map(({ kind, text }) => `${kind}: ${text}`);

test('a clean run has no violation, whatever happened in it', async () => {
  await fc.assert(
    fc.asyncProperty(runPlan(), fc.boolean(), async (plan, torn) => {
      const run = makeRun(plan);
      const report = await judge(run, undefined, torn);
      expect(kindsOf(report)).toEqual([]);
      const frozen = run.tenures.filter(({ endedBy }) => endedBy === 'freeze').length;
      expect(report).toMatchObject({
        seed: 7,
        tenures: run.tenures.length,
        published: run.published.length,
        processed: run.published.length - run.queue.deadLettered,
        lost: 0,
        overlaps: 0,
        staleStarts: 0,
        duplicatesForbidden: 0,
        staleEffects: frozen,
        effects: plan.sink === 'inbox' ? run.published.length - run.queue.deadLettered : 0,
        refusedEffects: plan.sink === 'none' ? 0 : frozen,
      });
      const gaps = Object.values(report.gaps).reduce((sum, { n }) => sum + n, 0);
      expect(gaps).toBe(run.tenures.length - 1);
    }),
    { numRuns: 6 * runs.numRuns },
  );
});

interface Planted {
  kind: ViolationKind;
  /** How the first tenure ends. Default: by a planned switch. */
  after?: Change;
  /** At most so many. */
  tenures?: number;
  /** The store keeps an inbox. */
  inbox?: true;
  plant: (run: SyntheticRun, first: TenureOfRun, second: TenureOfRun) => void;
  /** Done to the folder itself. */
  spoil?: (folder: string) => void;
  report?: Partial<CheckReport>;
}

/** A message of its own, worked on once. */
function execute(run: SyntheticRun, by: TenureOfRun, at: number, more: Partial<LedgerEntry> = {}): string {
  const id = more.id ?? `extra-${run.ledger.length}`;
  const { token, region, pod, pid } = by;
  const line = { lock, id, token, region, pod, pid, ...more };
  run.ledger.push({ ...line, event: 'start', at }, { ...line, event: 'end', at: at + 1, outcome: 'ok' });
  if (more.id === undefined) run.published.push({ lock, id, sentAt: at - 9 * ms, confirmedAt: at - 8 * ms });
  return id;
}

const firstStart = (run: SyntheticRun, { token }: TenureOfRun): number =>
  Math.min(...run.ledger.filter((line) => line.token === token).map(({ at }) => at));
const holderKey = `/baton/${lock}/holder`;
const failedTask = (cause: string) => ({
  eventType: 'EVENT_TYPE_WORKFLOW_TASK_FAILED',
  workflowTaskFailedEventAttributes: { cause },
});
const firstHistory = (run: SyntheticRun) => Object.values(run.histories)[0]!.events;

const planted: Record<string, Planted> = {
  'an overlap of one message': {
    kind: 'overlap',
    plant(run, first, second) {
      const last = run.ledger.findLast(({ event, token }) => event === 'end' && token === first.token)!;
      last.at = firstStart(run, second) + 1;
    },
    report: { overlaps: 1 },
  },
  'an overlap by a process that was frozen, but not across the change': {
    kind: 'overlap',
    plant(run, first, second) {
      const last = run.ledger.findLast(({ event, token }) => event === 'end' && token === first.token)!;
      const [from, to] = [last.at - 2.5 * ms, last.at - 2 * ms];
      last.at = firstStart(run, second) + 1;
      // Thawed long before.
      for (const line of run.ledger.filter(({ token }) => token <= first.token))
        if (line !== last) line.at -= 3_000 * ms;
      const fault = { fault: 'pod-freeze-short', id: 99, target: first.pod, cause: '', pids: [first.pid] };
      run.faults.push(
        { ...fault, phase: 'begin', at: from - 3_000 * ms + ms },
        { ...fault, phase: 'end', at: to - 3_000 * ms + ms },
      );
    },
    report: { overlaps: 1 },
  },
  'a frozen handler that goes on long after its thaw': {
    kind: 'outlived-freeze',
    after: 'freeze',
    tenures: 2,
    plant(run, first) {
      const thaw = run.faults.find(
        ({ phase, pids }) => phase === 'end' && String(pids) === String(first.pid),
      )!;
      const own = run.ledger.filter(({ token }) => token === first.token);
      const end = own.toSorted((a, b) => a.at - b.at).at(-1)!;
      // The death, too: nothing is said of a process that runs on after it.
      for (const line of run.deaths) if (line['pid'] === first.pid) line.at = thaw.at + 2_500 * ms;
      end.at = thaw.at + 2_400 * ms;
      end.outcome = 'threw';
      run.effects = [];
    },
  },
  'a lost message': {
    kind: 'lost',
    plant(run, first) {
      const id = first.finished[1];
      run.ledger = run.ledger.filter((line) => line.id !== id);
    },
    report: { lost: 1 },
  },
  'a message that was only ever cut off': {
    kind: 'lost',
    plant(run, first) {
      const id = first.finished[1];
      run.ledger = run.ledger.filter((line) => line.id !== id || line.event === 'start');
    },
    report: { lost: 1 },
  },
  'a token that goes back': {
    kind: 'token-back',
    plant(run) {
      const [before, last] = run.tenures.slice(-2) as [TenureOfRun, TenureOfRun];
      const lower = before.token - 1;
      for (const line of run.ledger) if (line.token === last.token) line.token = lower;
      for (const line of run.etcd) if (line.revision === last.token) line.revision = lower;
      for (const line of run.receipts) if (line.createRevision === last.token) line.createRevision = lower;
      for (const line of run.switches) if (line.token === last.token) line.token = lower;
      run.effects = [];
      run.histories = {};
      run.run['without'] = ['histories'];
    },
  },
  'a stale holder that starts one more message': {
    kind: 'stale-start',
    plant: (run, first, second) => void execute(run, first, firstStart(run, second) + 1),
    report: { staleStarts: 1 },
  },
  'a thawed holder that starts one more message': {
    kind: 'stale-start',
    after: 'freeze',
    plant: (run, first, second) => void execute(run, first, firstStart(run, second) + 9 * ms),
    report: { staleStarts: 1 },
  },
  'a message started when the lease had run out, and nobody else had begun': {
    kind: 'start-without-lock',
    after: 'kill',
    plant(run, first, second) {
      const gone = run.etcd.find(({ type, at }) => type === 'delete' && at > first.lastEndAt)!;
      const fault = run.faults.find(({ pids }) => String(pids) === String(first.pid))!;
      // It lived on, and its lease had ended a while ago.
      gone.at = fault.at + 100 * ms;
      execute(run, first, firstStart(run, second) - 50 * ms);
      for (const line of run.deaths)
        if (line['pid'] === first.pid) line.at = firstStart(run, second) - 40 * ms;
      const unended = run.ledger.filter(({ token, at }) => token === first.token && at > first.lastEndAt);
      for (const line of unended)
        if (line.event === 'end' && !line.id.startsWith('extra')) line.outcome = 'threw';
    },
  },
  'a message under a token that nobody had': {
    kind: 'unknown-token',
    plant: (run, first, second) =>
      void execute(run, first, firstStart(run, second) - 10, { token: second.token - 1 }),
  },
  "a message under another pod's token": {
    kind: 'unknown-token',
    plant(run, first) {
      const id = first.finished[0];
      for (const line of run.ledger)
        if (line.id === id && line.token === first.token) line.pod = 'somebody-else';
    },
  },
  'a duplicate after a clean switch': {
    kind: 'duplicate-after-clean-switch',
    plant: (run, first, second) =>
      void execute(run, second, second.lastEndAt + 10, { id: first.finished.at(-1)! }),
    report: { duplicatesForbidden: 1 },
  },
  'a duplicate that a death after the switch does not excuse': {
    kind: 'duplicate-after-clean-switch',
    plant(run, first, second) {
      execute(run, second, second.lastEndAt + 10, { id: first.finished.at(-1)! });
      const answered = run.switches[0]!.answeredAt;
      run.deaths.push({ pid: first.pid, pod: first.pod, role: 'listener', at: answered + 100 * ms });
    },
    report: { duplicatesForbidden: 1 },
  },
  'a duplicate out of nothing': {
    kind: 'duplicate',
    plant: (run, first) => void execute(run, first, first.lastEndAt + 10, { id: first.finished[0]! }),
    report: { duplicatesForbidden: 1 },
  },
  "a duplicate that another process's death does not excuse": {
    kind: 'duplicate',
    plant(run, first) {
      execute(run, first, first.lastEndAt + 10, { id: first.finished[0]! });
      run.deaths.push({ pid: 9, pod: 'us-west-b', role: 'listener', at: first.lastEndAt });
    },
    report: { duplicatesForbidden: 1 },
  },
  'a duplicate that a cut off link of another pod does not excuse': {
    kind: 'duplicate',
    plant(run, first) {
      execute(run, first, first.lastEndAt + 10, { id: first.finished[0]! });
      const cut = { fault: 'net-cut', id: 50, cause: '', pids: [], at: first.lastEndAt, phase: 'begin' };
      run.faults.push(
        { ...cut, target: 'elsewhere-a to rabbitmq' },
        { ...cut, id: 51, target: `${first.pod} to etcd` },
      );
    },
    report: { duplicatesForbidden: 1 },
  },
  'one duplicate too many for one death': {
    kind: 'too-many-duplicates',
    after: 'kill',
    plant(run, first, second) {
      const [{ concurrency }] = run.run['locks'] as [{ concurrency: number }];
      const known = duplicatesOf(run, first, second);
      for (const id of first.finished.filter((each) => !known.has(each)).slice(-1))
        execute(run, second, second.lastEndAt + 10, { id });
      for (let n = known.size; n < concurrency; n++) {
        const id = `extra-${n}`;
        execute(run, first, first.lastEndAt, { id });
        run.published.push({ lock, id, sentAt: 1, confirmedAt: 2 });
        execute(run, second, second.lastEndAt + 20 + 2 * n, { id });
      }
    },
    report: { duplicatesForbidden: 1 },
  },
  'a missing receipt': { kind: 'missing-receipt', plant: (run) => void run.receipts.pop() },
  'two receipts of one change': {
    kind: 'receipt-twice',
    plant: (run) => void run.receipts.push({ ...run.receipts.at(-1)!, key: 'receipts/again' }),
  },
  'a receipt that names another holder': {
    kind: 'receipt-wrong',
    plant(run) {
      const receipt = run.receipts.at(-1)!;
      receipt.value = { ...receipt.value, to: { region: 'us-east', pod: 'nobody' } };
    },
  },
  'a receipt that names another former token': {
    kind: 'receipt-wrong',
    plant(run, first) {
      const receipt = run.receipts[1]!;
      receipt.value = {
        ...receipt.value,
        from: { region: first.region, pod: first.pod, token: first.token - 1 },
      };
    },
  },
  'a holder that was overwritten from outside': {
    kind: 'foreign-holder',
    plant(run) {
      const last = run.tenures.at(-1)!;
      const value = { region: 'us-east', pod: 'intruder' };
      run.etcd.push({
        lock,
        revision: last.token + 4,
        key: holderKey,
        type: 'put',
        value,
        lease: '1',
        at: last.lastEndAt + ms,
      });
      run.histories = {};
      run.run['without'] = ['histories'];
    },
  },
  'a store that takes an old token': {
    kind: 'sink-accepted-stale',
    plant(run, first, second) {
      const accepted = { lock, accepted: true, reason: 'current' };
      run.effects = [
        { ...accepted, id: 'm1', token: first.token, at: 1 },
        { ...accepted, id: 'm2', token: second.token, at: 2 },
        { ...accepted, id: 'm3', token: first.token, at: 3 },
        { ...accepted, id: 'm4', token: second.token, at: 4 },
      ];
    },
  },
  'a store that takes a message twice': {
    kind: 'effect-twice',
    inbox: true,
    plant: (run) => void run.effects.push(run.effects.at(-1)!),
  },
  'a store that has nothing of a finished message': {
    kind: 'effect-missing',
    inbox: true,
    plant: (run, first) => void (run.effects = run.effects.filter(({ id }) => id !== first.finished[1])),
  },
  'a store that has what nobody published': {
    kind: 'effect-unknown',
    inbox: true,
    plant: (run) => void run.effects.push({ ...run.effects.at(-1)!, id: 'invented' }),
  },
  'messages left in the queue': { kind: 'left-behind', plant: (run) => void (run.queue.ready = 1) },
  'a failed workflow': {
    kind: 'workflow-failed',
    plant: (run) => void firstHistory(run).push({ eventType: 'EVENT_TYPE_WORKFLOW_EXECUTION_FAILED' }),
  },
  'workflow tasks that fail again and again': {
    kind: 'workflow-task-failures',
    plant(run) {
      firstHistory(run).push(
        ...Array.from({ length: 9 }, () => failedTask('WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND')),
      );
      firstHistory(run).push(
        ...Array.from({ length: 3 }, () => failedTask('WORKFLOW_TASK_FAILED_CAUSE_NON_DETERMINISTIC_ERROR')),
      );
    },
  },
  'a workflow that still believes in the tenure before': {
    kind: 'workflow-disagrees',
    plant(run) {
      const { token, region } = run.tenures.at(-1)!;
      const upsert = run.histories[`baton_${lock}_${region}-run.json`]!.events.at(-1)!;
      const attributes = upsert['upsertWorkflowSearchAttributesEventAttributes'] as {
        searchAttributes: { indexedFields: Record<string, unknown> };
      };
      attributes.searchAttributes.indexedFields['BatonToken'] = {
        data: Buffer.from(String(token - 1)).toString('base64'),
      };
    },
  },
  'a file that is missing': {
    kind: 'missing-evidence',
    plant: () => {},
    spoil: (folder) => rmSync(join(folder, 'published.jsonl')),
  },
  'a broken line in the middle': {
    kind: 'unreadable',
    plant: () => {},
    spoil(folder) {
      const file = join(folder, 'etcd.jsonl');
      writeFileSync(file, `{"lock":\n${readFileSync(file, 'utf8')}`);
    },
  },
};

/** Messages that the clean run already finished twice around the change. */
function duplicatesOf(run: SyntheticRun, first: TenureOfRun, second: TenureOfRun): Set<string> {
  const ended = (token: number): string[] =>
    run.ledger
      .filter((line) => line.event === 'end' && line.token === token && line.outcome === 'ok')
      .map(({ id }) => id);
  const before = new Set(ended(first.token));
  return new Set(ended(second.token).filter((id) => before.has(id)));
}

test.each(Object.entries(planted))(
  '%s is found, and nothing else',
  async (_name, { kind, after, tenures, inbox, plant, spoil, report }) => {
    await fc.assert(
      fc.asyncProperty(runPlan(after ?? 'switch'), async (plan) => {
        // What is planted in the ledger alone would, with an inbox, be missing from the store as well.
        const sink = inbox ? 'inbox' : plan.sink === 'inbox' ? 'token' : plan.sink;
        const run = makeRun({ ...plan, sink, tenures: plan.tenures.slice(0, tenures) });
        const [first, second] = run.tenures as [TenureOfRun, TenureOfRun];
        plant(run, first, second);
        const found = await judge(run, spoil);
        expect(kindsOf(found)).toEqual([expect.stringMatching(`^${kind}: `)]);
        expect(found).toMatchObject(report ?? {});
      }),
      runs,
    );
  },
);

describe('a message that had ended three seconds before the death of its process, and came again,', () => {
  const second = 1_000 * ms;
  const execution = (id: string, token: number, startNs: number, endNs: number | null): Execution => ({
    ...{ lock: 'orders', id, token, region: 'us-east', pod: `pod-${token}`, pid: token, ok: endNs !== null },
    ...{ startNs, endNs, untilNs: endNs ?? 5 * second },
  });
  const check = (...more: Execution[]): DuplicateCheck =>
    checkDuplicates(
      {
        ...{ connectionEnds: [], faults: [], switches: [], etcd: [] },
        executions: [
          execution('m1', 1, 1 * second, 2 * second),
          ...more,
          execution('m1', 2, 6 * second, 7 * second),
        ],
        deaths: [{ pid: 1, pod: 'pod-1', ns: 5 * second }],
      } as unknown as RunEvidence,
      { lock: 'orders', concurrency: 2 } as LockOfRun,
    );

  test('is explained when the next one kept the event loop to itself from then on', () => {
    expect(check(execution('block', 1, 2 * second + ms, null))).toMatchObject({ allowed: 1, forbidden: 0 });
  });

  test.each([
    ['nothing', []],
    [
      'another message that ended later',
      [
        ['m2', 3 * second],
        ['block', null],
      ],
    ],
  ] as [string, [string, number | null][]][])('is not explained by %s', (_, others) => {
    const more = others.map(([id, endNs]) => execution(id, 1, 2 * second + ms, endNs));
    expect(check(...more)).toMatchObject({ allowed: 0, forbidden: 1, findings: [{ kind: 'duplicate' }] });
  });
});

test('around a violation all logs are shown on one axis of time', async () => {
  const [plan] = fc.sample(runPlan('switch'), { numRuns: 1, seed: 3 });
  const run = makeRun({ ...plan!, sink: 'token' });
  const [first, second] = run.tenures as [TenureOfRun, TenureOfRun];
  execute(run, first, firstStart(run, second) + 1, { id: 'the-stale-one' });
  const { violations } = await judge(run);
  const lines = violations[0]!.interleaving.split('\n');
  expect(lines.filter((line) => line.startsWith('>>'))).toEqual([
    expect.stringContaining('start the-stale-one'),
  ]);
  expect(lines.join('\n')).toMatch(/etcd {2}put holder revision/);
  expect(lines.join('\n')).toMatch(/switch {2}s1 done/);
  const times = lines.map((line) => Number(/([\d.]+) s/.exec(line)?.[1]));
  expect(times).toEqual(times.toSorted((a, b) => a - b));
});

test('the checker imports nothing but itself and Node', () => {
  const folder = resolve(__dirname, '../../src/torture/checker');
  const imports = readdirSync(folder).flatMap((name) =>
    [...readFileSync(join(folder, name), 'utf8').matchAll(/(?:from |import\(|require\()\s*'([^']+)'/g)].map(
      (found) => found[1]!,
    ),
  );
  expect(imports.length).toBeGreaterThan(20);
  expect(imports.filter((name) => !/^(\.\/[\w-]+$|node:)/.test(name))).toEqual([]);
});
