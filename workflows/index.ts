export { regionWorkflow } from './region';
