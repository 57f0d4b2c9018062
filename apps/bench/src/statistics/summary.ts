/** What is said about the samples of one side. */
export interface Summary {
  readonly n: number;
  readonly median: number;
  readonly mean: number;
  /** Standard deviation of the sample (n − 1); 0 for a single one. */
  readonly sd: number;
  readonly min: number;
  readonly max: number;
}

export function median(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError('no values, no median');
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

/** Throws RangeError when there are no values. */
export function summarize(values: readonly number[]): Summary {
  const middle = median(values);
  const average = mean(values);
  const squares = values.reduce((sum, value) => sum + (value - average) ** 2, 0);
  return {
    n: values.length,
    median: middle,
    mean: average,
    sd: values.length > 1 ? Math.sqrt(squares / (values.length - 1)) : 0,
    min: Math.min(...values),
    max: Math.max(...values),
  };
}
