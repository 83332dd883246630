// A name server that knows no name. A test's containers ask it for names outside: a network that leads nowhere would keep
// them waiting for seconds, which gRPC's clients do at every connection.
import { createSocket } from 'node:dgram';

const HEADER_BYTES = 12;
const NO_SUCH_NAME = 3;

/** @returns {Promise<{address: string, close: () => void}>} On port 53 of a loopback address of its own. */
export function startNoNames() {
  const socket = createSocket('udp4');
  socket.on('message', (query, { port, address }) => {
    const answer = noSuchName(query);
    if (answer) socket.send(answer, port, address);
  });
  // Not the address that stands for systemd's name server, which Docker passes over.
  const part = () => 1 + Math.floor(Math.random() * 250);
  const address = `127.53.${part()}.${part()}`;
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.bind(53, address, () => resolve({ address, close: () => socket.close() }));
  });
}

/** Header and question of the query, made an answer; nothing for what is no query. */
function noSuchName(query) {
  if (query.length < HEADER_BYTES || query[2] & 0x80 || query.readUInt16BE(4) !== 1) return undefined;
  let end = HEADER_BYTES;
  while (query[end] > 0) end += 1 + query[end];
  end += 5; // The name's last byte, type and class.
  if (end > query.length) return undefined;
  const answer = Buffer.from(query.subarray(0, end));
  answer[2] = 0x80 | (query[2] & 0x79); // An answer; operation and "recursion desired" as they were.
  answer[3] = 0x80 | NO_SUCH_NAME;
  answer.fill(0, 6, HEADER_BYTES);
  return answer;
}
