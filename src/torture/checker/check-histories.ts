import { asList, asObject, asText, type Json } from './json-lines';
import type { Finding, RunEvidence, WorkflowHistory } from './run-evidence';

/** A few workflow tasks fail for reasons that pass, as a worker that ends in the middle of one. */
const stormAt = 3;
/** A signal that races continue-as-new: the task is tried again, and nothing is wrong. */
const harmless = /UNHANDLED_COMMAND|RESET_WORKFLOW|FORCE_CLOSE_COMMAND/;

/** Temporal's side: no failed workflow, no task that fails again and again, and a view that agrees with etcd at the end. */
export function checkHistories(evidence: RunEvidence): Finding[] {
  const findings: Finding[] = [];
  for (const { file, events } of evidence.histories) {
    const failed = events.find((event) => /EXECUTION_(FAILED|TIMED_OUT)$/.test(typeOf(event)));
    if (failed)
      findings.push({
        kind: 'workflow-failed',
        lock: null,
        ns: [],
        text: `the workflow of ${file} ended with ${typeOf(failed)}: ${JSON.stringify(failed).slice(0, 300)}`,
      });
    const causes = events.filter((event) => typeOf(event).endsWith('WORKFLOW_TASK_FAILED')).map(causeOf);
    const serious = causes.filter((cause) => !harmless.test(cause));
    if (serious.length >= stormAt)
      findings.push({
        kind: 'workflow-task-failures',
        lock: null,
        ns: [],
        text: `${serious.length} workflow tasks failed in ${file}: ${[...new Set(serious)].join('; ').slice(0, 300)}`,
      });
  }
  for (const { lock } of evidence.locks) findings.push(...findDisagreement(evidence, lock));
  return findings;
}

/** By the search attributes that the latest run of each region's workflow has shown last. */
function findDisagreement({ histories, etcd }: RunEvidence, lock: string): Finding[] {
  const latest = new Map<string, { began: number; view: View }>();
  for (const history of histories) {
    const view = viewOf(history);
    if (!view || view.lock !== lock) continue;
    const began = timeOf(history.events[0]);
    const known = latest.get(view.region);
    if (!known || began > known.began) latest.set(view.region, { began, view });
  }
  const last = etcd.findLast((event) => event.lock === lock && event.key === 'holder');
  const holder = last?.type === 'put' ? asObject(last.value) : null;
  return [...latest.values()].flatMap(({ view: { region, state, token } }) => {
    const holds = holder !== null && asText(holder['region']) === region;
    const says = `the workflow of ${lock}/${region} says ${state}${token === null ? '' : ` under token ${token}`} at the end`;
    const should = holds ? `holds under token ${last?.revision}` : 'does not hold';
    const agrees = holds ? state !== 'standby' && token === last?.revision : state !== 'active';
    return agrees
      ? []
      : { kind: 'workflow-disagrees' as const, lock, ns: [], text: `${says}, but in etcd it ${should}` };
  });
}

interface View {
  lock: string;
  region: string;
  state: string;
  token: number | null;
}

function viewOf({ events }: WorkflowHistory): View | null {
  const shown: Json = {};
  for (const event of events) {
    const attributes =
      asObject(event['upsertWorkflowSearchAttributesEventAttributes']) ??
      asObject(event['workflowExecutionStartedEventAttributes']);
    const fields = asObject(asObject(attributes?.['searchAttributes'])?.['indexedFields']);
    for (const [name, payload] of Object.entries(fields ?? {})) shown[name] = decode(asObject(payload));
  }
  if (typeof shown['BatonState'] !== 'string') return null;
  return {
    lock: asText(shown['BatonLock']),
    region: asText(shown['BatonRegion']),
    state: shown['BatonState'],
    token: typeof shown['BatonToken'] === 'number' ? shown['BatonToken'] : null,
  };
}

function decode(payload: Json | null): unknown {
  try {
    const value: unknown = JSON.parse(Buffer.from(asText(payload?.['data']), 'base64').toString('utf8'));
    // A keyword may come as a list of one.
    return Array.isArray(value) ? asList(value)[0] : value;
  } catch {
    // An attribute that was unset has no data.
    return null;
  }
}

/** As `EVENT_TYPE_WORKFLOW_TASK_FAILED` without its beginning, however the export wrote it. */
function typeOf(event: Json): string {
  const name = asText(event['eventType']);
  if (/^[A-Z_]+$/.test(name)) return name.replace(/^EVENT_TYPE_/, '');
  return name.replaceAll(/([a-z])([A-Z])/g, '$1_$2').toUpperCase();
}

function causeOf(event: Json): string {
  const attributes = asObject(event['workflowTaskFailedEventAttributes']);
  return [asText(attributes?.['cause']), asText(asObject(attributes?.['failure'])?.['message'])]
    .join(' ')
    .trim();
}

/** Seconds. */
function timeOf(event: Json | undefined): number {
  const time = event?.['eventTime'];
  const parts = asObject(time);
  if (parts) return Number(asText(parts['seconds'], '0')) + Number(asText(parts['nanos'], '0')) / 1e9;
  return Date.parse(asText(time)) / 1_000 || 0;
}
