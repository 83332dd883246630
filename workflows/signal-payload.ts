import type { RegionSettingsChange } from './contract';
import { isName, isQueueName, maxNameLength } from './names';
import type { Happening } from './region-event';
import { isRecord } from './shape';
import { readTrace } from './trace-context';

/**
 * Signals can be sent by anyone, with anything in them. Each is checked and cut to size before it is kept, so
 * that no payload can fail a workflow task or fill the state.
 */
const textLength = 500;

/** @param newId the switch id where the sender gave none */
export function readGracefulSwitch(
  payload: unknown,
  newId: string,
): Happening & { type: 'switch-requested' | 'malformed' } {
  if (!isRecord(payload))
    return malformed('gracefulSwitch', `expected an object, got ${kind(payload)}`, newId);
  const { switchId, to, reason, by } = payload;
  if (switchId != null && !isName(switchId))
    return malformed('gracefulSwitch', `switchId: ${wantsName}, got ${kind(switchId)}`, newId);
  const id = switchId ?? newId;
  if (to != null && !isName(to)) return malformed('gracefulSwitch', `to: ${wantsName}, got ${kind(to)}`, id);
  if (typeof reason !== 'string')
    return malformed('gracefulSwitch', `reason: expected text, got ${kind(reason)}`, id);
  if (typeof by !== 'string') return malformed('gracefulSwitch', `by: expected text, got ${kind(by)}`, id);
  const trace = readTrace(payload['trace']);
  const request = { switchId: id, to: to ?? null, reason: cut(reason), by: cut(by), ...(trace && { trace }) };
  return { type: 'switch-requested', request };
}

export function readPodReady(payload: unknown): Happening {
  if (!isRecord(payload) || !isName(payload['pod']) || !isQueueName(payload['queue']))
    return malformed('podReady', `pod and queue: ${wantsName}`);
  return { type: 'pod-ready', ready: { pod: payload['pod'], queue: payload['queue'] } };
}

export function readPodStopping(payload: unknown): Happening {
  if (!isRecord(payload) || !isName(payload['pod'])) return malformed('podStopping', `pod: ${wantsName}`);
  return { type: 'pod-stopping', stopping: { pod: payload['pod'], why: textOf(payload['why']) } };
}

export function readTenureEnded(payload: unknown): Happening {
  if (!isRecord(payload) || !isName(payload['pod'])) return malformed('tenureEnded', `pod: ${wantsName}`);
  const { pod, token, why } = payload;
  if (!Number.isSafeInteger(token))
    return malformed('tenureEnded', `token: expected a whole number, got ${kind(token)}`);
  return { type: 'tenure-ended', ended: { pod, token: token as number, why: textOf(why) } };
}

export function readRegionSettings(
  payload: unknown,
  read: (settings: unknown) => RegionSettingsChange['settings'] | { wrong: string },
): Happening {
  if (!isRecord(payload) || !isName(payload['pod'])) return malformed('regionSettings', `pod: ${wantsName}`);
  const settings = read(payload['settings']);
  if ('wrong' in settings) return malformed('regionSettings', `${settings.wrong} is not what is expected`);
  return { type: 'configured', change: { pod: payload['pod'], settings } };
}

export const wantsName = `expected 1 to ${maxNameLength} letters, digits, ".", "_" and "-"`;

export const wantsPerson = 'expected 1 to 200 characters';
/** Whoever answers for something: any text, but not none. */
export const isPerson = (value: unknown): value is string =>
  typeof value === 'string' && value.length > 0 && value.length <= 200;

const malformed = (signal: string, why: string, switchId?: string): Happening & { type: 'malformed' } => ({
  type: 'malformed',
  signal,
  why,
  ...(switchId === undefined ? {} : { switchId }),
});

const textOf = (value: unknown): string => (typeof value === 'string' ? cut(value) : 'no reason given');

/** What no UTF-8 can carry goes: half of a pair, sent so or cut so, would fail the task whose command has it. */
export const cut = (text: string): string =>
  text.slice(0, textLength).replaceAll(/\p{Surrogate}/gu, '\ufffd');

/** What somebody got wrong, without showing it. */
export function kind(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  return typeof value === 'string' ? `text of ${value.length} characters` : typeof value;
}
