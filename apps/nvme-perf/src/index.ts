/** nvme-perf is a program: it offers nothing to import. */
export {};
