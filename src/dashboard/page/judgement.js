/** One sentence on a lock, and how bad it is. */
import { ago, causeText, count, gapText, now, span, wayText } from './text.js';

const isReady = ({ state, standing, holds }) => !holds && state === 'ready' && standing;
export const readyPods = (card) => card.pods.filter(isReady);

/** `level`: `good`, `warn` or `bad`; `state`: one word or two; `text`: who is active. */
export function judge(card) {
  const { holder, etcdAway, freeSince, regions, paused, blocked, readAt } = card;
  const held = holder ? `${holder.region} is active` : 'nobody is active';
  if (etcdAway) {
    const last = readAt === 0 ? 'never read' : `${ago(readAt)} ago: ${held}`;
    return {
      level: 'bad',
      state: 'unknown',
      text: `etcd unreachable for ${ago(etcdAway.since)}; last known ${last}`,
    };
  }
  if (readAt === 0) return { level: 'warn', state: 'unknown', text: 'not read yet' };
  if (!holder) {
    const reason = paused
      ? `paused by ${paused.who}: ${paused.why}`
      : blocked
        ? `blocked: ${blocked}`
        : readyPods(card).length === 0
          ? 'no pod is ready to take over'
          : 'a ready pod takes over when the old lease is gone';
    return { level: 'bad', state: 'gap', text: `nobody is active for ${ago(freeSince)}; ${reason}` };
  }
  const left = leaseLeftMs(card);
  if (left !== null && left <= 0)
    return {
      level: 'bad',
      state: 'overdue',
      text: `the lease of ${holder.pod} was not extended; it may be dead`,
    };
  const state = regions.find(({ region }) => region === holder.region)?.state ?? 'active';
  if (state === 'draining')
    return {
      level: 'warn',
      state: 'draining',
      text: `${holder.region} finishes what is in flight, to hand over`,
    };
  const since = `${holder.region} is active for ${ago(holder.since)}`;
  const worry = worryOf(card);
  return { level: worry ? 'warn' : 'good', state: 'active', text: worry ? `${since}; ${worry}` : since };
}

function worryOf(card) {
  const { holder, paused, flapping, regions, switchUnderWay } = card;
  if (switchUnderWay) return `switch to ${switchUnderWay.to ?? 'another region'}: ${switchUnderWay.why}`;
  if (paused) return `paused by ${paused.who}: ${paused.why}`;
  if (flapping) return 'too many automatic changes: stays here until baton ack';
  const ready = readyPods(card);
  if (ready.length === 0) return 'no standby is ready';
  if (regions.length > 1 && !ready.some(({ region }) => region !== holder.region))
    return 'no other region is ready';
  const cordoned = regions.filter((region) => region.cordoned).map(({ region }) => region);
  return cordoned.length > 0 ? `${cordoned.join(', ')} cordoned` : null;
}

export function leaseLeftMs({ holder, ttlLeftMs, readAt }) {
  if (!holder || ttlLeftMs === null) return null;
  // etcd tells whole seconds, rounded down.
  return ttlLeftMs + 999 - (now() - readAt);
}

export function standbyText(card) {
  const ready = readyPods(card);
  const others = card.pods.filter(({ holds }) => !holds);
  if (others.length === 0) return 'no: no other pod is registered';
  const by = card.regions.flatMap(({ region }) => {
    const own = others.filter((pod) => pod.region === region);
    return own.length === 0 ? [] : [`${region} ${own.filter(isReady).length} of ${own.length}`];
  });
  return `${ready.length > 0 ? 'yes' : 'no'}: ${by.join(', ')}`;
}

/** What can be known of it from here: receipts and the pods' counters. */
export function lossText({ totals }, [last]) {
  const parts = [];
  if (totals)
    parts.push(
      totals.deadLettered === 0 && totals.failed === 0
        ? `no failed attempt of ${count(totals.processed)}`
        : `${count(totals.deadLettered)} dead-lettered, ${count(totals.failed)} failed attempts of ${count(totals.processed)}`,
    );
  else parts.push('counters not known');
  if (last) {
    const { cause, drained, requeued } = last;
    if (drained !== null)
      parts.push(`last change finished ${drained} in flight and returned ${requeued ?? 0}`);
    else if (cause === 'takeover') parts.push('after the last takeover, what was unacknowledged came again');
  }
  return parts.join('; ');
}

export const lastChangeText = (receipt) =>
  `${causeText(receipt.cause)} ${wayText(receipt)}${receipt.from ? `, gap ${gapText(receipt)}` : ''}`;

export function drillText({ report, at }) {
  const { objectiveMs, outcome, why, kind } = report;
  const objective = objectiveMs === null ? 'no objective' : `objective ${span(objectiveMs)}`;
  const measured =
    kind === 'crash'
      ? report.recoveryMs === null
        ? null
        : `recovered in ${span(report.recoveryMs)}`
      : gapsOf(report);
  return { at, outcome, objective, measured: measured ?? 'not measured', why, kind };
}

function gapsOf({ there, back }) {
  const gaps = [there, back].flatMap((report) => report?.receipt?.gapMs ?? []);
  return gaps.length === 0 ? null : `gaps ${gaps.map((ms) => span(ms)).join(', ')}`;
}
