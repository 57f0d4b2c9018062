/** What an identity says, or null if it is none of NVMe/TCP. */
export function parsePskIdentity(
  identity: string,
): { version: number; hash: number; hostnqn: string; subnqn: string } | null {
  const match = /^NVMe([01])[RG](\d\d) (\S+) (\S+)(?: (\S+))?$/.exec(identity);
  if (match === null || (match[1] === '1') !== (match[5] !== undefined)) return null;
  return { version: Number(match[1]), hash: Number(match[2]), hostnqn: match[3]!, subnqn: match[4]! };
}
