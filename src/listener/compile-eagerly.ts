import { compileEagerly, learnAtOnce } from '../eager-code';

/** To be imported first. */
compileEagerly();
learnAtOnce();
