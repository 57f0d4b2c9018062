/** Maps values to places on a line, with ticks at round values. */
export interface Scale {
  readonly at: (value: number) => number;
  readonly ticks: readonly number[];
}

/** Round values from `low` to `high`: steps of 1, 2, 2.5 or 5 times a power of ten, about `count` of them. */
export function roundTicks(low: number, high: number, count: number): number[] {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((one) => one >= rough)!;
  const ticks: number[] = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) ticks.push(i * step);
  return ticks;
}

/** From the nearest round values outside. */
export function linearScale(low: number, high: number, from: number, to: number, count = 6): Scale {
  const [least, most] = low === high ? [low - 1, high + 1] : [low, high];
  const inner = roundTicks(least, most, count);
  const step = inner.length > 1 ? inner[1]! - inner[0]! : most - least;
  const [first, last] = [Math.floor(least / step + 1e-9) * step, Math.ceil(most / step - 1e-9) * step];
  return {
    at: (value) => from + ((value - first) / (last - first)) * (to - from),
    ticks: roundTicks(first, last, Math.round((last - first) / step)),
  };
}

const RATIOS = [0.1, 0.125, 0.2, 0.25, 0.5, 0.67, 0.8, 1, 1.25, 1.5, 2, 3, 4, 6, 8, 12, 16, 32, 64];
const RATIO_MIN = 0.05;

/**
 * A scale for relative differences (0.1 is +10 %). Linear while they are small; when one is as large as half or
 * double, by the logarithm of the ratio, so that half and double are equally far from nothing.
 */
export function differenceScale(low: number, high: number, from: number, to: number): Scale {
  if (high < 1 && low > -0.5) return linearScale(Math.min(low, -0.01), Math.max(high, 0.01), from, to);
  const ratio = (difference: number): number => Math.max(RATIO_MIN, 1 + difference);
  const [least, most] = [Math.min(1, ratio(low)) * 0.93, Math.max(1, ratio(high)) * 1.07];
  const [start, length] = [Math.log(least), Math.log(most) - Math.log(least)];
  const at = (value: number): number => from + ((Math.log(ratio(value)) - start) / length) * (to - from);
  const inside = RATIOS.filter((one) => one >= least && one <= most);
  const apart: number[] = [];
  // Ticks keep their distance; the one at nothing always stays.
  for (const one of inside) {
    const near = apart.at(-1);
    if (near === undefined || at(one - 1) - at(near - 1) > 52) apart.push(one);
    else if (one === 1) apart[apart.length - 1] = 1;
  }
  return { at, ticks: apart.map((one) => one - 1) };
}

/** By the logarithm, with ticks at the given values: queue depths, sizes, connections. */
export function stepScale(values: readonly number[], from: number, to: number): Scale {
  const ticks = [...new Set(values)].sort((a, b) => a - b);
  const [low, high] = [Math.log(ticks[0]!), Math.log(ticks.at(-1)!)];
  const length = high - low || 1;
  return { at: (value) => from + ((Math.log(value) - low) / length) * (to - from), ticks };
}
