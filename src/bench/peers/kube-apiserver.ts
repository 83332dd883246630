import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { get } from 'node:https';
import { join } from 'node:path';
import { freePorts } from '../../dev/free-port';
import { Server, type Command, type ServerOptions } from '../../dev/server';
import { BuiltProgram, goBuild } from './built-program';
import { StackServer } from './stack-server';

export const kubeApiserverBuild = new BuiltProgram(
  'kube-apiserver',
  ['kube-apiserver'],
  'three to eight minutes of two processors',
  (into) => [goBuild('kube-apiserver', join(into, 'kube-apiserver'), 'k8s.io/kubernetes/cmd/kube-apiserver')],
);

/** For all requests of this run. */
export const bearerToken = randomBytes(16).toString('hex');

const PROBE_LIMIT_MS = 2_000;

/** Kubernetes's API server alone, with its objects in the stack's etcd: what leader election with Leases needs. */
export class KubeApiserver extends Server {
  constructor(
    private readonly port: number,
    private readonly folder: string,
    private readonly etcdAddresses: string[],
    options: ServerOptions,
    /** Over the flags below. */
    private readonly more: Record<string, string | boolean> = {},
  ) {
    super('kube-apiserver', options);
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  protected command(): Command {
    const [keyFile, tokenFile] = [join(this.folder, 'service-account.pem'), join(this.folder, 'tokens.csv')];
    const { privateKey } = generateKeyPairSync('rsa', {
      modulusLength: 2048,
      publicKeyEncoding: { type: 'spki', format: 'pem' },
      privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    });
    writeFileSync(keyFile, privateKey, { mode: 0o600 });
    writeFileSync(tokenFile, `${bearerToken},bench,bench\n`, { mode: 0o600 });
    const flags = {
      'etcd-servers': this.etcdAddresses.map((address) => `http://${address}`).join(','),
      'etcd-prefix': '/baton-bench/kubernetes',
      'bind-address': '127.0.0.1',
      'advertise-address': '127.0.0.1',
      'secure-port': this.port,
      // It signs a certificate for itself and puts it there.
      'cert-dir': join(this.folder, 'certificates'),
      'token-auth-file': tokenFile,
      'authorization-mode': 'AlwaysAllow',
      'anonymous-auth': false,
      'service-account-issuer': 'https://baton-bench.invalid',
      'service-account-key-file': keyFile,
      'service-account-signing-key-file': keyFile,
      'service-cluster-ip-range': '10.0.0.0/24',
      'disable-admission-plugins': 'ServiceAccount',
      // It would publish its address, which must not be on loopback.
      'endpoint-reconciler-type': 'none',
      profiling: false,
      ...this.more,
    };
    const args = Object.entries(flags).map(([name, value]) => `--${name}=${value}`);
    return { program: join(kubeApiserverBuild.folder, 'kube-apiserver'), args };
  }

  /** Leases are to be made in the default namespace, which the server makes when it is ready. */
  protected async probe(): Promise<void> {
    await this.request('/readyz');
    await this.request('/api/v1/namespaces/default');
  }

  private request(path: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const options = {
        rejectUnauthorized: false,
        headers: { authorization: `Bearer ${bearerToken}` },
        timeout: PROBE_LIMIT_MS,
      };
      const request = get(`https://${this.address}${path}`, options, (response) => {
        response.resume();
        if (response.statusCode === 200) resolve();
        else reject(new Error(`${path} answered ${response.statusCode}`));
      });
      request.once('timeout', () => request.destroy(new Error(`no answer within ${PROBE_LIMIT_MS} ms`)));
      request.once('error', reject);
    });
  }
}

export const kubeApiserver = new StackServer('kube-apiserver', async (stack, folder, options) => {
  const [port] = (await freePorts(1)) as [number];
  return new KubeApiserver(port, folder, stack.etcdAddresses, options);
});
