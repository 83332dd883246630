import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join, relative, resolve } from 'node:path';
import packageJson from '../../package.json';

export const languages = ['ts', 'js'] as const;
export type Language = (typeof languages)[number];

export interface StarterFile {
  /** Relative to the project's folder. */
  path: string;
  content: string;
}

/** Files that npm would take as its own inside a package stand there without their dot. */
const dotted = new Set(['gitignore', 'dockerignore', 'env']);

/** From src/ as well as from dist/src/. */
const templates = resolve(
  __dirname,
  __dirname.includes(join('dist', 'src')) ? '../../..' : '../..',
  'templates',
);

/** All files of a new project in this folder. */
export function starterFiles(folder: string, language: Language): StarterFile[] {
  const handler = language === 'ts' ? 'dist/src/handler.js' : 'src/handler.js';
  const words: Record<string, string> = {
    '@NAME@': projectName(folder),
    '@HANDLER@': handler,
    '@LANGUAGE@': language,
    '@BUILD@': language === 'ts' ? 'npm run build && ' : '',
    '@SOURCES@': language === 'ts' ? 'dist/src' : 'src',
    '@SECRET@': randomBytes(16).toString('hex'),
  };
  const filled = (text: string): string => text.replace(/@[A-Z]+@/g, (word) => words[word] ?? word);
  const read = (part: string): StarterFile[] => {
    const from = join(templates, 'starter', part);
    return readdirSync(from, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ name, parentPath }) => ({
        path: relative(from, join(parentPath, dotted.has(name) ? `.${name}` : name)),
        content: filled(readFileSync(join(parentPath, name), 'utf8')),
      }));
  };
  const own = { path: 'package.json', content: asJson(manifest(projectName(folder), language)) };
  return [own, ...read('common'), ...read(language)].toSorted((a, b) => a.path.localeCompare(b.path));
}

/** What npm accepts as a name, from the folder's. */
function projectName(folder: string): string {
  const name = basename(resolve(folder))
    .toLowerCase()
    .replace(/[^a-z0-9-]+/g, '-')
    .replace(/^-+|-+$/g, '');
  return name === '' || name === packageJson.name ? 'baton-starter' : name.slice(0, 100);
}

/** The versions are those that this version of Baton is built and tested with. */
function manifest(name: string, language: Language): object {
  const { engines, devDependencies: versions } = packageJson;
  const compiled = language === 'ts';
  const [compile, tests] = compiled ? ['npm run --silent build && ', 'dist/test'] : ['', 'test'];
  return {
    name,
    version: '0.1.0',
    private: true,
    type: 'module',
    engines,
    scripts: {
      ...(compiled && { build: 'tsc -p .' }),
      dev: `${compile}node ${tests}/two-regions.js`,
      test: `${compile}node --test ${tests}/*.test.js`,
    },
    dependencies: { [packageJson.name]: packageJson.version },
    ...(compiled && {
      devDependencies: { '@types/node': versions['@types/node'], typescript: versions.typescript },
    }),
  };
}

const asJson = (value: object): string => `${JSON.stringify(value, null, 2)}\n`;
