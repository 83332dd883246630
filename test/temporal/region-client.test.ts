import { Client, Connection } from '@temporalio/client';
import type { Config } from '../../src/config/config';
import { connectClient } from '../../src/temporal/connection';
import type { RegionClient } from '../../src/temporal/region-client';
import { registerSearchAttributes } from '../../src/temporal/search-attributes';
import { sharedServers, uniqueName } from '../support/servers';

const configFor = (temporal: Config['temporal']): Config => ({ temporal, locks: [] }) as unknown as Config;
const { temporal: address } = sharedServers();
const ended = { pod: 'p1', token: 1, why: 'test' };

async function withClient<T>(config: Config, use: (client: RegionClient) => Promise<T>): Promise<T> {
  const client = await connectClient(config);
  try {
    return await use(client);
  } finally {
    await client.close();
  }
}

describe('a signal', () => {
  it('to a workflow that was never started finds it gone', async () => {
    const delivery = await withClient(configFor({ address }), (client) =>
      client.tenureEnded(uniqueName('orders'), 'east', ended),
    );
    expect(delivery.outcome).toBe('workflow-gone');
  });

  it('into a namespace that is missing finds Temporal away, not the workflow gone', async () => {
    const delivery = await withClient(configFor({ address, namespace: 'missing' }), (client) =>
      client.podReady('orders', 'east', { pod: 'p1', queue: 'q' }),
    );
    expect(delivery).toMatchObject({
      outcome: 'unreachable',
      why: expect.stringContaining('missing') as string,
    });
  });
});

it('a server that cannot be reached is named, with the setting, in seconds', async () => {
  const began = Date.now();
  await expect(connectClient(configFor({ address: '127.0.0.1:1' }))).rejects.toThrow(
    /^Temporal at 127\.0\.0\.1:1 does not answer: .*temporal\.address.*TEMPORAL_ADDRESS/,
  );
  expect(Date.now() - began).toBeLessThan(30_000);
});

it('search attributes are registered, however often, and where that is refused the reason is given', async () => {
  const connection = await Connection.connect({ address });
  try {
    const there = new Client({ connection });
    expect(await registerSearchAttributes(there)).toEqual({ registered: true });
    expect(await registerSearchAttributes(there)).toEqual({ registered: true });
    const missing = new Client({ connection, namespace: 'missing' });
    expect(await registerSearchAttributes(missing)).toMatchObject({
      registered: false,
      why: expect.stringContaining('missing') as string,
    });
  } finally {
    await connection.close();
  }
});
