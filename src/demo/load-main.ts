/**
 * `node dist/src/demo/load-main.js [--rate N]`: publishes numbered messages for the demo's handler to the queues of a
 * Baton that runs elsewhere, until SIGTERM. Reads the same baton.yaml and variables as a pod (BATON_REGION: whose
 * broker). BATON_DEMO_LEDGER: the folder in which it notes what the broker has confirmed.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { ConfigError } from '../config/config-error';
import { loadConfig } from '../config/load-config';
import { Interruption } from './interruption';
import { LoadFile } from './load-file';
import { Publisher } from './publisher';

const NOTE_EVERY_MS = 1_000;
const SAY_EVERY_MS = 10_000;
const RETRY_MS = 1_000;

interface Target {
  url: string;
  queue: string;
  rate: number;
}

function targetOf(): Target {
  const { values } = parseArgs({ options: { rate: { type: 'string', default: '100' } } });
  const { rate } = values;
  if (!/^\d{1,5}$/.test(rate) || Number(rate) < 1)
    throw new ConfigError([
      { setting: '--rate', value: rate, expected: 'must be 1 to 99999 messages a second' },
    ]);
  const region = process.env['BATON_REGION'];
  if (!region)
    throw new ConfigError([
      { setting: 'BATON_REGION', expected: 'must be set: the region whose broker gets the messages' },
    ]);
  const config = loadConfig({ env: process.env, region, checkHandlers: false, cwd: process.cwd() });
  const { amqpUrl } = config.regions.find(({ name }) => name === region)!;
  const [first] = Object.values(config.locks);
  return { url: amqpUrl, queue: first!.queue.name, rate: Number(rate) };
}

async function publish({ url, queue, rate }: Target, interruption: Interruption): Promise<void> {
  const { signal } = interruption;
  const say = (line: string): void => console.log(`load: ${line}`);
  const publisher = await connect(url, queue, say, signal);
  if (!publisher) return;
  const folder = process.env['BATON_DEMO_LEDGER'];
  const file = folder ? new LoadFile(folder, String(Date.now())) : undefined;
  let total = 0;
  const note = (): void => {
    const confirmed = [...publisher.published];
    publisher.published.clear();
    total += confirmed.length;
    file?.append(confirmed);
  };
  const noting = setInterval(note, NOTE_EVERY_MS);
  const saying = setInterval(() => say(`${total} messages published to ${queue}`), SAY_EVERY_MS);
  say(`${rate} messages a second to ${queue}`);
  publisher.start(rate);
  await interruption.wait();
  publisher.pause();
  await publisher.settle();
  clearInterval(noting);
  clearInterval(saying);
  note();
  await publisher.close();
  say(`ended after ${total} messages, ${publisher.refused} refused`);
}

/** Waits for the broker and for the queue, which the first pod declares. */
async function connect(
  url: string,
  queue: string,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<Publisher | undefined> {
  let said = '';
  let ready = false;
  const trouble = (line: string): void => {
    if (ready) say(line);
  };
  // Numbers that no earlier load generator has used.
  const firstSeq = Date.now() * 1_000;
  while (!signal.aborted) {
    let publisher: Publisher | undefined;
    try {
      publisher = await Publisher.connect(url, queue, trouble, firstSeq);
      await publisher.queued();
      ready = true;
      return publisher;
    } catch (error) {
      await publisher?.close();
      const why = `waiting for the queue ${queue}: ${(error as Error).message}`;
      if (why !== said) say((said = why));
      await sleep(RETRY_MS);
    }
  }
  return undefined;
}

async function main(): Promise<number> {
  const interruption = new Interruption();
  await publish(targetOf(), interruption);
  return 0;
}

main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    const wrong =
      error instanceof ConfigError || (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS');
    console.error(`load: ${(error as Error).message}`);
    process.exit(wrong ? 2 : 1);
  },
);
