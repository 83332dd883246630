import { mkdtempSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EtcdMember } from '../../src/dev/etcd-server';
import { freePorts } from '../../src/dev/free-port';
import { RabbitmqServer } from '../../src/dev/rabbitmq-server';
import { Reaper } from '../../src/dev/reaper';
import { startOnFreePorts, type Server } from '../../src/dev/server';
import { TemporalServer } from '../../src/dev/temporal-server';

const reaper = new Reaper();
const folder = mkdtempSync(join(tmpdir(), 'taken-'));
reaper.watchFolder(folder);
afterAll(() => reaper.close());

const create: Record<string, (ports: number[], attempt: number) => Server> = {
  etcd: ([clientPort = 0, peerPort = 0], attempt) => {
    const plan = { name: 'etcd', clientPort, peerPort, dataDir: join(folder, `etcd-${attempt}`) };
    const cluster = `etcd=http://127.0.0.1:${peerPort}`;
    return new EtcdMember(plan, cluster, { reaper, logFile: join(folder, 'etcd.log') });
  },
  rabbitmq: ([amqp = 0, distribution = 0, epmd = 0, management = 0], attempt) => {
    const ports = { amqp, distribution, epmd, management };
    const data = join(folder, `rabbitmq-${attempt}`);
    return new RabbitmqServer(data, ports, false, { reaper, logFile: join(data, 'log') });
  },
  temporal: ([frontend = 0, ui = 0, http = 0, metrics = 0]) => {
    const options = { reaper, logFile: join(folder, 'temporal.log') };
    return new TemporalServer(folder, { frontend, ui, http, metrics }, 'default', false, options);
  },
};

test.each(Object.keys(create))(
  'a port that somebody else takes before the server does is replaced: %s',
  async (name) => {
    const stranger = createServer((socket) => socket.destroy());
    const [taken = 0] = await freePorts(1);
    await new Promise<void>((done) => stranger.listen(taken, '127.0.0.1', done));
    let attempts = 0;
    const server = await startOnFreePorts(async () => {
      attempts++;
      const ports = await freePorts(4);
      return create[name]!(attempts === 1 ? [taken, ...ports] : ports, attempts);
    });
    expect(attempts).toBe(2);
    await server.kill();
    await new Promise((done) => stranger.close(done));
  },
  120_000,
);
