import { asList, asNumber, asText, type Json } from './json-lines';
import type { Fault } from './run-evidence';

/** Joins the begin and the end of each fault. */
export function joinFaults(lines: Json[], time: (value: unknown) => number): Fault[] {
  const faults = new Map<string, Fault>();
  for (const line of lines) {
    const key = `${asText(line['fault'])}#${asText(line['id'])}`;
    const known = faults.get(key);
    const pids = asList(line['pids']).flatMap((each) => asNumber(each) ?? []);
    if (line['phase'] === 'end') {
      if (known) known.endNs = time(line['at']);
      continue;
    }
    if (known) {
      known.pids.push(...pids);
      continue;
    }
    faults.set(key, {
      key,
      kind: asText(line['fault']),
      target: asText(line['target']),
      cause: asText(line['cause']),
      pids,
      beginNs: time(line['at']),
      endNs: Number.POSITIVE_INFINITY,
    });
  }
  return [...faults.values()];
}

/** Its processes stood still from begin to end. */
export const isFreeze = ({ kind }: Fault): boolean => /freez|sigstop|suspend|pause/i.test(kind);

const servers = /rabbit|broker|amqp|etcd|temporal/i;

/** A connection to the broker may have ended, or stood still until the broker gave it up. */
export const touchesBroker = ({ kind, target }: Fault): boolean =>
  /rabbit|broker|amqp/i.test(`${kind} ${target}`) ||
  (/^(net|network|partition)\b/i.test(kind) && !servers.test(`${kind} ${target}`));

/** Of a link's fault, written as `POD to SERVER`, the pod; `null` where the fault concerns all. */
export const podOfLink = ({ target }: Fault): string | null => /^(\S+) to /.exec(target)?.[1] ?? null;

/** Ends connections again and again while it lasts. */
export const isRepeated = ({ kind }: Fault): boolean => /reset|loss/i.test(kind);
