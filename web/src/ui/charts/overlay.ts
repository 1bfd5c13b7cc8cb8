// Curves of several runs on one x axis.
import type { Points } from "./points.js";

/** (step, value) in the order of the steps. */
export type Curve = readonly (readonly [number, number])[];

/** Columns over the union of all steps; `null` where a curve has no point. */
export function overlay(curves: readonly Curve[]): Points {
  const steps = [...new Set(curves.flatMap((curve) => curve.map(([step]) => step)))].sort((a, b) => a - b);
  const places = new Map(steps.map((step, index) => [step, index]));
  const columns = curves.map((curve) => {
    const column = new Array<number | null>(steps.length).fill(null);
    for (const [step, value] of curve) column[places.get(step) ?? 0] = value;
    return column;
  });
  return [steps, ...columns];
}

/**
 * An exponential moving average with this weight on the past. The average of the first points is corrected for having no past, as Adam
 * does, so that a smoothed curve begins where the curve does.
 */
export function smooth(curve: Curve, weight: number): Curve {
  if (weight <= 0) return curve;
  let mean = 0;
  let past = 1;
  return curve.map(([step, value]) => {
    mean = weight * mean + (1 - weight) * value;
    past *= weight;
    return [step, mean / (1 - past)];
  });
}
