/**
 * Preloaded into the soak's pods (`NODE_OPTIONS=--require …`), every thread of them: collects garbage now and then, so
 * that the memory seen from outside is what is held. V8 by itself may let garbage grow for an hour.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

const everyMs = 20_000;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;
setInterval(collect, everyMs).unref();
