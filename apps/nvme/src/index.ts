/** nvme-ts and nvme-identify are programs: they offer nothing to import. */
export {};
