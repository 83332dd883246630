import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { helmBuild } from './programs';

export interface KubernetesObject {
  apiVersion: string;
  kind: string;
  metadata: { name: string; namespace?: string; labels?: Record<string, string> } & Record<string, unknown>;
  spec?: any;
  data?: Record<string, string>;
}

const helmFolder = resolve(__dirname, '../../deploy/helm');
export const chartFolder = join(helmFolder, 'baton');
export const example = (name: string): string => join(helmFolder, 'examples', `${name}.yaml`);
export const release = 'orders';
export const namespace = 'baton-test';
/** Of the API server that the chart is applied to. */
const kubeVersion = '1.36.3';

const helmProgram = (): string => join(helmBuild.folder, 'helm');

/** @throws Error with what helm said. */
export function helm(args: string[], environment: NodeJS.ProcessEnv = {}): string {
  return execFileSync(helmProgram(), args, {
    encoding: 'utf8',
    env: { ...process.env, ...environment },
    stdio: 'pipe',
    maxBuffer: 32 << 20,
  });
}

/** A file with these values, for as long as `use` runs. */
export function withValues<T>(values: object, use: (file: string) => T): T {
  const folder = mkdtempSync(join(tmpdir(), 'chart-values-'));
  try {
    const file = join(folder, 'values.yaml');
    // YAML reads JSON.
    writeFileSync(file, JSON.stringify(values));
    return use(file);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const templateArgs = (files: string[]): string[] => [
  'template',
  release,
  chartFolder,
  `--namespace=${namespace}`,
  `--kube-version=${kubeVersion}`,
  ...files.map((file) => `--values=${file}`),
];

/** Every object of the chart, hooks too. */
export function render(files: string[], values: object = {}): KubernetesObject[] {
  const text = withValues(values, (file) => helm(templateArgs([...files, file])));
  return parseAllDocuments(text)
    .map((document) => {
      if (document.errors.length > 0) throw document.errors[0]!;
      return document.toJS() as KubernetesObject | null;
    })
    .filter((object): object is KubernetesObject => object !== null);
}

/** What helm says of values that it must refuse. */
export function refusal(files: string[], values: object): string {
  const { status, stderr } = withValues(values, (file) =>
    spawnSync(helmProgram(), templateArgs([...files, file]), { encoding: 'utf8' }),
  );
  if (status === 0) throw new Error('helm accepted these values');
  return stderr;
}

export function find(objects: KubernetesObject[], kind: string, name: string): KubernetesObject {
  const found = objects.find((object) => object.kind === kind && object.metadata.name === name);
  if (found) return found;
  const names = objects.map((object) => `${object.kind}/${object.metadata.name}`);
  throw new Error(`no ${kind}/${name}; there are ${names.join(', ')}`);
}

/** The templates of all pods: of Deployments, Jobs, and Pods themselves. */
export function podTemplates(objects: KubernetesObject[]): { owner: string; metadata: any; spec: any }[] {
  return objects.flatMap(({ kind, metadata, spec }) => {
    const owner = `${kind}/${metadata.name}`;
    if (kind === 'Pod') return [{ owner, metadata, spec }];
    return spec?.template?.spec
      ? [{ owner, metadata: spec.template.metadata, spec: spec.template.spec }]
      : [];
  });
}
