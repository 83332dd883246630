import { join } from 'node:path';
import type { Command } from '../../dev/server';
import { BuiltProgram, sourceFolder, toolPath } from './built-program';

const sources = join(sourceFolder, 'curator');

/** The Curator contender with its libraries, and ZooKeeper among them. */
export const curatorBuild = new BuiltProgram('curator', ['curator'], 'about 20 s', (into) => [
  {
    program: toolPath('mvn'),
    args: [
      ...['--batch-mode', '--quiet', '--file', join(sources, 'pom.xml'), 'dependency:copy-dependencies'],
      ...['-DincludeScope=runtime', `-DoutputDirectory=${join(into, 'jars')}`],
    ],
    folder: into,
  },
  {
    program: toolPath('javac'),
    args: ['-cp', join(into, 'jars', '*'), '-d', join(into, 'classes'), join(sources, 'Contender.java')],
    folder: into,
  },
]);

/** A class of that build. */
export function java(mainClass: string, args: string[]): Command {
  const { folder } = curatorBuild;
  const classPath = [join(folder, 'classes'), join(folder, 'jars', '*')].join(':');
  const options = ['-Xmx256m', '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn', '-cp', classPath];
  return { program: toolPath('java'), args: [...options, mainClass, ...args] };
}
