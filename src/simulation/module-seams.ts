/**
 * Puts simulated servers behind the libraries that Baton's code imports: whoever loads one of them after this module
 * gets the functions below. Import it before any module of Baton.
 */
import childProcess from 'node:child_process';
import Module from 'node:module';
import { replaceRuntime } from './virtual-runtime';
import { activityContext, workflowFunctions } from './simulated-workflow';
import { presentWorld } from './world';

type Load = (request: string, ...more: unknown[]) => unknown;
const loader = Module as unknown as Record<'_load', Load>;

const service = <K extends 'fork' | 'connectBroker'>(name: K): unknown => {
  const call = presentWorld().current?.services[name];
  if (!call) throw new Error(`${name} is not simulated for this process`);
  return call();
};

let isInstalled = false;

export function installSimulation(): void {
  if (isInstalled) return;
  isInstalled = true;
  const load = loader['_load'];
  const replaced = new Map<string, unknown>();
  loader['_load'] = function loadSimulated(this: unknown, request, ...more) {
    const known = replaced.get(request);
    if (known) return known;
    const real = load.call(this, request, ...more) as Record<string, unknown>;
    const simulated = simulatedParts(request);
    if (!simulated) return real;
    const module = Object.defineProperties({ ...real }, Object.getOwnPropertyDescriptors(simulated));
    replaced.set(request, module);
    return module;
  };
  Object.defineProperty(childProcess, 'fork', { value: () => service('fork') });
  replaceRuntime();
}

function simulatedParts(request: string): object | null {
  switch (request) {
    case '@temporalio/workflow':
      return workflowFunctions;
    case '@temporalio/activity':
      return { Context: { current: activityContext } };
    case 'amqplib':
      return { connect: () => service('connectBroker') };
    default:
      return null;
  }
}
