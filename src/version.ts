import packageJson from '../package.json';

/** The package's version. */
export const version: string = packageJson.version;
