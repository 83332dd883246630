import type { Handler } from 'baton';
import { journal, type Order } from './order-journal.js';

/**
 * Called once per message. The message is acknowledged when the promise resolves: so do the work first, and await it.
 * When it rejects, the message comes again.
 */
export const handle: Handler = async (message, { token, logger }) => {
  const order = JSON.parse(message.body.toString()) as Order;
  await journal.append(order, token);
  logger.debug({ order: order.id }, 'order written');
};
