import { setFlagsFromString } from 'node:v8';

/*
 * V8 compiles a function when it is called first, and forgets what was not called for a while. What Baton is there for is
 * called once in months, and then each millisecond counts: measured, a fifth of it was compiling. With these flags a
 * module's functions are compiled as it is loaded, and kept.
 */

/** For all modules that are loaded from now on. */
export function compileEagerly(): void {
  setFlagsFromString('--no-lazy');
  setFlagsFromString('--no-flush-bytecode');
}

/** What is loaded from now on may be large, and seldom all of it is called. */
export function compileLazily(): void {
  setFlagsFromString('--lazy');
}
