import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface StoreDecision {
  lock: string;
  id: string;
  token: number;
  accepted: boolean;
  reason: string;
  sequence: number;
}

interface Write {
  lock: string;
  id: string;
  token: number;
}

/**
 * A store at which writes arrive over the network, one after the other, each with its token: it refuses a token lower
 * than the highest one it has taken. `checksToken: false` makes it the store that a fencing token does not help.
 */
export class TokenStore {
  private readonly server: Server;
  private readonly highest = new Map<string, number>();
  private readonly held: (() => void)[] = [];
  private holding = false;
  private sequence = 0;

  constructor(
    private readonly checksToken: boolean,
    private readonly onDecision: (decision: StoreDecision) => void,
  ) {
    this.server = createServer((request, response) => void this.receive(request, response));
  }

  async start(): Promise<string> {
    await new Promise<void>((done) => this.server.listen(0, '127.0.0.1', done));
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** Writes that are on their way arrive only with `deliver`, as on a slow network. */
  hold(): void {
    this.holding = true;
  }

  get heldCount(): number {
    return this.held.length;
  }

  /** What arrives from now on is decided at once; what is held stays so until `deliver`. */
  holdNoMore(): void {
    this.holding = false;
  }

  deliver(): void {
    for (const decide of this.held.splice(0)) decide();
  }

  close(): void {
    this.server.closeAllConnections();
    this.server.close();
  }

  private async receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      const write = JSON.parse(Buffer.concat(chunks).toString()) as Write;
      if (this.holding) await new Promise<void>((done) => this.held.push(done));
      response.writeHead(this.take(write) ? 200 : 409).end();
    } catch {
      // The sender was killed in the middle of its request.
      response.destroy();
    }
  }

  private take({ lock, id, token }: Write): boolean {
    const highest = this.highest.get(lock) ?? 0;
    const accepted = token >= highest || !this.checksToken;
    if (accepted) this.highest.set(lock, Math.max(highest, token));
    const reason = token >= highest ? 'current' : `token ${highest} was taken before`;
    this.onDecision({ lock, id, token, accepted, reason, sequence: ++this.sequence });
    return accepted;
  }
}
