export const regionWorkflowId = (lock: string, region: string): string => `baton/${lock}/${region}`;
/** Region workflows of all locks of a region run here. */
export const regionTaskQueue = (region: string): string => `baton/${region}`;
/** Base name of a pod's two task queues. */
export const podQueue = (region: string, pod: string): string => `baton/${region}/${pod}`;

export const maxNameLength = 200;
export const nameRule = `1 to ${maxNameLength} letters, digits, ".", "_" and "-", of which the first is a letter or a digit`;

/**
 * Of a lock, a region, a pod or a switch. Names become parts of etcd's keys, of task queues' names and of workflow ids:
 * a slash would leave its place there, and a task queue that Temporal refuses would fail a workflow's task for ever.
 */
export const isName = (value: unknown): value is string =>
  typeof value === 'string' && value.length <= maxNameLength && /^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(value);

/** A base name of task queues: names, with slashes in between. */
export const isQueueName = (value: unknown): value is string =>
  typeof value === 'string' && value.length <= 3 * maxNameLength && value.split('/').every(isName);
