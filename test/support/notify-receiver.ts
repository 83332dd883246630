import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';

export interface Notice {
  /** Assignments of one datagram, as `READY=1`. */
  words: string[];
  /** os.uptime() when it arrived, whether or not this process was busy. */
  at: number;
}

/** Node has no datagram sockets of the file system; perl's base is on every Debian. One line per datagram. */
const receive = `
use IO::Socket::UNIX; $| = 1;
sub uptime { open(my $file, '<', '/proc/uptime'); (split ' ', <$file>)[0] }
my $socket = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => $ARGV[0]) or die "$ARGV[0]: $!";
print "listening\\n";
while (defined $socket->recv(my $text, 65536)) { $text =~ s/\\n/\\t/g; print uptime() . "\\t$text\\n" }
`;

/** Plays systemd: the socket that a service of Type=notify is given. */
export class NotifyReceiver {
  readonly notices: Notice[] = [];
  private constructor(
    readonly socket: string,
    private readonly folder: string,
    private readonly child: ChildProcessByStdio<null, Readable, null>,
  ) {
    const lines = createInterface({ input: child.stdout });
    lines.on('line', (line) => {
      const [at, ...parts] = line.split('\t');
      const words = parts.filter((word) => word !== '' && word !== 'BARRIER=1');
      if (words.length > 0) this.notices.push({ words, at: Number(at) });
    });
  }

  static async open(): Promise<NotifyReceiver> {
    const folder = mkdtempSync(join(tmpdir(), 'notify-'));
    const socket = join(folder, 'socket');
    const child = spawn('perl', ['-e', receive, socket], { stdio: ['ignore', 'pipe', 'inherit'] });
    const receiver = new NotifyReceiver(socket, folder, child);
    await Promise.race([
      once(child.stdout, 'data'),
      once(child, 'exit').then(() => {
        throw new Error('perl did not open the socket');
      }),
    ]);
    return receiver;
  }

  /** Those with an assignment that begins like this, as `STATUS=`. */
  having(start: string): Notice[] {
    return this.notices.filter(({ words }) => words.some((word) => word.startsWith(start)));
  }

  /** What comes after `name=` in the newest notice that has it. */
  latest(name: string): string | undefined {
    const word = this.having(`${name}=`)
      .at(-1)
      ?.words.findLast((each) => each.startsWith(`${name}=`));
    return word?.slice(name.length + 1);
  }

  close(): void {
    this.child.kill('SIGKILL');
    rmSync(this.folder, { recursive: true, force: true });
  }
}
