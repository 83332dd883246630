/** Of one answer: ten thousand connections take a tenth of it. */
const maxAnswerBytes = 16 * 1024 * 1024;

interface BrokerConnection {
  name: string;
  clientName: string | null;
}

/** Who consumes a queue. */
export interface BrokerConsumer {
  /** The broker's name of the connection, `host:port -> host:port`. */
  connection: string;
  /** What the client called it, if anything. */
  clientName: string | null;
  tag: string;
}

export interface BrokerQueue {
  type: string;
  arguments: Record<string, unknown>;
  /** Of the policy that applies to it. */
  policy: Record<string, unknown>;
  messages: number;
  consumers: BrokerConsumer[];
}

/** What is not there, as far as the user of the API may know. */
export class NotThereError extends Error {
  override readonly name = 'NotThereError';
}

/**
 * The few calls of RabbitMQ's management API that are needed; all calls of one instance end within one time limit. Its
 * user needs the tag `management`.
 */
export class ManagementApi {
  private readonly base: string;
  private readonly authorization: string;
  private readonly signal: AbortSignal;

  constructor(
    address: string,
    private readonly limitMs: number,
  ) {
    this.signal = AbortSignal.timeout(limitMs);
    const { origin, pathname, username, password } = new URL(address);
    this.base = `${origin}${pathname.replace(/\/$/, '')}/api`;
    // fetch refuses an address with credentials in it.
    const credentials = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
    this.authorization = `Basic ${Buffer.from(credentials).toString('base64')}`;
  }

  async connectionsNamed(wanted: string): Promise<string[]> {
    const connections = await this.connections();
    return connections.filter(({ clientName }) => clientName === wanted).map(({ name }) => name);
  }

  async closeConnection(name: string, reason: string): Promise<void> {
    const response = await this.ask('DELETE', `/connections/${encodeURIComponent(name)}`, {
      'X-Reason': reason,
    });
    await response.body?.cancel();
  }

  /** The broker's lists are up to some seconds old. @throws NotThereError where there is no such queue. */
  async queue(vhost: string, name: string): Promise<BrokerQueue> {
    const path = `/queues/${encodeURIComponent(vhost)}/${encodeURIComponent(name)}`;
    const [queue, connections] = await Promise.all([
      this.get(path).then((answer) => (answer ?? {}) as QueueAnswer),
      this.connections(),
    ]);
    const named = new Map(connections.map((each) => [each.name, each.clientName] as const));
    return {
      type: queue.type ?? 'unknown',
      arguments: queue.arguments ?? {},
      policy: queue.effective_policy_definition ?? {},
      messages: queue.messages ?? 0,
      consumers: (queue.consumer_details ?? []).map(({ channel_details: channel, consumer_tag: tag }) => {
        const connection = channel?.connection_name ?? 'an unknown connection';
        return { connection, clientName: named.get(connection) ?? null, tag };
      }),
    };
  }

  /** Where messages go that are published to this exchange. @throws NotThereError where there is none. */
  async boundQueues(vhost: string, exchange: string): Promise<string[]> {
    const path = `/exchanges/${encodeURIComponent(vhost)}/${encodeURIComponent(exchange)}/bindings/source`;
    const bindings = recordsIn<{ destination: string; destination_type: string }>(await this.get(path));
    return bindings.filter((each) => each.destination_type === 'queue').map((each) => each.destination);
  }

  private async connections(): Promise<BrokerConnection[]> {
    const all = await this.get('/connections?columns=name,client_properties');
    return recordsIn<ConnectionAnswer>(all).flatMap(({ name, client_properties: properties }) => {
      const called = properties?.connection_name;
      // What a client calls itself can be anything.
      return typeof name === 'string'
        ? [{ name, clientName: typeof called === 'string' ? called : null }]
        : [];
    });
  }

  private async get(path: string): Promise<unknown> {
    return JSON.parse(await limitedText(await this.ask('GET', path)));
  }

  private async ask(method: string, path: string, headers: Record<string, string> = {}): Promise<Response> {
    try {
      const response = await fetch(`${this.base}${path}`, {
        method,
        headers: { authorization: this.authorization, ...headers },
        // The credentials are for this address only.
        redirect: 'error',
        signal: this.signal,
      });
      // Not there any more is what was wanted.
      if (response.ok || (method === 'DELETE' && response.status === 404)) return response;
      await response.body?.cancel();
      const sentence = `it answered ${response.status} ${response.statusText}`.trim();
      throw response.status === 404 ? new NotThereError(sentence) : new Error(sentence);
    } catch (error) {
      if ((error as Error).name !== 'TimeoutError') throw error;
      throw new Error(`no answer within ${this.limitMs / 1000} s`, { cause: error });
    }
  }
}

interface ConnectionAnswer {
  name?: unknown;
  client_properties?: { connection_name?: unknown } | null;
}

interface QueueAnswer {
  type?: string;
  arguments?: Record<string, unknown>;
  effective_policy_definition?: Record<string, unknown>;
  messages?: number;
  consumer_details?: { consumer_tag: string; channel_details?: { connection_name?: string } }[];
}

/** A proxy's error page, or another service, may answer in the broker's place. */
function recordsIn<T>(answer: unknown): T[] {
  if (!Array.isArray(answer)) throw new Error('it answered with something else than a list');
  return answer.filter((each) => typeof each === 'object' && each !== null) as T[];
}

async function limitedText({ body }: Response): Promise<string> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of body ?? []) {
    parts.push(part as Uint8Array);
    bytes += (part as Uint8Array).length;
    if (bytes > maxAnswerBytes) throw new Error(`its answer is longer than ${maxAnswerBytes} bytes`);
  }
  return Buffer.concat(parts).toString('utf8');
}

/** fetch says only "fetch failed"; what failed is in the cause. Never shows the address, which has a password in it. */
export function managementFailure(error: unknown): string {
  const { message, cause } = error as Error & { cause?: Partial<Error> };
  return message === 'fetch failed' ? cause?.message || message : message;
}

/** The virtual host of an AMQP address; `/` where nothing is known. */
export function vhostOf(amqpUrl: string): string {
  const path = URL.canParse(amqpUrl) ? new URL(amqpUrl).pathname.slice(1) : '';
  return path === '' ? '/' : decodeURIComponent(path);
}
