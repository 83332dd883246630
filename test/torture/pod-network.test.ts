import { spawn } from 'node:child_process';
import { createServer, type Server } from 'node:net';
import { Reaper } from '../../src/dev/reaper';
import { PodNetwork, whyNoPodNetworks } from '../../src/torture/pod-network';

/** Says who connected, and sends a line every 20 ms. */
const script = `
const socket = require('node:net').connect({ host: process.argv[1], port: Number(process.argv[2]) });
socket.on('data', (chunk) => process.stdout.write(chunk));
socket.on('error', (error) => process.stdout.write(error.code + '\\n'));
setInterval(() => socket.write('ping\\n'), 20);
`;

// The machine may refuse: then the torture skips these faults and says so.
const whenPossible = whyNoPodNetworks() === null ? describe : describe.skip;

let reaper: Reaper;
let server: Server | undefined;
beforeEach(() => (reaper = new Reaper()));
afterEach(async () => {
  server?.close();
  await reaper.close();
});

whenPossible('the network of a pod', () => {
  test('packets are dropped each way alone, without a word, and pass again after the end', async () => {
    const network = await PodNetwork.create(reaper);
    const seen = { peer: '', fromPod: 0, atPod: 0 };
    server = createServer((socket) => {
      seen.peer = socket.remoteAddress ?? '';
      socket.on('data', (chunk) => (seen.fromPod += chunk.length));
      socket.on('error', () => {});
      const sender = setInterval(() => socket.write('pong\n'), 20);
      socket.on('close', () => clearInterval(sender));
    });
    const port = await new Promise<number>((done) =>
      server!.listen(0, network.outerAddress, () => done((server!.address() as { port: number }).port)),
    );
    const command = [...network.prefix, process.execPath, '-e', script, network.outerAddress, String(port)];
    const pod = spawn(command[0]!, command.slice(1), { detached: true });
    reaper.watch(pod.pid!, { group: true });
    let errors = '';
    pod.stdout.on('data', (chunk: Buffer) => {
      seen.atPod += chunk.length;
      errors += String(chunk).replace(/(?:pong|po?n?g?)?\n/g, '');
    });
    const news = async (within: number): Promise<{ fromPod: boolean; atPod: boolean }> => {
      const { fromPod, atPod } = seen;
      await new Promise((done) => setTimeout(done, within));
      return { fromPod: seen.fromPod > fromPod, atPod: seen.atPod > atPod };
    };
    const until = async (expected: { fromPod: boolean; atPod: boolean }): Promise<void> => {
      const giveUpAt = performance.now() + 20_000;
      let seenNow = await news(500);
      while (JSON.stringify(seenNow) !== JSON.stringify(expected) && performance.now() < giveUpAt)
        seenNow = await news(500);
      expect(seenNow).toEqual(expected);
    };

    await until({ fromPod: true, atPod: true });
    expect(seen.peer).toMatch(/^198\.1[89]\./);
    // What the other side sends arrives; the acknowledgements of it do not get out, so that it stops in the end.
    let end = await network.drop('out', port);
    expect((await news(1_500)).fromPod).toBe(false);
    await end();
    await until({ fromPod: true, atPod: true });
    end = await network.drop('in', port);
    expect((await news(1_500)).atPod).toBe(false);
    await end();
    await until({ fromPod: true, atPod: true });
    expect(errors).not.toMatch(/E[A-Z]+/);
  }, 120_000);

  test('a network ends with its holder', async () => {
    const network = await PodNetwork.create(reaper);
    network.close();
    await expect(network.drop('out', 1)).rejects.toThrow(/nsenter/);
  });
});
