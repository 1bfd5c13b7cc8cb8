// The one scale of all heat maps: the same shade always means the same loss.

/** Number of shades; a loss of SURPRISE nats or more (a probability of one in four hundred) gets the darkest. */
export const SHADES = 7;
export const SURPRISE = 6;

/** The shade of a loss. */
export function shade(loss: number | null): number {
  if (loss === null) return 0;
  return Math.max(0, Math.min(SHADES - 1, Math.round((loss / SURPRISE) * (SHADES - 1))));
}
