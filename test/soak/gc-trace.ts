/** What `node --trace-gc` says, as numbers. */
export interface Collection {
  /** Tells one thread from another. */
  readonly isolate: string;
  /** Since the thread's start, ms. */
  readonly at_ms: number;
  readonly kind: string;
  readonly pause_ms: number;
}

// [4711:0x5581e0] 1234 ms: Scavenge 5.6 (8.1) -> 4.9 (9.1) MB, 0.41 / 0.00 ms …
const line =
  /\[\d+:(0x[0-9a-f]+)\]\s+(\d+) ms: (Scavenge|Mark-Compact|Minor Mark-Compact)[^,\n]*MB, ([\d.]+) \//g;

/** Every collection in a trace, in order. */
export function collections(trace: string): Collection[] {
  return [...trace.matchAll(line)].map(([, isolate, at, kind, pause]) => ({
    isolate: isolate!,
    at_ms: Number(at),
    kind: kind!,
    pause_ms: Number(pause),
  }));
}

/** Values by key, in order. */
export function groups<K, V>(values: readonly V[], key: (value: V) => K): Map<K, V[]> {
  const found = new Map<K, V[]>();
  for (const value of values) {
    const group = found.get(key(value));
    if (group === undefined) found.set(key(value), [value]);
    else group.push(value);
  }
  return found;
}

/**
 * Text that shows the pauses of each thread. A pause is measured on the wall clock: where other processes compete
 * for the CPUs the longest is theirs, and the median is ours.
 */
export function describePauses(all: readonly Collection[]): string {
  const threads = groups(all, ({ isolate }) => isolate);
  const lines = [...threads].map(([isolate, own]) => {
    const longest = own.reduce((a, b) => (b.pause_ms > a.pause_ms ? b : a));
    const pauses = own.map(({ pause_ms }) => pause_ms).sort((a, b) => a - b);
    const median = pauses[Math.floor(pauses.length / 2)];
    const count = `${own.length} collections, ${pauses.filter((pause) => pause > 5).length} above 5 ms`;
    return `thread ${isolate}: ${count}, median ${median} ms, longest ${longest.pause_ms} ms (${longest.kind})`;
  });
  return lines.join('\n');
}
