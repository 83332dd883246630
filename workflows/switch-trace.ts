import type { EndedSwitch } from './contract';
import type { RegionEffect } from './region-event';
import type { RegionState } from './region-state';
import { derivedChild, type TraceContext } from './trace-context';

const spanOf = (trace: TraceContext, region: string, switchId: string): TraceContext =>
  derivedChild(trace, `${region} ${switchId}`);

/** The workflow's span of the switch that an effect is part of; `undefined` for all else, and without tracing. */
export function switchTrace(
  effect: RegionEffect,
  { region, switch: underWay }: RegionState,
): TraceContext | undefined {
  if (!underWay?.request.trace || switchIdOf(effect) !== underWay.request.switchId) return undefined;
  return spanOf(underWay.request.trace, region, underWay.request.switchId);
}

function switchIdOf(effect: RegionEffect): string | null {
  if (effect.type === 'drain-and-hand-over') return effect.request.switchId;
  if (effect.type === 'hook') return effect.question.switchId;
  return 'switchId' in effect ? effect.switchId : null;
}

/** The traced switch that has come to its end between two states, if one has. */
export function endedSwitch(
  { lastSwitches: [before] }: RegionState,
  { lock, region, lastSwitches: [last] }: RegionState,
  endedAt: number,
): EndedSwitch | null {
  if (!last?.trace || last.switchId === before?.switchId) return null;
  return { ...last, lock, region, span: spanOf(last.trace, region, last.switchId), endedAt };
}
