/** Runs made up for the checker: clean ones, in all variety, into which a test plants one fault. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';

export const changes = ['switch', 'kill', 'freeze', 'listener-restart'] as const;
export type Change = (typeof changes)[number];

export interface RunPlan {
  concurrency: number;
  tenures: {
    /** What ends it; the last one just ends. */
    change: Change;
    messages: number;
    /** In flight when it ends by force, up to `concurrency`; of those, so many had ended without their acknowledgement. */
    inFlight: number;
    endedUnacked: number;
    revisionStep: number;
  }[];
  /** What the handlers write to: nothing, a store that checks the token, and one that also keeps an inbox. */
  sink: 'none' | 'token' | 'inbox';
  deadLetter: boolean;
}

export const runPlan = (must?: Change): fc.Arbitrary<RunPlan> =>
  fc
    .record({
      concurrency: fc.integer({ min: 1, max: 4 }),
      tenures: fc.array(
        fc.record({
          change: fc.constantFrom(...changes),
          messages: fc.integer({ min: 3, max: 9 }),
          inFlight: fc.integer({ min: 1, max: 4 }),
          endedUnacked: fc.integer({ min: 0, max: 4 }),
          revisionStep: fc.integer({ min: 5, max: 40 }),
        }),
        { minLength: 2, maxLength: 5 },
      ),
      sink: fc.constantFrom('none', 'token', 'inbox'),
      deadLetter: fc.boolean(),
    })
    .map((plan) => {
      const [first, ...rest] = plan.tenures;
      return must && first ? { ...plan, tenures: [{ ...first, change: must }, ...rest] } : plan;
    });

export interface LedgerEntry {
  event: 'start' | 'end';
  lock: string;
  id: string;
  token: number;
  region: string;
  pod: string;
  pid: number;
  at: number;
  outcome?: string;
}

interface Line {
  at: number;
  [field: string]: unknown;
}

export interface TenureOfRun {
  token: number;
  pod: string;
  region: string;
  pid: number;
  lease: string;
  beganAt: number;
  lastEndAt: number;
  endedBy: Change | null;
  /** Messages that it finished, in order; the last ones may have been finished again by the next tenure. */
  finished: string[];
}

/** All that goes into the folder; times are ns after the beginning. */
export interface SyntheticRun {
  lock: string;
  run: Record<string, unknown>;
  published: { lock: string; id: string; sentAt: number; confirmedAt: number | null }[];
  ledger: LedgerEntry[];
  effects: Line[];
  faults: Line[];
  deaths: Line[];
  switches: {
    token: number | null;
    drainComplete: boolean | null;
    askedAt: number;
    answeredAt: number;
    [f: string]: unknown;
  }[];
  etcd: (Line & { revision: number; key: string; type: string })[];
  receipts: { lock: string; key: string; createRevision: number; value: Record<string, unknown> }[];
  queue: { lock: string; queue: string; ready: number; unacked: number; deadLettered: number };
  histories: Record<string, { events: Record<string, unknown>[] }>;
  tenures: TenureOfRun[];
}

export const lock = 'orders';
const regions = ['us-east', 'us-west'];
export const ms = 1e6;
const ttl = 6_000 * ms;

