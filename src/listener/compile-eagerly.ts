import { compileEagerly } from '../eager-code';

/** To be imported first. */
compileEagerly();
