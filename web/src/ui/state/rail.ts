// Collects the facts that the rail shows.
import { computed } from "@preact/signals";
import { count, counted, short } from "../numbers.js";
import { device } from "./device.js";
import { base, opening } from "./base.js";
import { dataFault, dataName, preview } from "./data.js";
import { estimate, estimateFault } from "./estimate.js";
import { method } from "./recipe.js";
import { active, phase } from "./phase.js";
import { last, shownRun } from "./run.js";
import { standings } from "./steps.js";
import { tuned } from "./tuned.js";
import { dataWords, modelWords } from "../names.js";
import { text } from "../text/index.js";

export const rail = computed(() => {
  const words = text.state;
  const opened = base.value;
  const shown = preview.value;
  const estimated = estimate.value;
  // While a run goes on, the rail tells of that run, which may be a resumed one with other settings.
  const running = active.value ? shownRun.value : null;
  if (running) {
    return standings({
      opening: false,
      base: { name: modelWords(running.base), size: null, verdict: "ready", faults: 0 },
      gpu: true,
      data: { words: dataWords(running.data) },
      dataFault: false,
      method: { words: words.methods[running.method], fits: true },
      run: run(),
      tuned: tuned.value && tuned.value.name,
    });
  }
  return standings({
    opening: opening.value !== null,
    base: opened && {
      name: modelWords(opened.name),
      size: opened.report.parameters === null ? words.sizeUnknown : short(opened.report.parameters),
      verdict: opened.report.verdict,
      faults: opened.report.findings.filter(({ severity }) => severity === "error").length,
    },
    gpu: Boolean(device.value),
    data: shown && { words: words.dataAndSamples(dataName.value ?? "", counted(shown.samples, "sample")) },
    dataFault: dataFault.value !== null,
    method: {
      words: methodWords(),
      fits: estimated ? estimated.fits : estimateFault.value === null ? null : false,
    },
    run: run(),
    tuned: tuned.value && tuned.value.name,
  });
});

function methodWords(): string {
  const words = text.state;
  const name = words.methods[method.value];
  if (estimateFault.value !== null) return words.cannotRun;
  if (!estimate.value) return name;
  return estimate.value.fits ? words.methodTrained(name, short(estimate.value.trainable)) : words.doesNotFit;
}

function run() {
  const words = text.state;
  const at = last.value ? words.stepOf(count(last.value.current_steps), count(last.value.total_steps)) : words.startingNow;
  switch (phase.value) {
    case "none":
      return null;
    case "elsewhere":
      return { words: words.inAnotherTab(at), phase: "running" as const };
    case "recorded":
      return { words: text.results.recorded.rail(at), phase: "finished" as const };
    case "starting":
    case "running":
    case "pausing":
    case "stopping":
      return { words: at, phase: "running" as const };
    case "paused":
      return { words: words.paused(at), phase: "paused" as const };
    case "stopped":
      return { words: words.stopped(at), phase: "finished" as const };
    case "finished":
      return { words: words.done(at), phase: "finished" as const };
    case "failed":
      return { words: words.endedByFault, phase: "failed" as const };
  }
}
