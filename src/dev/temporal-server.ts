import { Connection } from '@temporalio/client';
import { join } from 'node:path';
import { findProgram } from './find-program';
import { freePorts } from './free-port';
import { acceptsConnections, Server, startOnFreePorts, type Command, type ServerOptions } from './server';

export interface TemporalOptions {
  reaper: ServerOptions['reaper'];
  /** The log goes here, and the database if there is one. */
  folder: string;
  /** Created at the start. Default: `default`. */
  namespace?: string;
  /**
   * Whether workflows outlive a restart of the server. They are in a file then, instead of in memory. Default: false.
   */
  persistent?: boolean;
}

interface Ports {
  frontend: number;
  ui: number;
  http: number;
  metrics: number;
}

/**
 * The dev server throttles what a busy production cluster would not: without these, chained activities start
 * at 100 ms intervals, and timers of many workflows fire late.
 */
const dynamicConfig = [
  'history.transferProcessorMaxPollRPS=2000',
  'history.timerProcessorMaxPollRPS=2000',
  'history.timerProcessorMaxTimeShift="10ms"',
];

/** Temporal's development server with its UI. */
export class TemporalServer extends Server {
  constructor(
    private readonly folder: string,
    private readonly ports: Ports,
    readonly namespace: string,
    private readonly persistent: boolean,
    options: ServerOptions,
  ) {
    super('temporal', options);
  }

  /** For clients and workers: `127.0.0.1:port`. */
  get address(): string {
    return `127.0.0.1:${this.ports.frontend}`;
  }

  get uiUrl(): string {
    return `http://127.0.0.1:${this.ports.ui}`;
  }

  protected command(): Command {
    const args = [
      ['server', 'start-dev', '--headless=false', '--ip', '127.0.0.1', '--namespace', this.namespace],
      ['--port', String(this.ports.frontend), '--ui-port', String(this.ports.ui)],
      ['--http-port', String(this.ports.http), '--metrics-port', String(this.ports.metrics)],
      ['--log-level', 'error'],
      dynamicConfig.flatMap((entry) => ['--dynamic-config-value', entry]),
      this.persistent ? ['--db-filename', join(this.folder, 'temporal.db')] : [],
    ];
    return { program: findProgram('temporal'), args: args.flat() };
  }

  protected async probe(): Promise<void> {
    await acceptsConnections(this.ports.frontend);
    const connection = await Connection.connect({ address: this.address, connectTimeout: '5s' });
    try {
      await connection.workflowService.describeNamespace({ namespace: this.namespace });
    } finally {
      await connection.close();
    }
  }
}

/** Starts Temporal on free ports of 127.0.0.1 and waits until its namespace can be used. */
export async function startTemporalServer(options: TemporalOptions): Promise<TemporalServer> {
  const { folder, reaper, namespace = 'default', persistent = false } = options;
  return startOnFreePorts(async () => {
    const [frontend, ui, http, metrics] = (await freePorts(4)) as [number, number, number, number];
    const ports = { frontend, ui, http, metrics };
    return new TemporalServer(folder, ports, namespace, persistent, {
      reaper,
      logFile: join(folder, 'temporal.log'),
    });
  });
}
