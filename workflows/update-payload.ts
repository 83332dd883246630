import { ApplicationFailure } from '@temporalio/workflow';
import { type Approval, type Force, type Mark, turnedDown } from './contract';
import type { Happening } from './region-event';
import { isName } from './names';
import { isRecord } from './shape';
import { cut, isPerson, kind, readGracefulSwitch, wantsName, wantsPerson } from './signal-payload';

/** Updates, too, can be sent by anyone, with anything in them. Whoever sent it is told what is wrong. */
export const turnDown = (why: string): ApplicationFailure =>
  ApplicationFailure.create({ type: turnedDown, message: why, nonRetryable: true });

/**
 * An update waits on the server for a pod that could take it in, also after its sender has given it up: what was asked
 * before `notAfter` (ms since 1970) must not happen to a lock that others have changed since.
 */
function inTime(payload: Record<string, unknown>, update: string): void {
  const { notAfter } = payload;
  if (notAfter === undefined) return;
  if (typeof notAfter !== 'number')
    throw turnDown(`${update}: notAfter: expected a number, got ${kind(notAfter)}`);
  const lateMs = Date.now() - notAfter;
  if (lateMs > 0)
    throw turnDown(`${update}: comes ${Math.round(lateMs / 1_000)} s too late, and is not carried out`);
}

/** @throws ApplicationFailure of the type `turnedDown`; so do the readers below. */
export function readSwitchTo(payload: unknown): Happening & { type: 'switch-requested' } {
  const read = readGracefulSwitch(payload, '');
  if (read.type === 'malformed') throw turnDown(`switchTo: ${read.why}`);
  if (read.request.switchId === '') throw turnDown(`switchTo: switchId: ${wantsName}, got nothing`);
  inTime(payload as Record<string, unknown>, 'switchTo');
  return read;
}

export function readAbortSwitch(payload: unknown): Happening & { type: 'abort-requested' } {
  if (!isRecord(payload)) throw turnDown(`abortSwitch: expected an object, got ${kind(payload)}`);
  const { switchId, reason, by } = payload;
  if (!isName(switchId)) throw turnDown(`abortSwitch: switchId: ${wantsName}, got ${kind(switchId)}`);
  if (typeof reason !== 'string') throw turnDown(`abortSwitch: reason: expected text, got ${kind(reason)}`);
  if (typeof by !== 'string') throw turnDown(`abortSwitch: by: expected text, got ${kind(by)}`);
  inTime(payload, 'abortSwitch');
  return { type: 'abort-requested', switchId, reason: cut(reason), by: cut(by) };
}

export function readApprove(payload: unknown): Approval {
  if (!isRecord(payload)) throw turnDown(`approve: expected an object, got ${kind(payload)}`);
  const { switchId, verdict, reason, by } = payload;
  if (!isName(switchId)) throw turnDown(`approve: switchId: ${wantsName}, got ${kind(switchId)}`);
  if (verdict !== 'approve' && verdict !== 'veto')
    throw turnDown(`approve: verdict: expected approve or veto, got ${kind(verdict)}`);
  if (typeof reason !== 'string') throw turnDown(`approve: reason: expected text, got ${kind(reason)}`);
  if (!isPerson(by)) throw turnDown(`approve: by: ${wantsPerson}, got ${kind(by)}`);
  inTime(payload, 'approve');
  return { switchId, verdict, reason: cut(reason), by: cut(by) };
}

export function readForce(payload: unknown): Force {
  if (!isRecord(payload)) throw turnDown(`force: expected an object, got ${kind(payload)}`);
  const { switchId, token, to, reason, by, waitFor } = payload;
  if (!isName(switchId)) throw turnDown(`force: switchId: ${wantsName}, got ${kind(switchId)}`);
  if (!isName(to)) throw turnDown(`force: to: ${wantsName}, got ${kind(to)}`);
  if (!Number.isSafeInteger(token))
    throw turnDown(`force: token: expected a whole number, got ${kind(token)}`);
  if (typeof reason !== 'string') throw turnDown(`force: reason: expected text, got ${kind(reason)}`);
  if (typeof by !== 'string') throw turnDown(`force: by: expected text, got ${kind(by)}`);
  if (waitFor !== 'deadline' && waitFor !== 'nothing')
    throw turnDown(`force: waitFor: expected deadline or nothing, got ${kind(waitFor)}`);
  inTime(payload, 'force');
  return { switchId, token: token as number, to, reason: cut(reason), by: cut(by), waitFor };
}

export function readMark(what: Mark['kind'], payload: unknown): Mark {
  if (!isRecord(payload)) throw turnDown(`${what}: expected an object, got ${kind(payload)}`);
  const { region, reason, by } = payload;
  if (typeof reason !== 'string') throw turnDown(`${what}: reason: expected text, got ${kind(reason)}`);
  if (typeof by !== 'string') throw turnDown(`${what}: by: expected text, got ${kind(by)}`);
  inTime(payload, what);
  const who = { reason: cut(reason), by: cut(by) };
  if (what === 'pause' || what === 'resume' || what === 'ack') return { kind: what, ...who };
  if (!isName(region)) throw turnDown(`${what}: region: ${wantsName}, got ${kind(region)}`);
  return { kind: what, region, ...who };
}

/** `to`: the region asked about, `null` for all others. */
export function readPreflight(payload: unknown): { to: string | null } {
  if (!isRecord(payload)) throw turnDown(`preflight: expected an object, got ${kind(payload)}`);
  const { to } = payload;
  if (to != null && !isName(to)) throw turnDown(`preflight: to: ${wantsName}, got ${kind(to)}`);
  return { to: to ?? null };
}
