import { mkdirSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startRabbitmqServer, type RabbitmqServer } from '../../src/dev/rabbitmq-server';
import { Reaper } from '../../src/dev/reaper';

export interface FederatedBrokersOptions {
  /** Names of the queues that are one queue for all brokers. */
  queues: RegExp;
  /** Messages that a link has taken from one broker and the other has not confirmed yet. */
  linkPrefetch: number;
}

/** One RabbitMQ per region, each taking from the others' queues what its own consumers have time for. */
export class FederatedBrokers {
  private constructor(
    readonly of: ReadonlyMap<string, RabbitmqServer>,
    private readonly reaper: Reaper,
  ) {}

  static async start(regions: string[], options: FederatedBrokersOptions): Promise<FederatedBrokers> {
    const reaper = new Reaper();
    const folder = mkdtempSync(join(tmpdir(), 'baton-federation-'));
    reaper.watchFolder(folder);
    const started = await Promise.all(
      regions.map(async (region): Promise<[string, RabbitmqServer]> => {
        const own = join(folder, region);
        mkdirSync(own);
        const plugins = ['rabbitmq_federation'];
        return [
          region,
          await startRabbitmqServer({
            reaper,
            folder: own,
            management: true,
            plugins,
            clusterName: region,
          }),
        ];
      }),
    );
    const brokers = new FederatedBrokers(new Map(started), reaper);
    await Promise.all(regions.map((region) => brokers.federate(region, options)));
    return brokers;
  }

  broker(region: string): RabbitmqServer {
    const server = this.of.get(region);
    if (!server) throw new Error(`no broker in ${region}; there are ${[...this.of.keys()].join(', ')}`);
    return server;
  }

  /** As in baton.yaml. */
  get regions(): Record<string, { amqpUrl: string; managementUrl: string }> {
    return Object.fromEntries(
      [...this.of].map(([region, { url, managementUrl = '' }]) => [
        region,
        { amqpUrl: url, managementUrl: managementUrl.replace('://', '://guest:guest@') },
      ]),
    );
  }

  async stop(): Promise<void> {
    await Promise.all([...this.of.values()].map((server) => server.kill()));
    await this.reaper.close();
  }

  /** As docs/topologies.md has it. */
  private async federate(region: string, { queues, linkPrefetch }: FederatedBrokersOptions): Promise<void> {
    const own = this.broker(region);
    for (const [other, server] of this.of) {
      if (other === region) continue;
      const upstream = {
        uri: server.url,
        'ack-mode': 'on-confirm',
        'prefetch-count': linkPrefetch,
        'reconnect-delay': 1,
      };
      await own.ctl('set_parameter', 'federation-upstream', other, JSON.stringify(upstream));
    }
    const definition = JSON.stringify({ 'federation-upstream-set': 'all' });
    await own.ctl('set_policy', '--apply-to', 'queues', 'federated', queues.source, definition);
  }
}
