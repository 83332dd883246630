import { join } from 'node:path';
import { compiledProgram } from '../../compiled-program';
import type { DevStack } from '../../dev/dev-stack';
import type { ConsumerSystem, SystemPlace } from '../contender';
import { BuiltProgram, goBuild, type Say } from './built-program';
import { curatorBuild, java } from './curator-build';
import { bearerToken, kubeApiserver, kubeApiserverBuild } from './kube-apiserver';
import { ProgramSystem } from './program-system';
import { zookeeper } from './zookeeper';

/** What Baton is compared with. */
export interface Peer {
  name: string;
  /** What the machine must have for it, to follow `it needs`. */
  needs: string;
  /**
   * Builds what is missing, into the tool cache. `signal` ends it early.
   * @throws Error whose first line says what was missing or went wrong.
   */
  install(say: Say, signal?: AbortSignal): Promise<void>;
  /** To be called after `install`. Servers that only this peer needs are started with its first system. */
  system(place: SystemPlace, stack: DevStack): ConsumerSystem;
}

const etcdElectionBuild = new BuiltProgram(
  'etcd-election',
  ['etcd-election', 'go-contender'],
  'about 20 s',
  (into) => [goBuild('etcd-election', join(into, 'etcd-election'))],
);
const clientGoBuild = new BuiltProgram('client-go', ['client-go', 'go-contender'], 'about 30 s', (into) => [
  goBuild('client-go', join(into, 'client-go')),
]);

const singleActiveConsumer: Peer = {
  name: 'single active consumer',
  needs: 'nothing but the broker',
  install: () => Promise.resolve(),
  system: (place, stack) =>
    new ProgramSystem(
      {
        name: 'single active consumer',
        command: {
          program: process.execPath,
          args: [compiledProgram('bench/peers/single-active-consumer.js')],
        },
        servers: null,
        queueArguments: { 'x-single-active-consumer': true },
        longestStandingIsActive: true,
      },
      place,
      stack,
    ),
};

const etcdElection: Peer = {
  name: 'etcd election',
  needs: 'Go',
  install: (say, signal) => etcdElectionBuild.build(say, signal),
  system: (place, stack) =>
    new ProgramSystem(
      {
        name: 'etcd election',
        command: { program: join(etcdElectionBuild.folder, 'etcd-election'), args: [] },
        servers: () => Promise.resolve(place.etcdAddresses),
      },
      place,
      stack,
    ),
};

const clientGo: Peer = {
  name: 'client-go',
  needs: 'Go, and some minutes to compile the Kubernetes API server',
  async install(say, signal) {
    await clientGoBuild.build(say, signal);
    await kubeApiserverBuild.build(say, signal);
  },
  system: (place, stack) =>
    new ProgramSystem(
      {
        name: 'client-go',
        command: {
          program: join(clientGoBuild.folder, 'client-go'),
          args: [],
          environment: { BATON_BENCH_TOKEN: bearerToken },
        },
        servers: async () => [await kubeApiserver.addressIn(stack)],
      },
      place,
      stack,
    ),
};

const curator: Peer = {
  name: 'curator',
  needs: 'a Java development kit and Maven',
  install: (say, signal) => curatorBuild.build(say, signal),
  system: (place, stack) =>
    new ProgramSystem(
      {
        name: 'curator',
        command: java('Contender', []),
        servers: async () => [await zookeeper.addressIn(stack)],
      },
      place,
      stack,
    ),
};

/** In the order of the tables. */
export const peers: Peer[] = [singleActiveConsumer, etcdElection, clientGo, curator];
