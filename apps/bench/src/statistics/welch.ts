import { studentQuantile } from './student.ts';
import { type Summary, summarize } from './summary.ts';

/** Whether more or less of a metric is better. */
export type Better = 'more' | 'less';
export type Verdict = 'faster' | 'slower' | 'no significant difference' | 'too few samples';

export const CONFIDENCE = 0.99;

/** How B differs from A, the baseline. */
export interface Difference {
  readonly a: Summary;
  readonly b: Summary;
  /** median(B) / median(A) */
  readonly ratio: number;
  /** mean(B) − mean(A), in the metric's unit */
  readonly difference: number;
  /** Half the width of the confidence interval of the difference; Infinity below two samples a side. */
  readonly margin: number;
  /** Welch–Satterthwaite; 0 below two samples a side. */
  readonly degrees_of_freedom: number;
  /** Difference and margin as shares of mean(A): 0.05 is 5 %. */
  readonly relative: number;
  readonly relative_margin: number;
  readonly verdict: Verdict;
}

/**
 * Compares two sets of samples by Welch's unequal-variances t: the difference of their means with its confidence
 * interval. The verdict is "faster" or "slower" only if the interval leaves out zero.
 */
export function compare(
  baseline: readonly number[],
  candidate: readonly number[],
  better: Better,
  confidence = CONFIDENCE,
): Difference {
  const [a, b] = [summarize(baseline), summarize(candidate)];
  const difference = b.mean - a.mean;
  const { margin, degrees_of_freedom } = interval(a, b, confidence);
  const common = { a, b, ratio: ratioOf(b.median, a.median), difference, margin, degrees_of_freedom };
  return {
    ...common,
    relative: a.mean === 0 ? (difference === 0 ? 0 : Math.sign(difference) * Infinity) : difference / a.mean,
    relative_margin: a.mean === 0 ? Infinity : margin / Math.abs(a.mean),
    verdict: verdictOf(difference, margin, better),
  };
}

const ratioOf = (b: number, a: number): number => (a === 0 ? (b === 0 ? 1 : Infinity) : b / a);

function interval(a: Summary, b: Summary, confidence: number) {
  if (a.n < 2 || b.n < 2) return { margin: Infinity, degrees_of_freedom: 0 };
  const [va, vb] = [a.sd ** 2 / a.n, b.sd ** 2 / b.n];
  const variance = va + vb;
  if (variance === 0) return { margin: 0, degrees_of_freedom: a.n + b.n - 2 };
  const degrees_of_freedom = variance ** 2 / (va ** 2 / (a.n - 1) + vb ** 2 / (b.n - 1));
  const t = studentQuantile(1 - (1 - confidence) / 2, degrees_of_freedom);
  return { margin: t * Math.sqrt(variance), degrees_of_freedom };
}

function verdictOf(difference: number, margin: number, better: Better): Verdict {
  if (margin === Infinity) return 'too few samples';
  if (Math.abs(difference) <= margin) return 'no significant difference';
  return difference > 0 === (better === 'more') ? 'faster' : 'slower';
}
