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

/**
 * For a process that rehearses: what V8 learns of an object's shape counts from a function's first call on, where it otherwise
 * begins to learn after some calls. And nothing is compiled between bytecode and optimized code, which would fall on the
 * first calls that matter.
 */
export function learnAtOnce(): void {
  setFlagsFromString('--no-lazy-feedback-allocation');
  setFlagsFromString('--no-sparkplug');
}

/** What is loaded from now on may be large, and seldom all of it is called. */
export function compileLazily(): void {
  setFlagsFromString('--lazy');
}