/** Carries the plan out on a clock of its own. Without a fault planted the checker must find nothing in it. */
export function makeRun({ concurrency, tenures: plans, sink, deadLetter }: RunPlan): SyntheticRun {
  const run: SyntheticRun = {
    lock,
    run: {
      seed: 7,
      minutes: 1,
      locks: [{ lock, queue: lock, regions, ttlMs: ttl / ms, concurrency, drainLimitMs: 10_000 }],
      faultKinds: ['pod-kill', 'pod-freeze-long'],
      sink: { exactlyOnce: sink === 'inbox' },
    },
    published: [],
    ledger: [],
    effects: [],
    faults: [],
    deaths: [],
    switches: [],
    etcd: [],
    receipts: [],
    queue: { lock, queue: lock, ready: 0, unacked: 0, deadLettered: deadLetter ? 1 : 0 },
    histories: {},
    tenures: [],
  };
  let now = 1_000 * ms;
  let revision = 10;
  let pid = 100;
  let nextId = 1;
  let again: string[] = [];
  let former: TenureOfRun | null = null;

  const publish = (): string => {
    const id = `m${nextId++}`;
    run.published.push({ lock, id, sentAt: now - 20 * ms, confirmedAt: now - 18 * ms });
    return id;
  };

  for (const [i, plan] of plans.entries()) {
    const change = former?.endedBy ?? null;
    const region: string = change === 'listener-restart' ? former!.region : regions[i % 2]!;
    const pod: string = change === 'listener-restart' ? former!.pod : `${region}-a-${i}`;
    revision += plan.revisionStep;
    const lease = change === 'listener-restart' ? former!.lease : String(7_000 + i);
    const cause = {
      switch: 'switch',
      kill: 'takeover',
      freeze: 'takeover',
      'listener-restart': 'listener-restart',
    };
    const tenure: TenureOfRun = {
      token: revision,
      pod,
      region,
      pid: ++pid,
      lease,
      beganAt: now,
      lastEndAt: now,
      endedBy: i === plans.length - 1 ? null : plan.change,
      finished: [],
    };
    run.tenures.push(tenure);
    const receiptValue = {
      id: `r${i}`,
      cause: change ? cause[change] : 'first',
      from: former && { region: former.region, pod: former.pod, token: former.token },
      to: { region, pod, token: 0 },
    };
    const inEtcd = { lock, revision, type: 'put', at: now };
    run.etcd.push({ ...inEtcd, key: `/baton/${lock}/holder`, value: { region, pod }, lease });
    run.etcd.push({ ...inEtcd, key: `/baton/${lock}/receipts/r${i}`, value: receiptValue, lease: '0' });
    run.receipts.push({
      lock,
      key: `/baton/${lock}/receipts/r${i}`,
      createRevision: revision,
      value: receiptValue,
    });
    if (change === 'switch') {
      const asked = {
        lock,
        id: `s${i}`,
        to: region,
        askedAt: former!.lastEndAt - 1,
        answeredAt: now + 2 * ms,
      };
      run.switches.push({ ...asked, outcome: 'done', token: revision, drainComplete: true });
    }

    const note = (event: 'start' | 'end', id: string, at: number, outcome?: string): void => {
      const line = { event, lock, id, token: tenure.token, region, pod, pid: tenure.pid, at };
      run.ledger.push(outcome === undefined ? line : { ...line, outcome });
    };
    const store = (id: string, at: number): void => {
      const isIn = run.effects.some((each) => each['id'] === id && each['accepted']);
      if (sink === 'none' || (sink === 'inbox' && isIn)) return;
      run.effects.push({ lock, id, token: tenure.token, at, accepted: true, reason: 'current' });
    };
    const work = (id: string, outcome = 'ok'): void => {
      note('start', id, now);
      now += 3 * ms;
      note('end', id, now, outcome);
      tenure.lastEndAt = now;
      if (outcome === 'ok') {
        tenure.finished.push(id);
        store(id, now);
      }
      now += 1 * ms;
    };
    now += 5 * ms;
    for (const id of again) work(id);
    again = [];
    if (deadLetter && i === 0) {
      const bad = publish();
      for (let attempt = 0; attempt < 3; attempt++) work(bad, 'threw');
    }
    for (let n = 0; n < plan.messages; n++) work(publish());

    const inFlight = Math.min(plan.inFlight, concurrency);
    const unacked = Math.min(plan.endedUnacked, inFlight);
    if (tenure.endedBy === 'kill' || tenure.endedBy === 'listener-restart') {
      const ids = Array.from({ length: inFlight }, publish);
      for (const id of ids) note('start', id, now);
      for (const id of ids.slice(0, unacked)) {
        note('end', id, now + 1 * ms, 'ok');
        store(id, now + 1 * ms);
      }
      now += 2 * ms;
      again = ids;
      const kind = tenure.endedBy === 'kill' ? 'pod-kill' : 'listener-kill';
      const fault = { fault: kind, id: i, target: pod, cause: 'the nemesis', pids: [tenure.pid] };
      run.faults.push(
        { ...fault, phase: 'begin', at: now },
        { ...fault, phase: 'end', at: now + 1_000 * ms },
      );
      run.deaths.push({ pid: tenure.pid, pod, role: 'listener', at: now });
      now += 10 * ms;
      if (tenure.endedBy === 'kill') {
        now += ttl;
        revision += 3;
        run.etcd.push({
          lock,
          revision,
          key: `/baton/${lock}/holder`,
          type: 'delete',
          value: null,
          lease: '0',
          at: now,
        });
        now += 10 * ms;
      }
    } else if (tenure.endedBy === 'freeze') {
      const id = publish();
      note('start', id, now);
      now += 1 * ms;
      const fault = {
        fault: 'pod-freeze-long',
        id: i,
        target: pod,
        cause: 'the nemesis',
        pids: [tenure.pid],
      };
      run.faults.push({ ...fault, phase: 'begin', at: now });
      now += ttl;
      revision += 3;
      run.etcd.push({
        lock,
        revision,
        key: `/baton/${lock}/holder`,
        type: 'delete',
        value: null,
        lease: '0',
        at: now,
      });
      now += 10 * ms;
      // Thawed while the next one works, it ends its message and is dead at once.
      const thawedAt = now + 8 * ms;
      run.faults.push({ ...fault, phase: 'end', at: thawedAt });
      note('end', id, thawedAt + 1 * ms, 'ok');
      if (sink !== 'none')
        run.effects.push({
          lock,
          id,
          token: tenure.token,
          at: thawedAt + 1 * ms,
          accepted: false,
          reason: 'stale',
        });
      run.deaths.push({ pid: tenure.pid, pod, role: 'listener', at: thawedAt + 2 * ms });
      again = [id];
    } else now += 20 * ms;
    former = tenure;
  }
  run.histories = historiesOf(former!);
  return run;
}

