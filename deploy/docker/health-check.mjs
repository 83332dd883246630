// The image's HEALTHCHECK: exit code 0 when the page answers 200. Without an argument it asks a pod whether it lives,
// on the port of BATON_HEALTH_PORT (default 8080).
const { BATON_HEALTH_HOST: host, BATON_HEALTH_PORT: port } = process.env;
const anywhere = !host || host === '0.0.0.0' || host === '::';
const url = process.argv[2] ?? `http://${anywhere ? '127.0.0.1' : host}:${port || 8080}/livez`;
try {
  const answer = await fetch(url, { signal: AbortSignal.timeout(4_000) });
  console.log(`${url}: ${answer.status} ${(await answer.text()).slice(0, 300)}`);
  process.exitCode = answer.ok ? 0 : 1;
} catch (error) {
  console.log(`${url}: ${error.cause?.message ?? error.message}`);
  process.exitCode = 1;
}
