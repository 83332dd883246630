import type { SeenKey } from './control-run';

interface Reign {
  pod: string;
  token: number;
  beganNs: bigint;
}

/** Between etcd's commit and our stamp of it the leader may have begun. */
const stampNs = 50_000_000n;

/**
 * Who led, by a peer's own keys in etcd. Of several keys, each of a contender, the oldest leads (etcd's Election); of a
 * single one, whose value names the leader, whoever stands there (a Kubernetes Lease).
 */
export class Leadership {
  readonly events: object[] = [];
  private readonly keys = new Map<string, { pod: string; createRevision: number }>();
  private readonly reigns: Reign[] = [];
  private leader: string | null = null;

  constructor(private readonly lock: string) {}

  take({ key, type, value, revision, createRevision, lease, at }: SeenKey): void {
    const pod = new RegExp(`${this.lock}-\\d+`).exec(value.toString('latin1'))?.[0];
    if (type === 'delete') this.keys.delete(key);
    else if (pod !== undefined) this.keys.set(key, { pod, createRevision });
    const oldest = [...this.keys.values()].toSorted((a, b) => a.createRevision - b.createRevision)[0];
    const leader = oldest?.pod ?? null;
    if (leader === this.leader) return;
    this.leader = leader;
    const event = { lock: this.lock, revision, key: `/baton/${this.lock}/holder`, lease, at };
    if (leader === null) {
      this.events.push({ ...event, type: 'delete', value: null });
      return;
    }
    this.reigns.push({ pod: leader, token: revision, beganNs: BigInt(at) });
    this.events.push({ ...event, type: 'put', value: { pod: leader } });
  }

  /** The revision at which the reign began in which this contender believed itself at that time. */
  tokenOf(pod: string, ns: bigint): number {
    const own = this.reigns.filter((reign) => reign.pod === pod);
    return (own.findLast(({ beganNs }) => beganNs <= ns + stampNs) ?? own[0])?.token ?? 0;
  }
}
