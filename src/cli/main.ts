#!/usr/bin/env node
import { runCommand } from './run-command';

// "baton status | head": the reader left, and that is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));

void runCommand(process.argv.slice(2))
  // Clients may hold sockets that retry for ever; what was printed must be out before the exit.
  .then((code) => process.stdout.write('', () => process.stderr.write('', () => process.exit(code))));
