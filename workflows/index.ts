export { regionWorkflow } from './region';
export { drillWorkflow, groupSwitchWorkflow, scheduledSwitchWorkflow } from './operations';
