import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { parse } from 'yaml';
import { findProgram } from '../../src/dev/find-program';
import { MessageMetrics } from '../../src/listener/message-metrics';
import { PodMetrics } from '../../src/telemetry/metrics';

const deploy = resolve(__dirname, '../../deploy');
const rulesFile = resolve(deploy, 'prometheus/baton-alerts.yaml');
const testsFile = resolve(deploy, 'prometheus/baton-alerts.test.yaml');
const dashboardFile = resolve(deploy, 'grafana/baton.json');

interface Rules {
  groups: { rules: { alert: string; expr: string }[] }[];
}
interface RuleTests {
  tests: {
    input_series: { series: string }[];
    alert_rule_test: { alertname: string; exp_alerts: unknown[] }[];
  }[];
}
interface Dashboard {
  panels: { title: string; targets: { expr: string }[] }[];
}

const { groups } = parse(readFileSync(rulesFile, 'utf8')) as Rules;
const { tests } = parse(readFileSync(testsFile, 'utf8')) as RuleTests;
const dashboard = JSON.parse(readFileSync(dashboardFile, 'utf8')) as Dashboard;
const rules = groups.flatMap((group) => group.rules);

/** `findProgram` throws where there is none: a machine without promtool fails this test, and skips nothing. */
function promtool(...args: string[]): { status: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync(findProgram('promtool'), args, { encoding: 'utf8' });
  return { status, output: `${stdout}${stderr}` };
}

test('promtool accepts the alert rules', () => {
  expect(promtool('check', 'rules', rulesFile)).toEqual({
    status: 0,
    output: expect.stringContaining(`SUCCESS: ${rules.length} rules found`),
  });
});

test("the rules' own tests pass", () => {
  expect(promtool('test', 'rules', testsFile)).toEqual({
    status: 0,
    output: expect.stringContaining('SUCCESS'),
  });
});

test('each rule is tested firing and not firing', () => {
  const cases = tests.flatMap((each) => each.alert_rule_test);
  const covered = rules.map(({ alert }) => {
    const own = cases.filter(({ alertname }) => alertname === alert);
    return {
      alert,
      fires: own.some(({ exp_alerts: alerts }) => alerts.length > 0),
      keepsQuiet: own.some(({ exp_alerts: alerts }) => alerts.length === 0),
    };
  });
  expect(covered).toEqual(rules.map(({ alert }) => ({ alert, fires: true, keepsQuiet: true })));
});

async function metricNames(): Promise<Set<string>> {
  const pod = new PodMetrics({ version: '1', region: 'r', locks: [] });
  const listener = new MessageMetrics('r');
  const all = await Promise.all([pod.registry, listener.registry].map((each) => each.getMetricsAsJSON()));
  return new Set(all.flat().map(({ name }) => name));
}

const used = (text: string): string[] =>
  [...text.matchAll(/\b(baton_\w+?)(?:_bucket|_sum|_count)?\b(?!\w)/g)].map(([, name = '']) => name);

test('every metric that the alerts, their tests and the dashboard name is one that Baton has', async () => {
  const known = await metricNames();
  const expressions = [
    ...rules.map(({ expr }) => expr),
    ...tests.flatMap((each) => each.input_series.map(({ series }) => series)),
    ...dashboard.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr)),
    JSON.stringify(dashboard),
  ];
  const names = new Set(expressions.flatMap(used));
  expect(names.size).toBeGreaterThan(15);
  expect([...names].filter((name) => !known.has(name))).toEqual([]);
});

test("every panel's expression is one that Prometheus can read", () => {
  const asRules = dashboard.panels.flatMap(({ targets }, panel) =>
    targets.map(({ expr }, index) => ({
      record: `panel_${panel}_${index}`,
      // Grafana puts these in.
      expr: expr.replaceAll('$__rate_interval', '1m').replaceAll('$lock', '.+'),
    })),
  );
  const file = join(mkdtempSync(join(tmpdir(), 'baton-panels-')), 'panels.yaml');
  const asGroups = asRules.map((rule, index) => ({ name: `panel-${index}`, rules: [rule] }));
  writeFileSync(file, JSON.stringify({ groups: asGroups }));
  const checked = promtool('check', 'rules', file);
  rmSync(dirname(file), { recursive: true });
  expect(checked).toEqual({
    status: 0,
    output: expect.stringContaining(`SUCCESS: ${asRules.length} rules found`),
  });
});
