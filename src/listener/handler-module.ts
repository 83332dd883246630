import { pathToFileURL } from 'node:url';
import type { Handler } from './handler';

/**
 * Loads the user's module, CommonJS or ESM, and returns its `handle`.
 * @throws Error with the setting, the path and what was expected, and the original in `cause`.
 */
export async function loadHandler(lock: string, path: string): Promise<Handler> {
  const setting = `locks.${lock}.handler`;
  let loaded: { handle?: unknown; default?: { handle?: unknown } | null };
  try {
    loaded = (await import(pathToFileURL(path).href)) as typeof loaded;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`${setting}: the module ${path} could not be loaded: ${why}`, { cause: error });
  }
  // A CommonJS module's exports are behind `default` when Node could not find their names in the source.
  const handle = loaded.handle ?? loaded.default?.handle;
  if (typeof handle !== 'function') {
    throw new Error(
      `${setting}: the module ${path} must export a function \`handle(message, context)\`; ` +
        `its \`handle\` is ${handle === undefined ? 'missing' : `of type ${typeof handle}`}`,
    );
  }
  return handle as Handler;
}
