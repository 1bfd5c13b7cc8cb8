// Charts take turns: as many in a frame as fit into its budget, the others in the next one. However many charts a page shows, and
// however slow its canvas is, none of its tasks grows with their number.

/** Milliseconds of a frame that charts may take; the one that exceeds it is the frame's last. */
const BUDGET = 8;

const waiting = new Set<() => void>();
let frame = 0;

/** Draws in one of the next frames. Asked again before that, it still draws once. */
export function takeTurn(draw: () => void): void {
  waiting.add(draw);
  frame ||= requestAnimationFrame(turns);
}

/** For one that is gone. */
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
