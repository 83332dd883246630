import type { Mutation } from './mutated-build';

/** The last question before each message, in the tick that calls the handler, and what a read of etcd says. */
const guardOff: Mutation[] = [
  {
    file: 'src/listener/guard.js',
    find: 'check(readBeganNs, receivedNs) {',
    replace: 'check(readBeganNs, receivedNs) { return null;',
  },
  {
    file: 'src/listener/guard.js',
    find: 'if (!held) {',
    replace: 'if (false) {',
  },
];

/** The watchdog's deadline; that it ends the process when the agent is dead stays. */
const watchdogOff: Mutation[] = [
  {
    file: 'src/listener/deadline-watch.js',
    find: 'if (this.anyIsOver()) {',
    replace: 'if (false) {',
  },
];

/** The agent's kill at the deadline, and the watchdog's. */
const deadlineKillOff: Mutation[] = [
  ...watchdogOff,
  {
    file: 'src/pod/running-tenure.js',
    find: '        this.onDeadline();',
    replace: '',
  },
];

export const mutations = { guardOff, deadlineKillOff } as const;
