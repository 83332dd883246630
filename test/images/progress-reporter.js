'use strict';

/** A line for each test as it ends: the suites take minutes. */
module.exports = class ProgressReporter {
  onTestCaseResult(_test, { status, fullName, duration }) {
    process.stderr.write(`${status} (${Math.round((duration ?? 0) / 1000)} s): ${fullName}\n`);
  }
};
