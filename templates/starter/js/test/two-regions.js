// `npm run dev`: both regions on this machine until Ctrl-C, with servers of their own and twenty orders a second.
import { startTestSystem } from 'baton/testing';

const system = await startTestSystem({
  config: 'baton.yaml',
  message: (n) => ({ id: `order-${n}`, pieces: n }),
  onProgress: (line) => console.log(line),
});
process.once('SIGINT', () => void system.stop().then(() => process.exit()));
system.publish(20);
console.log(`
${system.activeRegion} is active. In another terminal, in this folder:
  export BATON_CONFIG=${system.configFile}
  npx baton status
  npx baton switch --to us-west --reason "trying it"
Ctrl-C ends everything.`);
