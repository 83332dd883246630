import type { Bench } from './bench';
import type { BenchName } from './bench-options';
import { costBench } from './cost-bench';
import { crashBench } from './crash-bench';
import { switchBench } from './switch-bench';
import { throughputBench } from './throughput-bench';

/** All benches by name. */
export const benches: Record<BenchName, Bench> = {
  switch: switchBench,
  crash: crashBench,
  throughput: throughputBench,
  cost: costBench,
};
