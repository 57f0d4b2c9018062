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
  /nvme nvme\d+: pci function /,
  /nvme nvme\d+: \d+\/\d+\/\d+ default\/read\/poll queues/,
  /(?:EXT4-fs|XFS) \((?:nvme\d+n\d+|vd[a-z])\): (?:un)?mount/i,
  /XFS \(nvme\d+n\d+\): Ending clean mount/,
  /SGI XFS with /,
  // both ends of a connection close it at once (TCP_CLOSING)
  /nvme nvme\d+: queue \d+ socket state 11$/,
  /: \d+ callbacks suppressed/,
  /Command line: |Kernel command line: /,
];
const ofInterest = /nvme|EXT4-fs|XFS/;

/**
 * A keep alive that fell due while the host was deleting the controller: the host refuses its own request before
 * it is sent (error 4, BLK_STS_TRANSPORT), and computes the round trip from a start that never was, hence a time
 * near 2^32 ms (jiffies start 300 s before they wrap). One that was sent and not answered has a round trip of seconds, and stays unexpected.
 */
const neverSent =
  /^.*(nvme nvme\d+: )long keepalive RTT \(4294[6-9]\d{5} ms\)\n.*\1failed nvme_keep_alive_end_io error=4\n/gm;

/**
 * What the Linux NVMe/TCP host says of a connection that is ended while I/O and keep alives go over it, as a killed
 * target or path does: requests that it could not send (EPIPE, ECONNRESET), and the way back.
 */
export const connectionEnds = [
  /nvme nvme\d+: (?:starting error recovery|queue \d+: |queue \d+ socket state \d+$)/,
  /nvme nvme\d+: failed to send request -(?:32|104)$/,
  /nvme nvme\d+: failed nvme_keep_alive_end_io error=(?:4|10)$/,
  /nvme nvme\d+: (?:Reconnecting in \d+ seconds|failed to connect socket: -111$|Failed reconnect attempt \d+|Successfully reconnected)/,
];

/** The lines that should not be there: alarms, and about NVMe or file systems whatever is not usual or `allowed`. */
export function unexpectedLines(dmesg: string, allowed: RegExp[] = []): string[] {
  return dmesg
    .replace(neverSent, '')
    .split('\n')
    .filter((line) => alarms.test(line) || ofInterest.test(line))
    .filter((line) => !allowed.some((pattern) => pattern.test(line)))
    .filter((line) => alarms.test(line) || !usual.some((pattern) => pattern.test(line)));
}
