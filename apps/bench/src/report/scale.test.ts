import { describe, expect, it } from 'vitest';
import { Markup, markup } from './markup.ts';
import { differenceScale, linearScale, roundTicks, stepScale } from './scale.ts';

describe('scales', () => {
  it('have round ticks', () => {
    expect(roundTicks(0, 1, 5)).toHaveLength(6);
    expect(roundTicks(-0.03, 0.11, 6).map((tick) => Number(tick.toFixed(4)))).toEqual([
      -0.025, 0, 0.025, 0.05, 0.075, 0.1,
    ]);
    const { at, ticks } = linearScale(0, 970, 100, 200);
    expect([at(0), at(ticks.at(-1)!)]).toEqual([100, 200]);
    expect(ticks.at(-1)).toBe(1000);
  });

  it('show small differences as they are and large ones as ratios', () => {
    expect(differenceScale(-0.05, 0.2, 0, 500).ticks).toContain(0);
    const { at, ticks } = differenceScale(-0.5, 1.9, 0, 600);
    expect(ticks).toContain(0);
    expect(at(0) - at(-0.5)).toBeCloseTo(at(1) - at(0), 6);
    expect(Number.isFinite(at(-2))).toBe(true);
  });

  it('step through the values of a sweep', () => {
    const { at, ticks } = stepScale([4, 1, 2, 1], 0, 100);
    expect(ticks).toEqual([1, 2, 4]);
    expect([at(1), at(2), at(4)]).toEqual([0, 50, 100]);
    expect(stepScale([3], 0, 100).at(3)).toBe(0);
  });
});

describe('markup', () => {
  it('escapes text and leaves markup', () => {
    expect(
      markup`<b title="${'"a" & <b>'}">${markup`<i>${1.234}</i>`}${['x', new Markup('<br>')]}${null}</b>`
        .text,
    ).toBe('<b title="&quot;a&quot; &amp; &lt;b&gt;"><i>1.23</i>x<br></b>');
  });
});