/** One run of each region's workflow, whose search attributes agree with the last tenure. */
function historiesOf({ region: active, token }: TenureOfRun): SyntheticRun['histories'] {
  const payload = (value: unknown): { data: string } => ({
    data: Buffer.from(JSON.stringify(value)).toString('base64'),
  });
  return Object.fromEntries(
    regions.map((region) => {
      const indexedFields = {
        BatonLock: payload(lock),
        BatonRegion: payload(region),
        BatonState: payload(region === active ? 'active' : 'standby'),
        BatonToken: payload(region === active ? token : null),
      };
      const events = [
        {
          eventType: 'EVENT_TYPE_WORKFLOW_EXECUTION_STARTED',
          eventTime: { seconds: '1795302237', nanos: 5 },
        },
        { eventType: 'EVENT_TYPE_WORKFLOW_TASK_COMPLETED' },
        {
          eventType: 'EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES',
          upsertWorkflowSearchAttributesEventAttributes: { searchAttributes: { indexedFields } },
        },
      ];
      return [`baton_${lock}_${region}-run.json`, { events }];
    }),
  );
}

const startedAt = 5_000_000_000_000n;

/** Into an empty folder. `torn`: the last line of every file that several lines may have is cut in the middle. */
export function writeRun(folder: string, run: SyntheticRun, torn = false): void {
  mkdirSync(join(folder, 'ledger'), { recursive: true });
  mkdirSync(join(folder, 'histories'));
  const monotonic = (value: unknown): unknown =>
    typeof value === 'number' ? String(startedAt + BigInt(Math.round(value))) : value;
  const text = (lines: object[]): string => {
    const whole = lines.map((line) => {
      const timed = Object.entries(line).map(([name, value]) => [
        name,
        name === 'at' || name.endsWith('At') ? monotonic(value) : value,
      ]);
      return `${JSON.stringify(Object.fromEntries(timed))}\n`;
    });
    return whole.join('') + (torn ? (whole.at(-1) ?? '').slice(0, 20) : '');
  };
  const write = (name: string, lines: object[]): void => writeFileSync(join(folder, name), text(lines));
  const wallClockAtStart = '2026-01-01T00:00:00.000Z';
  writeFileSync(
    join(folder, 'run.json'),
    JSON.stringify({ ...run.run, startedAt: String(startedAt), wallClockAtStart }),
  );
  for (const name of ['published', 'effects', 'faults', 'deaths', 'switches', 'etcd', 'receipts'] as const)
    write(`${name}.jsonl`, run[name]);
  for (const pid of new Set(run.ledger.map((line) => line.pid))) {
    const own = run.ledger.filter((line) => line.pid === pid).toSorted((a, b) => a.at - b.at);
    write(`ledger/${own[0]!.pod}-${pid}.jsonl`, own);
  }
  writeFileSync(join(folder, 'broker.json'), JSON.stringify({ queues: [run.queue] }));
  for (const [name, history] of Object.entries(run.histories))
    writeFileSync(join(folder, 'histories', name), JSON.stringify(history));
}
