import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { DevStack } from '../../dev/dev-stack';
import { startOnFreePorts, type Server, type ServerOptions } from '../../dev/server';

/** A server that one peer needs besides the stack's own. It ends with the stack, however that ends. */
export class StackServer<T extends Server & { readonly address: string }> {
  private readonly started = new WeakMap<DevStack, Promise<T>>();

  constructor(
    private readonly name: string,
    /** A new one on ports that are free, with its data in `folder`. */
    private readonly create: (stack: DevStack, folder: string, options: ServerOptions) => Promise<T>,
  ) {}

  /** Its address; it is started when it is asked for the first time, and then shared by all. */
  async addressIn(stack: DevStack): Promise<string> {
    let server = this.started.get(stack);
    if (!server) this.started.set(stack, (server = this.start(stack)));
    return (await server).address;
  }

  private start(stack: DevStack): Promise<T> {
    const folder = join(stack.folder, this.name);
    mkdirSync(folder, { recursive: true });
    const reaper = {
      environment: stack.environment,
      watch: (pid: number, options?: { group?: boolean }) => stack.adopt(pid, options),
    };
    const options = { reaper, logFile: join(folder, `${this.name}.log`) };
    return startOnFreePorts(() => this.create(stack, folder, options));
  }
}
