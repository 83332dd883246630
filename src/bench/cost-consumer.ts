/** The plain consumer that Baton's cost is compared with: `node cost-consumer.js AMQP_URL QUEUE PREFETCH`. */
import { connect } from 'amqplib';

/** Also at the other end of the comparison the handler is an asynchronous function. */
const handle = (): Promise<void> => Promise.resolve();

async function main([url = '', queue = '', prefetch = '']: string[]): Promise<void> {
  const connection = await connect(url, { noDelay: true });
  const channel = await connection.createChannel();
  await channel.prefetch(Number(prefetch));
  await channel.consume(queue, (message) => {
    if (message) void handle().then(() => channel.ack(message));
  });
  console.log('consuming');
}

// Whoever has started it ends it, by a signal or by its own end.
process.stdin.on('end', () => process.exit(0)).resume();
main(process.argv.slice(2)).catch((error: unknown) => {
  console.error(error);
  process.exit(1);
});
