// What the run is doing: apart from the rest of it, for others wait while it goes on.
import { computed, signal } from "@preact/signals";

export type Phase = "none" | "starting" | "running" | "pausing" | "paused" | "stopping" | "stopped" | "finished" | "failed";

export const phase = signal<Phase>("none");

/** Whether the GPU is a run's now. */
export const active = computed(() => ["starting", "running", "pausing", "paused", "stopping"].includes(phase.value));
