import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { joinExecutions } from './executions';
import { joinFaults } from './faults';
import { asList, asNumber, asObject, asText, readJsonFile, readJsonLines, type Json } from './json-lines';
import type { EtcdEvent, LedgerLine, LockOfRun, LogLine, RunEvidence, WorkflowHistory } from './run-evidence';

/** The folder is not one of a run: nothing can be said of it. */
export class NoRunError extends Error {}

const defaults = { ttlMs: 6_000, concurrency: 1, drainLimitMs: 10_000, verificationMaxAgeMs: 1_000 };

/** @throws NoRunError when there is no `run.json`, or it names no lock. */
export function readRunFolder(folder: string): RunEvidence {
  const unreadable: string[] = [];
  const missing: string[] = [];
  const complain = (problem: string): number => unreadable.push(problem);
  const run = readJsonFile(join(folder, 'run.json'), complain);
  if (!run) throw new NoRunError(`${folder} is not the folder of a run: expected a readable run.json in it`);
  const locks = asList(run['locks']).flatMap((each) => readLock(asObject(each)));
  if (locks.length === 0)
    throw new NoRunError(`run.json in ${folder} names no lock: expected "locks": [{"lock": …}]`);
  const origin = BigInt(asText(run['startedAt'], '0'));
  const without = new Set(asList(run['without']).map((each) => asText(each)));

  const time = (value: unknown): number => Number(BigInt(asText(value, '0')) - origin);
  const timeOrNull = (value: unknown): number | null =>
    value === null || value === undefined ? null : time(value);
  const lines = (name: string): Json[] => {
    const found = readJsonLines(join(folder, name), complain);
    const kind = name.split('.')[0] ?? name;
    if (!found && !without.has(kind)) missing.push(name);
    return found ?? [];
  };

  const ledgerFolder = join(folder, 'ledger');
  if (!existsSync(ledgerFolder)) missing.push('ledger/');
  const processes = filesIn(ledgerFolder, '.jsonl').map((name) =>
    (readJsonLines(join(ledgerFolder, name), complain) ?? []).map((line) => readLedgerLine(line, name, time)),
  );
  const deaths = lines('deaths.jsonl').map((line) => ({
    pid: asNumber(line['pid']) ?? 0,
    pod: asText(line['pod']),
    role: asText(line['role']),
    ns: time(line['at']),
  }));
  const faults = joinFaults(lines('faults.jsonl'), time);
  const broker = readJsonFile(join(folder, 'broker.json'), complain);
  if (!broker && !without.has('broker')) missing.push('broker.json');
  const historyFolder = join(folder, 'histories');
  const histories = filesIn(historyFolder, '.json').flatMap((name): WorkflowHistory[] => {
    const json = readJsonFile(join(historyFolder, name), complain);
    if (!json) return [];
    const events = asList(json['events'] ?? asObject(json['history'])?.['events']);
    const workflowId = typeof json['workflowId'] === 'string' ? json['workflowId'] : null;
    return [{ file: name, workflowId, events: events.map(asObject).filter((each) => each !== null) }];
  });
  if (histories.length === 0 && !without.has('histories')) missing.push('histories/');

  return {
    seed: asNumber(run['seed']) ?? (asText(run['seed']) || null),
    minutes: asNumber(run['minutes']),
    locks,
    without,
    published: lines('published.jsonl').map((line) => ({
      lock: asText(line['lock']),
      id: asText(line['id']),
      sentNs: time(line['sentAt']),
      confirmedNs: timeOrNull(line['confirmedAt']),
    })),
    executions: joinExecutions(processes, deaths, complain),
    faults,
    deaths,
    connectionEnds: (readJsonLines(join(folder, 'connections.jsonl'), complain) ?? []).map((line) => ({
      lock: asText(line['lock']),
      pod: asText(line['pod']),
      ns: time(line['at']),
    })),
    switches: (readJsonLines(join(folder, 'switches.jsonl'), complain) ?? []).map((line) => ({
      lock: asText(line['lock']),
      id: asText(line['id']),
      askedNs: time(line['askedAt']),
      answeredNs: timeOrNull(line['answeredAt']),
      outcome: asText(line['outcome']),
      token: asNumber(line['token']),
      drainComplete: typeof line['drainComplete'] === 'boolean' ? line['drainComplete'] : null,
    })),
    etcd: lines('etcd.jsonl').map((line) => readEtcdEvent(line, time)),
    receipts: lines('receipts.jsonl').map((line) => ({
      lock: asText(line['lock']),
      key: asText(line['key']),
      createRevision: asNumber(line['createRevision']) ?? 0,
      value: line['value'],
    })),
    effects: (readJsonLines(join(folder, 'effects.jsonl'), complain) ?? []).map((line) => ({
      lock: asText(line['lock']),
      id: asText(line['id']),
      token: asNumber(line['token']) ?? 0,
      ns: time(line['at']),
      accepted: line['accepted'] === true,
      reason: asText(line['reason']),
      sequence: asNumber(line['sequence']),
    })),
    exactlyOnce: asObject(run['sink'])?.['exactlyOnce'] === true,
    queues: asList(broker?.['queues']).flatMap((each) => {
      const queue = asObject(each);
      if (!queue) return [];
      return {
        lock: asText(queue['lock']),
        ready: asNumber(queue['ready']) ?? 0,
        unacked: asNumber(queue['unacked']) ?? 0,
        deadLettered: asNumber(queue['deadLettered']) ?? 0,
      };
    }),
    histories,
    unreadable,
    missing,
    readLogs: () => readLogs(join(folder, 'logs'), Date.parse(asText(run['wallClockAtStart']))),
  };
}

