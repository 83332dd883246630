import { showValue } from './secret';

/** One setting that cannot be used, and the rule that it breaks. */
export interface ConfigProblem {
  /** Path in baton.yaml, as `locks.orders.keeperIntervalMs`, with the variable's name when it came from one. */
  setting: string;
  /** Absent when the setting is missing, or when showing it could show a secret. */
  value?: unknown;
  /** Goes on where "<setting> is <value>: " ends. */
  expected: string;
}

/** The configuration cannot be used. Holds every problem found; nothing has been started. */
export class ConfigError extends Error {
  constructor(readonly problems: ConfigProblem[]) {
    super(problems.map(problemLine).join('\n'));
    this.name = 'ConfigError';
  }
}

function problemLine({ setting, value, expected }: ConfigProblem): string {
  return value === undefined
    ? `${setting}: ${expected}`
    : `${setting} is ${showValue(setting, value)}: ${expected}`;
}
