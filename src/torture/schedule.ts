import { seededRandom } from '../bench/random';
import {
  type Area,
  faultCatalogue,
  type FaultName,
  type PodRole,
  podRoles,
  type ServerName,
  serverNames,
} from './fault-catalogue';

/** One fault as the seed has drawn it. Times in milliseconds. */
export interface PlannedFault {
  /** Counts from 1 through the whole schedule. */
  id: number;
  kind: FaultName;
  /** After the begin of its round. */
  afterMs: number;
  lastsMs: number;
  /** Which pod, for faults of a pod or of its link. */
  role: PodRole | null;
  /** At the other end of a link. */
  server: ServerName | null;
  /** From 0 to 1: how slow, how much, which member. */
  strength: number;
}

/** A planned switch to the region that is not active by then. */
export interface PlannedSwitch {
  id: number;
  afterMs: number;
}

/** What happens together. The next round begins when the system has recovered and rested. */
export interface Round {
  /** After the begin of the schedule, if every round takes as long as planned. */
  atMs: number;
  faults: PlannedFault[];
  switches: PlannedSwitch[];
  lastsMs: number;
  restMs: number;
}

export interface ScheduleOptions {
  seed: number;
  minutes: number;
  faults: readonly FaultName[];
  ttlMs: number;
}

const pairShare = 0.4;
const switchShare = 0.5;
/** For the recovery from a fault, in the plan: a run may take longer, and then gets through fewer rounds. */
const recoveryMs = 4_000;
/** Who has drawn in vain so often takes a single fault. */
const maxDraws = 8;

/** The same seed and options give the same schedule. Every kind comes once before any comes again. */
export function planSchedule({ seed, minutes, faults, ttlMs }: ScheduleOptions): Round[] {
  const random = seededRandom(seed);
  const bag = new ShuffleBag(faults, random);
  const rounds: Round[] = [];
  let nextId = 1;
  const plan = (kind: FaultName, withinMs: number): PlannedFault => {
    const { area } = faultCatalogue[kind];
    const role = area === 'pod' || area === 'link' ? drawRole(random) : null;
    return {
      id: nextId++,
      kind,
      afterMs: Math.round(random() * withinMs),
      lastsMs: durationOf(kind, ttlMs, random()),
      role,
      server: area === 'link' ? serverNames[Math.floor(random() * serverNames.length)]! : null,
      strength: Math.round(random() * 1000) / 1000,
    };
  };
  for (let atMs = 0; atMs < minutes * 60_000;) {
    const chosen = [plan(bag.draw(), 500)];
    if (random() < pairShare) {
      const second = drawPartner(bag, chosen[0]!);
      if (second !== undefined) chosen.push(plan(second, chosen[0]!.lastsMs * 0.8));
    }
    separate(chosen);
    const faultsEndMs = Math.max(...chosen.map(({ afterMs, lastsMs }) => afterMs + lastsMs));
    const switches: PlannedSwitch[] = [];
    // Half of them while something is broken, half of them before the next round.
    if (random() < switchShare)
      switches.push({ id: rounds.length + 1, afterMs: Math.round(random() * (faultsEndMs + 6_000)) });
    const lastsMs = Math.max(faultsEndMs, ...switches.map(({ afterMs }) => afterMs));
    const restMs = Math.round(1_000 + random() * 2_000);
    rounds.push({ atMs, faults: chosen, switches, lastsMs, restMs });
    atMs += lastsMs + recoveryMs + restMs;
  }
  return rounds;
}

/** One line for each fault and switch, as a run prints them before it begins. */
export function scheduleText(rounds: readonly Round[]): string {
  return rounds
    .flatMap(({ atMs, faults, switches }) => [
      ...faults.map((fault) => ({
        at: atMs + fault.afterMs,
        text: `${faultText(fault)} for ${seconds(fault.lastsMs)}`,
      })),
      ...switches.map(({ afterMs }) => ({
        at: atMs + afterMs,
        text: 'planned switch to the region that is not active',
      })),
    ])
    .toSorted((a, b) => a.at - b.at)
    .map(({ at, text }) => `${seconds(at).padStart(8)}  ${text}`)
    .join('\n');
}

/** `#3 net-cut: holder to etcd (0.42)`. */
export function faultText({ id, kind, role, server, strength }: PlannedFault): string {
  const where = [role, server].filter((part) => part !== null).join(' to ');
  return `#${id} ${kind}${where === '' ? '' : `: ${where}`} (${strength})`;
}

/** Faults of one area would undo each other, but for two pods and two links. */
export function excludeEachOther(one: FaultName, other: FaultName): boolean {
  const [a, b]: [Area, Area] = [faultCatalogue[one].area, faultCatalogue[other].area];
  if (one === other) return true;
  const podAreas: Area[] = ['pod', 'all-pods'];
  if (podAreas.includes(a) && podAreas.includes(b)) return a === 'all-pods' || b === 'all-pods';
  // A start that needs etcd would find the etcd that the other fault stops.
  if (a === 'all-pods' || b === 'all-pods') return [a, b].includes('etcd');
  return a === b && a !== 'message' && a !== 'link';
}

function drawPartner(bag: ShuffleBag, { kind }: PlannedFault): FaultName | undefined {
  const passed: FaultName[] = [];
  let found: FaultName | undefined;
  for (let draw = 0; draw < maxDraws && found === undefined; draw++) {
    const candidate = bag.draw();
    if (excludeEachOther(kind, candidate)) passed.push(candidate);
    else found = candidate;
  }
  bag.putBack(passed);
  return found;
}

/** Two faults of a pair on pods hit two different ones. */
function separate(faults: PlannedFault[]): void {
  const onPods = faults.filter(({ role }) => role !== null);
  const [first, second] = onPods;
  if (first && second && first.role === second.role) second.role = first.role === 'holder' ? 'far' : 'holder';
}

function drawRole(random: () => number): PodRole {
  // The holder is where it matters most.
  return random() < 0.6 ? 'holder' : podRoles[1 + Math.floor(random() * 2)]!;
}

function durationOf(kind: FaultName, ttlMs: number, share: number): number {
  const { lasts } = faultCatalogue[kind];
  const [from, to] = 'ttl' in lasts ? lasts.ttl.map((times) => times * ttlMs) : lasts.ms;
  return Math.round(from! + share * (to! - from!));
}

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;

/** Gives every kind once before any comes again. */
class ShuffleBag {
  private readonly left: FaultName[] = [];

  constructor(
    private readonly all: readonly FaultName[],
    private readonly random: () => number,
  ) {}

  draw(): FaultName {
    if (this.left.length === 0) this.left.push(...this.all);
    return this.left.splice(Math.floor(this.random() * this.left.length), 1)[0]!;
  }

  putBack(names: FaultName[]): void {
    this.left.push(...names);
  }
}
