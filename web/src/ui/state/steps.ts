// The state of each step, as the rail shows it. No step is locked: one that lacks something says what.

export const STEPS = ["base", "check", "data", "method", "train", "use"] as const;
export type Step = (typeof STEPS)[number];

export const NAMES: Record<Step, string> = {
  base: "Base",
  check: "Check",
  data: "Data",
  method: "Method",
  train: "Train",
  use: "Use",
};

/** The state of a step. */
export type State = "waiting" | "open" | "busy" | "done" | "trouble";

export interface Standing {
  state: State;
  /** One line under the step's name. */
  says: string;
}

/** The input of the rail. */
export interface Facts {
  opening: boolean;
  base: { name: string; size: string | null; verdict: "ready" | "repairable" | "unusable"; faults: number } | null;
  gpu: boolean;
  data: { words: string } | null;
  dataFault: boolean;
  method: { words: string; fits: boolean | null };
  run: { words: string; phase: "running" | "paused" | "finished" | "failed" } | null;
  tuned: string | null;
}

/** Computes the state of each step; a pure function of the facts. */
export function standings(facts: Facts): Record<Step, Standing> {
  const { base, run } = facts;
  const usable = base?.verdict === "ready";
  const waiting = (says: string): Standing => ({ state: "waiting", says });
  return {
    base: facts.opening
      ? { state: "busy", says: "Opening …" }
      : base
        ? { state: "done", says: base.size === null ? base.name : `${base.name}, ${base.size}` }
        : { state: "open", says: "Choose a model" },
    check: !base
      ? waiting("Looks for faults")
      : usable
        ? { state: "done", says: "Ready" }
        : { state: "trouble", says: base.verdict === "repairable" ? `${faults(base.faults)}, repairable` : "Cannot be used as it is" },
    data: facts.dataFault
      ? { state: "trouble", says: "Cannot be read" }
      : facts.data
        ? { state: "done", says: facts.data.words }
        : { state: usable ? "open" : "waiting", says: "What the model should learn" },
    method:
      facts.method.fits === false
        ? { state: "trouble", says: facts.method.words }
        : { state: facts.method.fits ? "done" : usable ? "open" : "waiting", says: facts.method.words },
    train: trainStanding(facts, usable && facts.data !== null && facts.method.fits !== false),
    use: facts.tuned
      ? { state: "open", says: facts.tuned }
      : usable && facts.gpu
        ? { state: "open", says: "Try the base" }
        : waiting(run ? "After training" : "Try and take home"),
  };
}

function trainStanding({ run, gpu }: Facts, ready: boolean): Standing {
  if (!gpu) return { state: "waiting", says: "Needs WebGPU" };
  if (!run) return { state: ready ? "open" : "waiting", says: ready ? "Can start" : "Watch it learn" };
  const state = { running: "busy", paused: "open", finished: "done", failed: "trouble" } as const;
  return { state: state[run.phase], says: run.words };
}

function faults(count: number): string {
  return count === 1 ? "1 fault" : `${count} faults`;
}
