import type { Logger } from 'pino';
import type { Config } from '../config/config';
import { differences, takeOver } from '../config/config-change';
import { ConfigError } from '../config/config-error';
import type { PodMetrics, reloadOutcomes } from '../telemetry/metrics';

export interface ConfigState {
  /** `read`: at the start, and not again. */
  outcome: 'read' | (typeof reloadOutcomes)[number];
  /** ISO 8601. */
  at: string;
  why: string;
}

/** Reads the configuration again on demand. The old one stays whole unless all of the new one can be taken over. */
export class ConfigReload {
  private state: ConfigState = {
    outcome: 'read',
    at: new Date().toISOString(),
    why: 'as the pod was started with',
  };

  constructor(
    private readonly config: Config,
    private readonly logger: Logger,
    private readonly metrics: Pick<PodMetrics, 'configReloads' | 'configCurrent'>,
    private readonly onApplied: () => void,
  ) {}

  get last(): ConfigState {
    return this.state;
  }

  reload(load: () => Config): void {
    try {
      const next = load();
      const { changes, problems } = differences(this.config, next);
      if (problems.length > 0) throw new ConfigError(problems);
      takeOver(this.config, next);
      const why = changes.map(({ setting, from, to }) => `${setting}: ${from} → ${to}`).join('; ');
      // Also without a change: what others keep of it, a region workflow say, may be older.
      this.onApplied();
      this.note(changes.length > 0 ? 'applied' : 'unchanged', why || 'nothing has changed');
    } catch (error) {
      this.note('refused', error instanceof Error ? error.message : String(error));
    }
  }

  private note(outcome: Exclude<ConfigState['outcome'], 'read'>, why: string): void {
    this.state = { outcome, at: new Date().toISOString(), why };
    this.metrics.configReloads.inc({ outcome });
    this.metrics.configCurrent.set(outcome === 'refused' ? 0 : 1);
    const line = { outcome, reason: why };
    if (outcome === 'refused') this.logger.error(line, 'configuration not taken over; the old one stays');
    else this.logger.info(line, 'configuration read again');
  }
}
