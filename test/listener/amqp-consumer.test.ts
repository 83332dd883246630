import { setTimeout as sleep } from 'node:timers/promises';
import { connect, type Channel, type ConsumeMessage } from 'amqplib';
import pino from 'pino';
import type { QueueSettings } from '../../src/config/config';
import { AmqpConsumer } from '../../src/listener/amqp-consumer';
import { eventually } from '../support/eventually';
import { LossyProxy } from '../support/lossy-proxy';
import { sharedServers, uniqueName } from '../support/servers';
