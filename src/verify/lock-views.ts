/** Who is active, by the word of one of the four kinds of views. */
export interface Claim {
  /** `region/pod`, or how somebody else is known to the broker. */
  party: string;
  /** `null` where the view knows none: a broker has consumers, not tenures. */
  token: number | null;
}

export type ViewName = 'etcd' | 'workflow' | 'pod' | 'broker';

/** One source's word on one lock. */
export interface View {
  view: ViewName;
  /** Which one of its kind: a region, several that share a broker, or `region/pod`. */
  of: string;
  /** `no`: it could not be asked. `not-configured`: it was not, by the configuration or for want of an address. */
  reached: 'yes' | 'no' | 'not-configured';
  /** Who is active by its word; empty for nobody, and where it was not reached. */
  claims: Claim[];
  /** One sentence in its own words, or why it was not reached. */
  says: string;
}

export interface Holder {
  region: string;
  pod: string;
  token: number;
}

/** Everything that was heard, before it is compared. */
export interface Readings {
  lock: string;
  queue: string;
  /** `away`: etcd did not answer, and why. */
  etcd: { holder: Holder | null } | { away: string };
  /** `pods`: candidates that etcd shows in the region. */
  workflows: {
    region: string;
    pods: number;
    reading:
      | { running: true; phase: string; tenure: Holder | null; why: string }
      | { running: false }
      | { away: string };
  }[];
  pods: {
    region: string;
    pod: string;
    /** `holds`: the token of the tenure that runs there; `ok`: and it consumes. */
    reading: { holds: number | null; ok: boolean; why: string } | { away: string } | { unknown: string };
  }[];
  brokers: {
    regions: string[];
    reading:
      | { consumers: { region: string; pod: string }[]; others: string[] }
      | { away: string }
      | { unknown: string };
  }[];
}

export interface Comparison {
  lock: string;
  /** `unknown`: what could be asked agrees, but not everything could be. */
  verdict: 'agree' | 'disagree' | 'unknown';
  /** Two at once say that they hold the lock, or consume its queue. */
  overlap: boolean;
  holder: Holder | null;
  /** What does not fit, one sentence each. */
  disagreements: string[];
  views: View[];
}

const nobody = 'nobody';
const named = ({ region, pod }: { region: string; pod: string }): string => `${region}/${pod}`;
const described = (holder: Holder | null): string =>
  holder ? `${named(holder)} with token ${holder.token}` : nobody;

/** Compares every view with etcd's, which decides. Pure. */
export function compareViews(readings: Readings): Comparison {
  const { lock, etcd } = readings;
  const holder = 'away' in etcd ? null : etcd.holder;
  const disagreements: string[] = [];
  const views: View[] = [etcdView(readings)];
  const known = !('away' in etcd);
  const compare = (view: View, problem: string | null): void => {
    views.push(view);
    if (known && problem !== null) disagreements.push(problem);
  };
  for (const each of readings.workflows) compare(...workflowView(each, holder));
  for (const each of readings.pods) compare(...podView(each, holder));
  for (const each of readings.brokers) compare(...brokerView(readings, each, holder));
  const overlap = overlapOf(views);
  if (overlap !== null) disagreements.push(overlap);
  const isAway = views.some(({ reached }) => reached === 'no');
  const verdict = disagreements.length > 0 ? 'disagree' : isAway ? 'unknown' : 'agree';
  return { lock, verdict, overlap: overlap !== null, holder, disagreements, views };
}

function etcdView({ etcd }: Readings): View {
  const base = { view: 'etcd', of: '' } as const;
  if ('away' in etcd) return { ...base, reached: 'no', claims: [], says: etcd.away };
  const { holder } = etcd;
  const claims = holder ? [{ party: named(holder), token: holder.token }] : [];
  return { ...base, reached: 'yes', claims, says: `${described(holder)} holds it` };
}

type Judged = [View, string | null];

function workflowView(
  { region, pods, reading }: Readings['workflows'][number],
  holder: Holder | null,
): Judged {
  const base = { view: 'workflow', of: region, claims: [] as Claim[] } as const;
  if ('away' in reading) return [{ ...base, reached: 'no', says: reading.away }, null];
  const own = holder?.region === region ? holder : null;
  if (!reading.running) {
    const view: View = { ...base, reached: 'yes', says: 'it is not running' };
    if (own) return [view, `the workflow of ${region} is not running, while etcd shows ${described(own)}`];
    if (pods === 0) return [view, null];
    return [
      view,
      `the workflow of ${region} is not running: ${pods === 1 ? 'its pod does' : `its ${pods} pods do`} not stand for the lock`,
    ];
  }
  const { phase, tenure, why } = reading;
  const claims = tenure ? [{ party: named(tenure), token: tenure.token }] : [];
  const view: View = {
    ...base,
    reached: 'yes',
    claims,
    says: why.startsWith(`${phase}:`) ? why : `${phase}: ${why}`,
  };
  if (tenure?.token === own?.token) return [view, null];
  return [view, `the workflow of ${region} says ${described(tenure)}, etcd says ${described(holder)}`];
}

function podView({ region, pod, reading }: Readings['pods'][number], holder: Holder | null): Judged {
  const of = named({ region, pod });
  const base = { view: 'pod', of, claims: [] as Claim[] } as const;
  if ('away' in reading) return [{ ...base, reached: 'no', says: reading.away }, null];
  if ('unknown' in reading) return [{ ...base, reached: 'not-configured', says: reading.unknown }, null];
  const { holds, ok, why } = reading;
  const claims = holds === null ? [] : [{ party: of, token: holds }];
  const view: View = { ...base, reached: 'yes', claims, says: why };
  const own = holder?.pod === pod ? holder : null;
  if (!own)
    return [view, holds === null ? null : `${of} says that it ${why}, etcd says ${described(holder)}`];
  if (holds !== own.token) return [view, `etcd says ${described(own)}, the pod itself: ${why}`];
  return [view, ok ? null : `${of} holds the lock and does not work: ${why}`];
}

function brokerView(
  { queue }: Readings,
  { regions, reading }: Readings['brokers'][number],
  holder: Holder | null,
): Judged {
  const of = regions.join(', ');
  const base = { view: 'broker', of, claims: [] as Claim[] } as const;
  if ('away' in reading) return [{ ...base, reached: 'no', says: reading.away }, null];
  if ('unknown' in reading) return [{ ...base, reached: 'not-configured', says: reading.unknown }, null];
  const parties = [...new Set([...reading.consumers.map(named), ...reading.others])];
  const claims = parties.map((party) => ({ party, token: null }));
  const says = `${queue} is consumed by ${parties.join(' and ') || nobody}`;
  const view: View = { ...base, reached: 'yes', claims, says };
  const expected = holder && regions.includes(holder.region) ? named(holder) : null;
  const wrong = parties.filter((party) => party !== expected);
  if (wrong.length > 0)
    return [
      view,
      `the broker of ${of} has ${wrong.join(' and ')} as consumer of ${queue}, etcd says ${described(holder)}`,
    ];
  if (expected !== null && parties.length === 0)
    return [view, `the broker of ${of} has no consumer of ${queue}, etcd says ${described(holder)}`];
  return [view, null];
}

/** Of those who are at work by their own word, or the broker's. What etcd or a workflow believe starts no message. */
function overlapOf(views: View[]): string | null {
  const atWork = views
    .filter(({ view }) => view === 'pod' || view === 'broker')
    .flatMap(({ claims }) => claims.map(({ party }) => party));
  const parties = [...new Set(atWork)];
  return parties.length > 1 ? `${parties.length} are at it at once: ${parties.join(', ')}` : null;
}
