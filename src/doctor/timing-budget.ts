import type { LockSettings } from '../config/config';
import { stopLimitMs } from '../config/stop-limit';
import { type Finding, findingsOf } from './finding';
import type { RoundTrip } from './round-trip';

export interface Measured {
  /** Of a linearizable read; `null` where etcd gave no answer. */
  etcd: RoundTrip | null;
  broker: RoundTrip | null;
  temporal: RoundTrip | null;
}

/** Within which a beat must reach its pod and be answered (workflows/pod-calls.ts). */
const beatLimitMs = 2_000;
/** What an election of etcd takes with its usual settings, as measured: one to two seconds. */
const electionMs = 2_000;
/** etcd looks for leases that have run out twice a second, and the successor begins. */
const takeoverMs = 1_000;

/** A setting that the measured round trips leave no room for. */
export interface BrokenRelation {
  setting: keyof LockSettings;
  value: number;
  /** Goes on where "<setting> is <value>: must be " ends. */
  expected: string;
}

/**
 * What cannot be safe, or cannot work at all, even with the shortest of the measured round trips. An extension is two of
 * them, a keepalive and the read that confirms it, and there must be time for two extensions.
 */
export function brokenRelations(settings: LockSettings, best: number): BrokenRelation[] {
  const { leaseTtlMs, deadlineMarginMs, keeperIntervalMs, requestTimeoutMs, verificationMaxAgeMs } = settings;
  const ms = `${best} ms at best`;
  const broken: BrokenRelation[] = [];
  if (best >= requestTimeoutMs)
    broken.push({
      setting: 'requestTimeoutMs',
      value: requestTimeoutMs,
      expected: `above the round trip to etcd, which takes ${ms}: no request would be answered in time`,
    });
  if (best >= verificationMaxAgeMs)
    broken.push({
      setting: 'verificationMaxAgeMs',
      value: verificationMaxAgeMs,
      expected: `above the round trip to etcd, which takes ${ms}: no message could start`,
    });
  const neededMs = Math.ceil(keeperIntervalMs + 4 * best + deadlineMarginMs);
  if (neededMs >= leaseTtlMs)
    broken.push({
      setting: 'leaseTtlMs',
      value: leaseTtlMs,
      expected: `above ${neededMs}: keeperIntervalMs (${keeperIntervalMs}), deadlineMarginMs (${deadlineMarginMs}) and two extensions of two round trips to etcd, which take ${ms} each`,
    });
  return broken;
}

/** Whether the times of one lock can hold what the guarantees promise, with what was measured. Pure. */
export function timingFindings(
  settings: LockSettings,
  measured: Measured,
  graceMs: number | null,
): Finding[] {
  const { name, leaseTtlMs, drainLimitMs, drill } = settings;
  const { ok, warning } = findingsOf('timing', name);
  const findings = [...etcdFindings(settings, measured.etcd), ...otherFindings(settings, measured)];
  const neededS = Math.ceil(stopLimitMs({ locks: [settings] }) / 1000);
  if (graceMs === null)
    findings.push(ok(`a shutdown takes up to ${neededS} s: give the container that much (--grace compares)`));
  else if (graceMs < neededS * 1000)
    findings.push(
      warning(
        `a shutdown takes up to ${neededS} s, and the container gives it ${graceMs / 1000} s: what is in flight by then is delivered again`,
        `a grace period of ${neededS} s, or a shorter drainLimitMs (${drainLimitMs})`,
      ),
    );
  else findings.push(ok(`a shutdown takes up to ${neededS} s of the container's ${graceMs / 1000} s`));
  const recoveryMs = leaseTtlMs + takeoverMs;
  if (drill.crashObjectiveMs !== null && drill.crashObjectiveMs < recoveryMs)
    findings.push(
      warning(
        `a dead pod is replaced within ${recoveryMs} ms, above drill.crashObjectiveMs (${drill.crashObjectiveMs})`,
        `a shorter leaseTtlMs (${leaseTtlMs}), or another objective`,
      ),
    );
  else findings.push(ok(`a dead pod is replaced within ${recoveryMs} ms: leaseTtlMs and a second`));
  return findings;
}

function etcdFindings(settings: LockSettings, etcd: RoundTrip | null): Finding[] {
  const { name, leaseTtlMs, deadlineMarginMs, keeperIntervalMs, requestTimeoutMs } = settings;
  const { ok, warning, error } = findingsOf('timing', name);
  if (etcd === null)
    return [warning('etcd gave no answer, so the budget of the lease is not known', 'see round trips')];
  const broken = brokenRelations(settings, etcd.best);
  if (broken.length > 0)
    return broken.map(({ setting, value, expected }) =>
      error(
        `${setting} is ${value}, and must be ${expected}`,
        `a longer ${setting}, or an etcd that is nearer`,
      ),
    );
  const findings: Finding[] = [];
  const slackMs = Math.floor(leaseTtlMs - deadlineMarginMs - keeperIntervalMs - 4 * etcd.median);
  if (2 * etcd.median >= requestTimeoutMs)
    findings.push(
      warning(
        `a round trip to etcd takes ${etcd.median} ms, more than half of requestTimeoutMs (${requestTimeoutMs})`,
        'a longer requestTimeoutMs and leaseTtlMs',
      ),
    );
  if (slackMs < electionMs)
    findings.push(
      warning(
        `etcd may be away for ${slackMs} ms before a tenure ends; electing a leader takes it up to ${electionMs} ms`,
        `a leaseTtlMs of ${leaseTtlMs + Math.ceil((electionMs - slackMs) / 500) * 1000} or more`,
      ),
    );
  else findings.push(ok(`etcd may be away for ${slackMs} ms before a tenure ends`));
  return findings;
}

function otherFindings({ name, queue }: LockSettings, { broker, temporal }: Measured): Finding[] {
  const { ok, warning, error } = findingsOf('timing', name);
  const findings: Finding[] = [];
  const near = 'Temporal nearer to the pods';
  if (temporal && temporal.best >= beatLimitMs)
    findings.push(
      error(
        `a round trip to Temporal takes ${temporal.best} ms, and a beat must end within ${beatLimitMs} ms`,
        near,
      ),
    );
  else if (temporal && 4 * temporal.median >= beatLimitMs)
    findings.push(
      warning(
        `a round trip to Temporal takes ${temporal.median} ms of the ${beatLimitMs} ms of a beat`,
        near,
      ),
    );
  else if (temporal)
    findings.push(ok(`a beat has time: ${temporal.median} ms to Temporal of ${beatLimitMs} ms`));
  if (broker && 2 * broker.median >= queue.heartbeatSeconds * 1000)
    findings.push(
      warning(
        `a round trip to the broker takes ${broker.median} ms, with a heartbeat of ${queue.heartbeatSeconds} s`,
        'a longer queue.heartbeatSeconds',
      ),
    );
  return findings;
}
