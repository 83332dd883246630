import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePorts } from '../../dev/free-port';
import { acceptsConnections, Server, type Command, type ServerOptions } from '../../dev/server';
import { java } from './curator-build';
import { StackServer } from './stack-server';

/**
 * Sessions end at multiples of this, so a coarser one only delays the peer. ZooKeeper's default is 2 s, with which a
 * session of less than 4 s would not even be granted.
 */
const tickMs = 500;

/** One ZooKeeper, from the jars that come with Curator. */
class ZookeeperServer extends Server {
  constructor(
    private readonly port: number,
    private readonly folder: string,
    options: ServerOptions,
  ) {
    super('zookeeper', options);
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  protected command(): Command {
    const settings = {
      tickTime: tickMs,
      dataDir: join(this.folder, 'data'),
      clientPort: this.port,
      clientPortAddress: '127.0.0.1',
      'admin.enableServer': false,
      maxClientCnxns: 0,
    };
    const file = join(this.folder, 'zoo.cfg');
    const lines = Object.entries(settings).map(([name, value]) => `${name}=${value}\n`);
    writeFileSync(file, lines.join(''));
    return java('org.apache.zookeeper.server.quorum.QuorumPeerMain', [file]);
  }

  protected probe(): Promise<void> {
    return acceptsConnections(this.port);
  }
}

export const zookeeper = new StackServer('zookeeper', async (_stack, folder, options) => {
  const [port] = (await freePorts(1)) as [number];
  return new ZookeeperServer(port, folder, options);
});
