/**
 * The reference for a killed listener: as little as a supervisor needs that keeps a warm spare beside its consumer, without
 * any lock, lease or record. What it takes, the kernel needs to report the death, and the broker to deliver to another
 * consumer; nothing that restarts a process in place is faster.
 *
 * `warm-spare-program.js supervisor AMQP-URL QUEUE PREFETCH LEDGER` forks consumers of itself, says `ready` when one consumes
 * and the other is connected, and ends with its standard input.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { openSync, writeSync } from 'node:fs';
import { connect } from 'amqplib';
import { processMark } from './ledger';

const [role, url = '', queue = '', prefetch = '', ledgerFile = ''] = process.argv.slice(2);
/** Its start would take the processor from the recovery that is measured. */
const spareDelayMs = 250;

if (role === 'supervisor') supervise();
else void consume();

function supervise(): void {
  process.stdin.resume().on('end', () => process.exit(0));
  const forkConsumer = (): ChildProcess =>
    fork(__filename, ['consumer', url, queue, prefetch, ledgerFile], { serialization: 'advanced' });
  let spare: ChildProcess | null = null;
  const forkSpare = (): void => {
    const child = forkConsumer();
    child.once('message', () => {
      spare = child;
      process.stdout.write('ready\n');
    });
  };
  const lead = (child: ChildProcess): void => {
    child.once('exit', () => {
      const next = spare;
      spare = null;
      if (!next) throw new Error('the consumer has died, and there is no spare');
      next.send('consume');
      lead(next);
    });
    setTimeout(forkSpare, spareDelayMs);
  };
  const first = forkConsumer();
  first.once('message', () => first.send('consume'));
  lead(first);
}

/** As the other contenders: one message after the other, a line each, then the acknowledgement. */
async function consume(): Promise<void> {
  process.on('disconnect', () => process.exit(0));
  const ledger = openSync(ledgerFile, 'a');
  const name = `warm-spare${processMark}${process.pid}`;
  const model = await connect(url, { noDelay: true });
  const channel = await model.createChannel();
  await channel.prefetch(Number(prefetch));
  process.on('message', () => {
    void channel.consume(queue, (message) => {
      if (message === null) return;
      const start = process.hrtime.bigint();
      writeSync(
        ledger,
        `${message.content.toString('latin1')} ${name} ${start} ${process.hrtime.bigint()}\n`,
      );
      channel.ack(message);
    });
  });
  process.send?.('warm');
}
