import { cpSync, existsSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

/** One place in the compiled program, and what stands there instead. */
export interface Mutation {
  /** Below dist/. */
  file: string;
  find: string;
  replace: string;
}

/** The compiled product: this file itself may run uncompiled, under jest. */
export const dist = existsSync(join(__dirname, '..', '..', '..', 'workflow-bundle.js'))
  ? resolve(__dirname, '../../..')
  : resolve(__dirname, '../../../dist');

/**
 * Copies the compiled product below `folder` and changes it there. The product itself has no switch for any of this.
 * @returns the path of the command line in the copy.
 * @throws Error when a place is not found exactly once: the product has changed, and the mutation must follow.
 */
export function buildMutated(folder: string, mutations: readonly Mutation[]): string {
  const root = mkdtempSync(join(folder, 'mutated-'));
  const copy = join(root, 'dist');
  cpSync(dist, copy, {
    recursive: true,
    filter: (path) => !path.endsWith('.map') && !path.endsWith('.d.ts'),
  });
  symlinkSync(resolve(dist, '../node_modules'), join(root, 'node_modules'));
  for (const mutation of mutations) mutate(copy, mutation);
  return join(copy, 'src', 'cli', 'main.js');
}

function mutate(copy: string, { file, find, replace }: Mutation): void {
  const path = join(copy, file);
  const parts = readFileSync(path, 'utf8').split(find);
  if (parts.length !== 2)
    throw new Error(
      `mutation of dist/${file}: expected ${JSON.stringify(find)} once, found it ${parts.length - 1} times`,
    );
  writeFileSync(path, parts.join(replace));
}
