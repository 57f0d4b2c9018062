import type { Metric } from './metrics.ts';
import type { Difference } from './statistics/welch.ts';

/** `1.24 M`, `612 K`, `48.5`: three digits, whatever the size. */
export function formatNumber(value: number): string {
  if (!Number.isFinite(value)) return '–';
  const size = Math.abs(value);
  if (size >= 999.5e3) return `${digits(value / 1e6)} M`;
  if (size >= 9995) return `${digits(value / 1e3)} K`;
  return digits(value);
}

function digits(value: number): string {
  const size = Math.abs(value);
  if (size >= 99.95 || value === 0) return value.toFixed(0);
  if (size >= 9.995) return value.toFixed(1);
  return size >= 0.1 ? value.toFixed(2) : value.toPrecision(2);
}

export const formatValue = (value: number, { unit }: Metric): string =>
  unit === '' ? formatNumber(value) : `${formatNumber(value)} ${unit}`;

const sign = (value: number): string => (value > 0 ? '+' : value < 0 ? '−' : '±');

/** `+4.1 %` of a share. */
export function formatShare(share: number): string {
  if (!Number.isFinite(share)) return '–';
  const percent = Math.abs(share) * 100;
  return `${sign(share)}${percent.toFixed(percent >= 99.95 ? 0 : 1)} %`;
}

/** `1.24×` */
export const formatRatio = (ratio: number): string =>
  Number.isFinite(ratio) ? `${ratio.toFixed(ratio >= 9.995 ? 1 : 2)}×` : '–';

/** `+4.1 % (−0.8 % … +9.0 %)`: the difference with its confidence interval. */
export function formatDifference({ relative, relative_margin }: Difference): string {
  if (!Number.isFinite(relative_margin)) return formatShare(relative);
  const [low, high] = [relative - relative_margin, relative + relative_margin];
  return `${formatShare(relative)} (${formatShare(low)} … ${formatShare(high)})`;
}
