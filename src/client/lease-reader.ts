import { readFileSync } from 'node:fs';
import { noop } from 'cockatiel';
import { Etcd3 } from 'etcd3';
import type { EtcdAddress } from '../config/config';

/** Tells how long leases have to live, for `status`. A figure to look at: nothing is decided by it. */
export class LeaseReader {
  private readonly etcd: Etcd3;

  constructor(
    address: EtcdAddress,
    private readonly timeoutMs: number,
  ) {
    const { endpoints, username, password, caFile, certFile, keyFile } = address;
    const pem = (file: string | undefined): Buffer | undefined =>
      file === undefined ? undefined : readFileSync(file);
    this.etcd = new Etcd3({
      hosts: endpoints,
      ...(username !== undefined && password !== undefined && { auth: { username, password } }),
      ...((caFile ?? certFile) !== undefined && {
        // etcd3's type wants a root certificate; without one the system's are taken.
        credentials: {
          rootCertificate: pem(caFile),
          certChain: pem(certFile),
          privateKey: pem(keyFile),
        } as never,
      }),
      faultHandling: { host: () => noop, global: noop },
    });
  }

  /** `null` when the lease is gone, or nothing was heard of it. */
  async ttlLeftMs(leaseId: string): Promise<number | null> {
    try {
      const options = { deadline: Date.now() + this.timeoutMs };
      const { TTL } = await this.etcd.leaseClient.leaseTimeToLive({ ID: leaseId }, options);
      return Number(TTL) < 0 ? null : Number(TTL) * 1000;
    } catch {
      // The holder was read a moment ago; that etcd went away since then shows as a blank.
      return null;
    }
  }

  close(): void {
    this.etcd.close();
  }
}
