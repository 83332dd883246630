import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { dirname, join, resolve } from 'node:path';
import { find, type KubernetesObject } from './chart';

const program = resolve(__dirname, '../../dist/src/cli/main.js');
const mountRoot = '/etc/baton';

export interface PodPlace {
  name: string;
  namespace: string;
  node: string;
  zone: string;
}

export interface ContainerOptions {
  objects: KubernetesObject[];
  /** The pod's, from the rendered chart. */
  spec: any;
  container: string;
  place: PodPlace;
  /** Of the Secrets that the chart refers to: by name, then by key. */
  secrets: Record<string, Record<string, string>>;
  folder: string;
  /** What an image or a network namespace of its own would give. */
  environment: NodeJS.ProcessEnv;
}

/**
 * A container of the rendered chart as a process of this machine: exactly its arguments, its environment with the downward
 * API's fields, and its volumes' files, below a folder in the place of /etc/baton.
 */
export class RenderedContainer {
  readonly args: string[];
  readonly environment: NodeJS.ProcessEnv;
  readonly logFile: string;
  private readonly container: any;
  private child: ChildProcess | undefined;

  constructor(private readonly options: ContainerOptions) {
    const { spec, container, folder, environment } = options;
    this.container = spec.containers.find(({ name }: any) => name === container);
    mkdirSync(folder, { recursive: true });
    this.logFile = join(folder, 'log');
    for (const mount of this.container.volumeMounts) this.mount(mount);
    this.args = this.container.args.map((arg: string) => this.inFolder(arg));
    this.environment = { ...process.env, ...environment, ...this.variables() };
  }

  start(): void {
    const log = openSync(this.logFile, 'a');
    this.child = spawn(process.execPath, [program, ...this.args], {
      env: this.environment,
      stdio: ['ignore', log, log],
      detached: true,
    });
    closeSync(log);
  }

  get pid(): number {
    if (this.child?.pid === undefined) throw new Error('the container does not run');
    return this.child.pid;
  }

  /** `undefined` while it runs. */
  get exitCode(): number | null | undefined {
    return this.child?.signalCode ? null : (this.child?.exitCode ?? undefined);
  }

  signal(name: NodeJS.Signals): void {
    this.child?.kill(name);
  }

  /** What the kubelet would get from one of the probes: the status and the body. */
  async probe(kind: 'startupProbe' | 'livenessProbe' | 'readinessProbe'): Promise<[number, string]> {
    const { httpGet } = this.container[kind];
    const names = this.container.ports.map(({ name }: any) => name);
    if (!names.includes(httpGet.port)) throw new Error(`${kind} asks for port ${httpGet.port}`);
    const port = this.environment['BATON_HEALTH_PORT'];
    return new Promise((done, fail) => {
      const sent = request({ port, path: httpGet.path }, (answer) => {
        let text = '';
        answer.on('data', (part) => (text += String(part)));
        answer.on('end', () => done([answer.statusCode ?? 0, text]));
      });
      sent.on('error', fail);
      sent.end();
    });
  }

  log(): string {
    return readFileSync(this.logFile, 'utf8');
  }

  private mount({ name, mountPath }: { name: string; mountPath: string }): void {
    const { spec, objects, secrets, folder } = this.options;
    const volume = spec.volumes.find((each: any) => each.name === name);
    const files: Record<string, string> = volume.configMap
      ? find(objects, 'ConfigMap', volume.configMap.name).data!
      : volume.secret
        ? Object.fromEntries(
            volume.secret.items.map(({ key, path }: any) => [path, secrets[volume.secret.secretName]![key]]),
          )
        : {};
    for (const [file, content] of Object.entries(files)) {
      const path = join(this.inFolder(mountPath), file);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, content.replaceAll(`${mountRoot}/`, `${folder}/`));
    }
  }

  private variables(): Record<string, string> {
    const { place } = this.options;
    const fields: Record<string, string> = {
      'metadata.name': place.name,
      'metadata.namespace': place.namespace,
      'spec.nodeName': place.node,
      "metadata.labels['topology.kubernetes.io/zone']": place.zone,
    };
    const known: Record<string, string> = {};
    for (const { name, value, valueFrom } of this.container.env ?? []) {
      const text = valueFrom ? fields[valueFrom.fieldRef.fieldPath] : value;
      if (text === undefined) throw new Error(`${name}: ${JSON.stringify(valueFrom)} is not known here`);
      known[name] = this.inFolder(text.replace(/\$\((\w+)\)/g, (_: string, other: string) => known[other]!));
    }
    return known;
  }

  private inFolder(text: string): string {
    return text.replaceAll(`${mountRoot}/`, `${this.options.folder}/`);
  }
}
