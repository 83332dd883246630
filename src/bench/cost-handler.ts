/** Does nothing, at once: what is left is the cost of everything else. */
import type { Handler } from '../listener/handler';

export const handle: Handler = () => Promise.resolve();
