import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bearerToken, KubeApiserver } from '../../src/bench/peers/kube-apiserver';
import { freePorts } from '../../src/dev/free-port';
import { Reaper } from '../../src/dev/reaper';
import type { KubernetesObject } from './chart';

export interface Answer {
  status: number;
  body: any;
}

/** Plural names, and whether objects live in a namespace. */
const resources: Record<string, { plural: string; cluster?: true }> = {
  ConfigMap: { plural: 'configmaps' },
  CustomResourceDefinition: { plural: 'customresourcedefinitions', cluster: true },
  Deployment: { plural: 'deployments' },
  Ingress: { plural: 'ingresses' },
  Job: { plural: 'jobs' },
  Namespace: { plural: 'namespaces', cluster: true },
  NetworkPolicy: { plural: 'networkpolicies' },
  Pod: { plural: 'pods' },
  PodDisruptionBudget: { plural: 'poddisruptionbudgets' },
  PrometheusRule: { plural: 'prometheusrules' },
  Service: { plural: 'services' },
  ServiceAccount: { plural: 'serviceaccounts' },
  ServiceMonitor: { plural: 'servicemonitors' },
};

/** A real kube-apiserver on loopback, over the tests' etcd. Nothing else of Kubernetes runs: no pod is ever started. */
export class ApiServer {
  private readonly agent = new Agent({ rejectUnauthorized: false, keepAlive: true });

  private constructor(
    private readonly server: KubeApiserver,
    private readonly reaper: Reaper,
    private readonly folder: string,
  ) {}

  static async start(etcdAddresses: string[]): Promise<ApiServer> {
    const folder = mkdtempSync(join(tmpdir(), 'kube-apiserver-'));
    const reaper = new Reaper();
    reaper.watchFolder(folder);
    mkdirSync(join(folder, 'certificates'));
    const [port] = (await freePorts(1)) as [number];
    const options = { reaper, logFile: join(folder, 'log'), readyLimitMs: 180_000 };
    // Its cache asks etcd for news in a way that Debian's does not answer; each list would wait for three seconds.
    const flags = { 'watch-cache': false };
    const server = new KubeApiserver(port, folder, etcdAddresses, options, flags);
    try {
      await server.start();
    } catch (error) {
      await reaper.close();
      throw error;
    }
    return new ApiServer(server, reaper, folder);
  }

  /** For helm. */
  get environment(): NodeJS.ProcessEnv {
    const file = join(this.folder, 'kubeconfig');
    const cluster = { server: `https://${this.server.address}`, 'insecure-skip-tls-verify': true };
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'test',
      contexts: [{ name: 'test', context: { cluster: 'test', user: 'test' } }],
      clusters: [{ name: 'test', cluster }],
      users: [{ name: 'test', user: { token: bearerToken } }],
    };
    writeFileSync(file, JSON.stringify(config), { mode: 0o600 });
    const home = join(this.folder, 'helm');
    return { KUBECONFIG: file, HELM_CACHE_HOME: home, HELM_CONFIG_HOME: home, HELM_DATA_HOME: home };
  }

  /** Server-side apply. Unknown fields are errors, as `kubectl apply --validate=strict` has it. */
  apply(object: KubernetesObject, namespace: string, dryRun = false): Promise<Answer> {
    const path = pathOf(object, namespace);
    const query = `fieldManager=test&force=true&fieldValidation=Strict${dryRun ? '&dryRun=All' : ''}`;
    return this.call('PATCH', `${path}?${query}`, object, 'application/apply-patch+yaml');
  }

  /** @throws Error with the server's reason. */
  async mustApply(object: KubernetesObject): Promise<void> {
    const { status, body } = await this.apply(object, '');
    if (status >= 300) throw new Error(`${object.kind}/${object.metadata.name}: ${body.message}`);
  }

  create(object: KubernetesObject, namespace: string, dryRun = false): Promise<Answer> {
    const collection = pathOf(object, namespace).replace(/\/[^/]+$/, '');
    return this.call('POST', `${collection}?fieldValidation=Strict${dryRun ? '&dryRun=All' : ''}`, object);
  }

  get(path: string): Promise<Answer> {
    return this.call('GET', path);
  }

  /** Merges into an object's status, as its controller would. */
  patchStatus(path: string, status: object): Promise<Answer> {
    return this.call('PATCH', `${path}/status`, { status }, 'application/merge-patch+json');
  }

  async stop(): Promise<void> {
    this.agent.destroy();
    await this.server.stop();
    await this.reaper.close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  private call(method: string, path: string, body?: object, type = 'application/json'): Promise<Answer> {
    const [host, port] = this.server.address.split(':');
    return new Promise((done, fail) => {
      const headers = { authorization: `Bearer ${bearerToken}`, 'content-type': type };
      const sent = request({ host, port, method, path, headers, agent: this.agent }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (part: string) => (text += part));
        // A path that is not served yet is answered in plain text.
        const read = (): unknown => (text.startsWith('{') ? JSON.parse(text) : { message: text });
        response.on('end', () => done({ status: response.statusCode ?? 0, body: read() }));
      });
      sent.on('error', fail);
      sent.end(body && JSON.stringify(body));
    });
  }
}

export function pathOf({ apiVersion, kind, metadata }: KubernetesObject, namespace: string): string {
  const resource = resources[kind];
  if (!resource) throw new Error(`${kind} is not among those that the chart makes`);
  const group = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  const place = resource.cluster ? '' : `/namespaces/${metadata.namespace ?? namespace}`;
  return `${group}${place}/${resource.plural}/${metadata.name}`;
}
