/** Of the servers that can be given by their address: the variable, and the program that is run without it. */
export const givable = {
  etcd: { variable: 'BATON_DEV_ETCD', program: 'etcd' },
  rabbitmq: { variable: 'BATON_DEV_RABBITMQ', program: 'rabbitmq-server' },
  temporal: { variable: 'BATON_DEV_TEMPORAL', program: 'temporal' },
} as const;
const isGivable = (kind: string): kind is keyof typeof givable => Object.hasOwn(givable, kind);

/** Whether any server is given by its address: then others may be on it, too. */
export const hasGivenServers = (): boolean =>
  Object.values(givable).some(({ variable }) => process.env[variable]);

/** What a stack runs on this machine: without the servers that are given. Default: of etcd, RabbitMQ and Temporal. */
export const neededPrograms = (servers: string[] = ['etcd', 'rabbitmq', 'temporal']): string[] =>
  servers
    .filter(isGivable)
    .map((kind) => givable[kind])
    .filter(({ variable }) => !process.env[variable])
    .map(({ program }) => program);
