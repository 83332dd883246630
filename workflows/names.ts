export const regionWorkflowId = (lock: string, region: string): string => `baton/${lock}/${region}`;
/** Region workflows of all locks of a region run here. */
export const regionTaskQueue = (region: string): string => `baton/${region}`;
/** Base name of a pod's two task queues. */
export const podQueue = (region: string, pod: string): string => `baton/${region}/${pod}`;
