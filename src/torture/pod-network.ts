import { execFile, spawn, spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { readlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Reaper } from '../dev/reaper';

const run = promisify(execFile);

/** Networks of four addresses in 198.18.0.0/15, which is set aside for tests between networks (RFC 2544). */
const firstNetwork = ((198 << 24) | (18 << 16)) >>> 0;
const networks = 2 ** 15;
const tries = 5;
const startLimitMs = 10_000;

/** To the servers, or from them. */
export type PacketDirection = 'out' | 'in';

/** One sentence part on why pods cannot have networks of their own on this machine; `null`: they can. */
export function whyNoPodNetworks(): string | null {
  const { status, error, stderr } = spawnSync('unshare', ['--net', 'iptables', '-w', '5', '-S'], {
    encoding: 'utf8',
  });
  if (status === 0 && spawnSync('ip', ['-V']).status === 0) return null;
  const why = (error?.message ?? stderr).trim().split('\n')[0];
  return `needs root, unshare, ip and iptables${why ? ` (${why})` : ''}`;
}

/**
 * A network namespace for the processes of one pod. Its only way out ends at an address of this machine, where the
 * proxies to the servers must listen. Packets can be dropped there, with no word to either side. It is gone when the
 * pod's processes and the one that holds it are.
 */
export class PodNetwork {
  private constructor(
    private readonly holderPid: number,
    /** This machine's, as the pod sees it. */
    readonly outerAddress: string,
  ) {}

  /** @throws when the machine refuses; see {@link whyNoPodNetworks}. */
  static async create(reaper: Reaper): Promise<PodNetwork> {
    const holder = spawn('unshare', ['--net', 'sleep', 'infinity'], {
      stdio: 'ignore',
      detached: true,
      env: { ...process.env, ...reaper.environment },
    });
    const { pid } = holder;
    if (pid === undefined) throw new Error('unshare could not be started');
    reaper.watch(pid, { group: true });
    holder.unref();
    await untilSeparate(pid);
    for (let attempt = 1; ; attempt++) {
      const number = randomInt(networks);
      try {
        await run('ip', [
          'link',
          'add',
          `baton${number}`,
          'type',
          'veth',
          'peer',
          'name',
          'eth0',
          'netns',
          String(pid),
        ]);
        return await new PodNetwork(pid, addressIn(number, 1)).configure(number);
      } catch (error) {
        if (attempt === tries) throw error;
      }
    }
  }

  /** Put before a command, it runs in this network, under the same pid. */
  get prefix(): readonly string[] {
    return ['nsenter', `--net=/proc/${this.holderPid}/ns/net`, '--'];
  }

  /**
   * From now on drops TCP packets to (or from) this port of the outer address.
   *
   * @param share of the packets, at random, above 0 to 1
   * @returns what ends it
   */
  async drop(direction: PacketDirection, port: number, share = 1): Promise<() => Promise<void>> {
    const end =
      direction === 'out'
        ? ['OUTPUT', '-p', 'tcp', '-d', this.outerAddress, '--dport', String(port)]
        : ['INPUT', '-p', 'tcp', '-s', this.outerAddress, '--sport', String(port)];
    const random =
      share < 1 ? ['-m', 'statistic', '--mode', 'random', '--probability', share.toFixed(3)] : [];
    const rule = [...end, ...random, '-j', 'DROP'];
    await this.inside('iptables', '-w', '5', '-A', ...rule);
    return async () => void (await this.inside('iptables', '-w', '5', '-D', ...rule));
  }

  close(): void {
    try {
      process.kill(this.holderPid, 'SIGKILL');
    } catch {
      // It is gone already.
    }
  }

  private async configure(number: number): Promise<PodNetwork> {
    await run('ip', ['address', 'add', `${this.outerAddress}/30`, 'dev', `baton${number}`]);
    await run('ip', ['link', 'set', `baton${number}`, 'up']);
    await this.inside('ip', 'link', 'set', 'lo', 'up');
    await this.inside('ip', 'address', 'add', `${addressIn(number, 2)}/30`, 'dev', 'eth0');
    await this.inside('ip', 'link', 'set', 'eth0', 'up');
    return this;
  }

  private inside(...command: string[]): Promise<unknown> {
    const [program, ...args] = [...this.prefix, ...command] as [string, ...string[]];
    return run(program, args);
  }
}

function addressIn(network: number, host: number): string {
  const address = firstNetwork + network * 4 + host;
  return [24, 16, 8, 0].map((bits) => (address >>> bits) & 255).join('.');
}

/** The process starts in this one's network and then leaves it. */
async function untilSeparate(pid: number): Promise<void> {
  const own = readlinkSync('/proc/self/ns/net');
  const giveUpAt = performance.now() + startLimitMs;
  while (readlinkSync(`/proc/${pid}/ns/net`) === own) {
    if (performance.now() > giveUpAt) throw new Error('no network namespace was made');
    await sleep(10);
  }
}