function readLock(json: Json | null): LockOfRun[] {
  if (!json || asText(json['lock']) === '') return [];
  const number = (name: keyof typeof defaults): number => asNumber(json[name]) ?? defaults[name];
  return [
    {
      lock: asText(json['lock']),
      queue: asText(json['queue']),
      regions: asList(json['regions']).map((each) => asText(each)),
      ttlMs: number('ttlMs'),
      concurrency: number('concurrency'),
      drainLimitMs: number('drainLimitMs'),
      verificationMaxAgeMs: number('verificationMaxAgeMs'),
    },
  ];
}

function readLedgerLine(line: Json, file: string, time: (value: unknown) => number): LedgerLine {
  return {
    event: line['event'] === 'end' ? 'end' : 'start',
    lock: asText(line['lock']),
    id: asText(line['id']),
    token: asNumber(line['token']) ?? -1,
    region: asText(line['region']),
    pod: asText(line['pod']),
    pid: asNumber(line['pid']) ?? Number(/-(\d+)\.jsonl$/.exec(file)?.[1] ?? 0),
    ns: time(line['at']),
    outcome: typeof line['outcome'] === 'string' ? line['outcome'] : null,
  };
}

function readEtcdEvent(line: Json, time: (value: unknown) => number): EtcdEvent {
  const lock = asText(line['lock']);
  const key = asText(line['key']);
  const prefix = `/baton/${lock}/`;
  const lease = asText(line['lease']);
  return {
    lock,
    revision: asNumber(line['revision']) ?? 0,
    key: key.startsWith(prefix) ? key.slice(prefix.length) : key,
    type: line['type'] === 'delete' ? 'delete' : 'put',
    value: line['value'],
    lease: lease === '' || lease === '0' ? null : lease,
    ns: time(line['at']),
  };
}

const filesIn = (folder: string, end: string): string[] =>
  existsSync(folder)
    ? readdirSync(folder)
        .filter((name) => name.endsWith(end))
        .toSorted()
    : [];

const infoLevel = 30;

/** What was said at level info or above. A pod's wall clock may have been stepped on purpose: then its lines are off. */
function readLogs(folder: string, wallClockAtStart: number): LogLine[] {
  if (Number.isNaN(wallClockAtStart)) return [];
  return filesIn(folder, '.log').flatMap((name) =>
    readFileSync(join(folder, name), 'utf8')
      .split('\n')
      .flatMap((line): LogLine[] => {
        if (!line.startsWith('{') || !line.endsWith('}')) return [];
        try {
          const { time, level, msg, reason, token } = JSON.parse(line) as Json;
          if (typeof level === 'number' && level < infoLevel) return [];
          const at = typeof time === 'number' ? time : Date.parse(asText(time));
          if (Number.isNaN(at)) return [];
          const details = [reason && `(${asText(reason)})`, token && `token ${asText(token)}`];
          const text = [asText(msg), ...details.filter(Boolean)].join(' ');
          return [{ source: name, ns: (at - wallClockAtStart) * 1e6, text }];
        } catch {
          // Nothing is judged by a pod's own log.
          return [];
        }
      }),
  );
}
