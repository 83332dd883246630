import { uptime } from 'node:os';

/** A moment on both clocks: the monotonic one, which stops while a guest is suspended, and the kernel's uptime. */
export interface Moment {
  ns: bigint;
  uptimeMs: number;
}

export const now = (): Moment => ({ ns: process.hrtime.bigint(), uptimeMs: uptime() * 1000 });

/** An extension that a later linearizable read confirmed; everything counts from when it was *sent*. */
export interface ConfirmedExtension {
  sent: Moment;
  /** Granted TTL in ms. */
  ttlMs: number;
}

/** When the tenure must be over at the latest: send time plus TTL, minus the margin for clock drift. */
export function deadlineOf(extension: ConfirmedExtension, marginMs: number): bigint {
  return extension.sent.ns + BigInt(Math.floor((extension.ttlMs - marginMs) * 1e6));
}

export function msUntil(deadlineNs: bigint): number {
  return Number(deadlineNs - process.hrtime.bigint()) / 1e6;
}

/**
 * ms by which the two clocks have drifted apart since `since`. A suspended machine stops the monotonic clock
 * but not its lease in etcd, so a large value means that the deadline cannot be believed.
 */
export function suspendedMs(since: Moment): number {
  const current = now();
  return current.uptimeMs - since.uptimeMs - Number(current.ns - since.ns) / 1e6;
}
