// A run in the background: the screen is kept awake while it trains, and a browser that slows a hidden tab is told of.
import { effect } from "@preact/signals";
import { failed } from "./faults.js";
import { active } from "./phase.js";
import { heard, tell } from "./run.js";
import { text } from "../text/index.js";

/** A hidden tab counts as slowed below this share of the speed that it had when it was seen. */
const SLOWED = 0.7;
/** Steps to compare on each side. */
const FEWEST = 5;

let lock: WakeLockSentinel | null = null;

async function hold(): Promise<void> {
  if (!active.peek() || document.hidden || lock || !("wakeLock" in navigator)) return;
  try {
    lock = await navigator.wakeLock.request("screen");
    lock.addEventListener("release", () => (lock = null));
    if (!active.peek()) await lock.release();
  } catch {
    // Refused, for example with a low battery: the run goes on all the same.
  }
}

export function followAwake(): void {
  effect(() => {
    if (active.value) void hold();
    else lock?.release().catch(failed);
  });
  document.addEventListener("visibilitychange", () => void hold()); // hiding the tab has released it
  const speeds = { seen: [] as number[], hidden: [] as number[] };
  heard((event) => {
    if (event.kind === "started") {
      speeds.seen = [];
      speeds.hidden = [];
    }
    if (event.kind === "step") speeds[document.hidden ? "hidden" : "seen"].push(event.line.tokens_per_second);
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      speeds.hidden = [];
      return;
    }
    const { seen, hidden } = speeds;
    if (!active.peek() || seen.length < FEWEST || hidden.length < FEWEST) return;
    const share = median(hidden) / median(seen);
    if (share < SLOWED) {
      tell({ page: () => text.state.slowed(text.units.percent(String(Math.round(100 * share)))) });
    }
  });
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}
