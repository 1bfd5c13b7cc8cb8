// Points of a chart: growing columns, and their reduction for drawing.

/** x and one column per line, all of the same length; `null` where a line has no value. */
export type Points = [number[], ...(number | null)[][]];

/**
 * Reduces the points to about `most`, so that drawing costs the same at a hundred steps and at a hundred thousand. Of each interval,
 * the minimum and the maximum of every line are kept, so that no spike is lost.
 */
export function thin(points: Points, most: number): Points {
  const [x, ...lines] = points;
  if (x.length <= most) return points;
  const stretch = Math.ceil((x.length * 2 * lines.length) / most);
  const keep = new Set<number>([0, x.length - 1]);
  for (let start = 0; start < x.length; start += stretch) {
    const end = Math.min(start + stretch, x.length);
    for (const line of lines) for (const at of extremes(line, start, end)) keep.add(at);
  }
  const order = [...keep].sort((a, b) => a - b);
  const pick = <T>(column: T[]) => order.map((at) => column[at] as T);
  return [pick(x), ...lines.map(pick)];
}

function extremes(line: (number | null)[], start: number, end: number): number[] {
  let low = -1;
  let high = -1;
  for (let at = start; at < end; at += 1) {
    const value = line[at];
    if (value === null || value === undefined) continue;
    if (low < 0 || value < (line[low] as number)) low = at;
    if (high < 0 || value > (line[high] as number)) high = at;
  }
  return low < 0 ? [] : low === high ? [low] : [low, high];
}
