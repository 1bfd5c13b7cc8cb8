// Schedules the drawing of charts: as many per frame as fit into its budget, the others in the next one. So the duration of a task
// does not grow with the number of charts or the slowness of the canvas.

/** Milliseconds per frame for charts; the chart that exceeds it is the last one in the frame. */
const BUDGET = 8;

const waiting = new Set<() => void>();
let frame = 0;

/** Schedules `draw` in one of the next frames. Repeated calls before that draw only once. */
export function takeTurn(draw: () => void): void {
  waiting.add(draw);
  frame ||= requestAnimationFrame(turns);
}

/** Unschedules the drawing of a removed chart. */
export function leave(draw: () => void): void {
  waiting.delete(draw);
}

function turns(): void {
  frame = 0;
  const began = performance.now();
  for (const draw of waiting) {
    waiting.delete(draw);
    draw();
    if (performance.now() - began > BUDGET) break;
  }
  if (waiting.size > 0) frame = requestAnimationFrame(turns);
}
