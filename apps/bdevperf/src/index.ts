/** bdevperf-ts is a program: it offers nothing to import. */
export {};
