import { z } from 'zod';

const Greeting = z.object({ name: z.string() });

/** @type {import('baton').Handler} */
export async function handle(message, context) {
  const { name } = Greeting.parse(JSON.parse(message.body.toString()));
  context.logger.info(`hello, ${name}`);
}
