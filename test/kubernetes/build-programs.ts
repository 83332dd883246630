import { kubeApiserverBuild } from '../../src/bench/peers/kube-apiserver';
import { helmBuild, jobParserBuild } from './programs';

/** What `npm run test:kubernetes` needs, one after the other: each takes all processors. */
async function main(): Promise<void> {
  const say = (line: string): void => void process.stderr.write(`setup: ${line}\n`);
  for (const program of [helmBuild, jobParserBuild, kubeApiserverBuild]) await program.build(say);
}

main().catch((error: Error) => {
  process.stderr.write(`${error.message}\n`);
  process.exit(1);
});
