// The state of each step, as the rail shows it. No step is locked: one that lacks something says what.
import { counted } from "../numbers.js";
import { text } from "../text/index.js";

export const STEPS = ["base", "check", "data", "method", "train", "use"] as const;
export type Step = (typeof STEPS)[number];

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

/** Computes the state of each step, from the facts alone, in the language that is shown. */
export function standings(facts: Facts): Record<Step, Standing> {
  const { base, run } = facts;
  const words = text.state;
  const usable = base?.verdict === "ready";
  const waiting = (says: string): Standing => ({ state: "waiting", says });
  return {
    base: facts.opening
      ? { state: "busy", says: words.openingNow }
      : base
        ? { state: "done", says: base.size === null ? base.name : words.nameAndSize(base.name, base.size) }
        : { state: "open", says: words.chooseModel },
    check: !base
      ? waiting(words.looksForFaults)
      : usable
        ? { state: "done", says: words.ready }
        : { state: "trouble", says: base.verdict === "repairable" ? words.repairable(counted(base.faults, "fault")) : words.cannotBeUsed },
    data: facts.dataFault
      ? { state: "trouble", says: words.cannotBeRead }
      : facts.data
        ? { state: "done", says: facts.data.words }
        : { state: usable ? "open" : "waiting", says: words.whatToLearn },
    method:
      facts.method.fits === false
        ? { state: "trouble", says: facts.method.words }
        : { state: facts.method.fits ? "done" : usable ? "open" : "waiting", says: facts.method.words },
    train: trainStanding(facts, usable && facts.data !== null && facts.method.fits !== false),
    use: facts.tuned
      ? { state: "open", says: facts.tuned }
      : usable && facts.gpu
        ? { state: "open", says: words.tryTheBase }
        : waiting(run ? words.afterTraining : words.tryAndTake),
  };
}

function trainStanding({ run, gpu }: Facts, ready: boolean): Standing {
  // A recorded run is shown without a device, too.
  if (!gpu && !run) return { state: "waiting", says: text.state.needsWebGpu };
  if (!run) return { state: ready ? "open" : "waiting", says: ready ? text.state.canStart : text.state.watchItLearn };
  const state = { running: "busy", paused: "open", finished: "done", failed: "trouble" } as const;
  return { state: state[run.phase], says: run.words };
}
