// Collects the facts that the rail shows.
import { computed } from "@preact/signals";
import { counted, short } from "../numbers.js";
import { device } from "./device.js";
import { base, opening } from "./base.js";
import { dataFault, dataName, preview } from "./data.js";
import { estimate, estimateFault } from "./estimate.js";
import { method } from "./recipe.js";
import { active, phase } from "./phase.js";
import { last, shownRun } from "./run.js";
import { standings } from "./steps.js";
import { tuned } from "./tuned.js";

const METHODS = { full: "All parameters", lora: "LoRA", freeze: "Some layers" } as const;

export const rail = computed(() => {
  const opened = base.value;
  const shown = preview.value;
  const estimated = estimate.value;
  // While a run goes on, the rail tells of that run, which may be a resumed one with other settings.
  const running = active.value ? shownRun.value : null;
  if (running) {
    return standings({
      opening: false,
      base: { name: running.base, size: null, verdict: "ready", faults: 0 },
      gpu: true,
      data: { words: running.data },
      dataFault: false,
      method: { words: METHODS[running.method], fits: true },
      run: run(),
      tuned: tuned.value && tuned.value.name,
    });
  }
  return standings({
    opening: opening.value !== null,
    base: opened && {
      name: opened.name,
      size: opened.report.parameters === null ? "size unknown" : short(opened.report.parameters),
      verdict: opened.report.verdict,
      faults: opened.report.findings.filter(({ severity }) => severity === "error").length,
    },
    gpu: Boolean(device.value),
    data: shown && { words: `${dataName.value}: ${counted(shown.samples, "sample")}` },
    dataFault: dataFault.value !== null,
    method: {
      words: estimateFault.value !== null ? "Cannot run as set" : estimated?.fits === false ? "Does not fit" : estimated ? `${METHODS[method.value]}, ${short(estimated.trainable)} trained` : METHODS[method.value],
      fits: estimated ? estimated.fits : estimateFault.value === null ? null : false,
    },
    run: run(),
    tuned: tuned.value && tuned.value.name,
  });
});

function run() {
  const at = last.value ? `Step ${last.value.current_steps} of ${last.value.total_steps}` : "Starting …";
  switch (phase.value) {
    case "none":
      return null;
    case "elsewhere":
      return { words: `In another tab. ${at}`, phase: "running" as const };
    case "starting":
    case "running":
    case "pausing":
    case "stopping":
      return { words: at, phase: "running" as const };
    case "paused":
      return { words: `Paused. ${at}`, phase: "paused" as const };
    case "stopped":
      return { words: `Stopped. ${at}`, phase: "finished" as const };
    case "finished":
      return { words: `Done. ${at}`, phase: "finished" as const };
    case "failed":
      return { words: "Ended by a fault", phase: "failed" as const };
  }
}
