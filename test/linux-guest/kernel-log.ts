/** What the kernel log of a guest may say. */

/** Never said by a kernel that is well, whoever says it. */
const alarms =
  /\bWARNING\b|\bBUG:|\bOops\b|Call Trace|I\/O error|Kernel panic|general protection|blocked for more than|soft lockup|hung task|rcu:.*(?:stall|detected)|EXT4-fs (?:error|warning)|XFS.*(?:error|corrupt|[Ss]hutdown)|Buffer I\/O|critical .* error/;

/** What the NVMe drivers and the file systems say when all is well. */
const usual = [
  /nvme nvme\d+: (?:new ctrl: NQN|Removing ctrl: NQN) /,
  /nvme nvme\d+: creating \d+ I\/O queues\./,
  /nvme nvme\d+: mapped \d+\/\d+\/\d+ default\/read\/poll queues\./,
  /nvme nvme\d+: rescanning namespaces\./,
  /(?:EXT4-fs|XFS) \(nvme\d+n\d+\): (?:un)?mount/i,
  /XFS \(nvme\d+n\d+\): Ending clean mount/,
  /SGI XFS with /,
  // both ends of a connection close it at once (TCP_CLOSING)
  /nvme nvme\d+: queue \d+ socket state 11$/,
  /: \d+ callbacks suppressed/,
  /Command line: |Kernel command line: /,
];
const ofInterest = /nvme|EXT4-fs|XFS/;

/** The lines that should not be there: alarms, and about NVMe or file systems whatever is not usual or `allowed`. */
export function unexpectedLines(dmesg: string, allowed: RegExp[] = []): string[] {
  return dmesg
    .split('\n')
    .filter((line) => alarms.test(line) || ofInterest.test(line))
    .filter((line) => !allowed.some((pattern) => pattern.test(line)))
    .filter((line) => alarms.test(line) || !usual.some((pattern) => pattern.test(line)));
}
