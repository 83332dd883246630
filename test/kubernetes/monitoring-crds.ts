import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import { toolPath } from '../../src/bench/peers/built-program';
import type { KubernetesObject } from './chart';

const operator = 'github.com/prometheus-operator/prometheus-operator@v0.85.0';

/** The Prometheus Operator's own definitions of the kinds that the chart makes. They come with its Go module. */
export function monitoringCrds(): KubernetesObject[] {
  // Not in a folder below a module of ours. A second time it is in Go's cache.
  const answer = execFileSync(toolPath('go'), ['mod', 'download', '-json', operator], {
    cwd: tmpdir(),
    encoding: 'utf8',
  });
  const { Dir } = JSON.parse(answer) as { Dir: string };
  return ['servicemonitors', 'prometheusrules'].map((plural) => {
    const file = join(Dir, 'example/prometheus-operator-crd', `monitoring.coreos.com_${plural}.yaml`);
    return parse(readFileSync(file, 'utf8')) as KubernetesObject;
  });
}
