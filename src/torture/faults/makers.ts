import type { FaultName } from '../fault-catalogue';
import { clockFaults } from './clock-faults';
import type { FaultMaker } from './fault';
import { linkFaults } from './link-faults';
import { messageFaults } from './message-faults';
import { packetFaults } from './packet-faults';
import { podFaults } from './pod-faults';
import { serverFaults } from './server-faults';

/** How each kind of the catalogue is done. */
export const faultMakers: Record<FaultName, FaultMaker> = {
  ...podFaults,
  ...clockFaults,
  ...serverFaults,
  ...linkFaults,
  ...packetFaults,
  ...messageFaults,
};
