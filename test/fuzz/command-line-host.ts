/** Runs each command line that its parent sends, in this one process, and sends back what came of it. */
import { runCommand } from '../../src/cli/run-command';

export interface Ran {
  code: number;
  text: string;
}

let said: string[] = [];
console.log = console.error = (...parts: unknown[]): void => void said.push(parts.join(' '));

process.on('message', (argv: string[]) => {
  said = [];
  void runCommand(argv).then((code) => {
    const ran: Ran = { code, text: said.join('\n') };
    process.send?.(ran);
  });
});
