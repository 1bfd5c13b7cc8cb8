// The phase of the run, in a module of its own because other parts of the state depend on it.
import { computed, signal } from "@preact/signals";

/** `elsewhere`: a run of another tab is shown. `recorded`: one that was recorded, and is not trained now. */
export type Phase = "none" | "elsewhere" | "recorded" | "starting" | "running" | "pausing" | "paused" | "stopping" | "stopped" | "finished" | "failed";

export const phase = signal<Phase>("none");

/** Whether a run is using the GPU. */
export const active = computed(() => ["starting", "running", "pausing", "paused", "stopping"].includes(phase.value));
