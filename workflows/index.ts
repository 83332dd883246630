export { regionWorkflow } from './region';
export { drillWorkflow } from './drill';
export { groupSwitchWorkflow, scheduledSwitchWorkflow } from './operations';
