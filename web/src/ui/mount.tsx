// The page's beginning: styles, the worker, what follows from what, and the first paint.
import { render } from "preact";
import { Shell } from "./Shell.js";
import { followAddress } from "./route.js";
import { showAll } from "./shown.js";
import { findDevice } from "./state/device.js";
import { listRuns, reopen } from "./state/base.js";
import { followData, listExamples } from "./state/data.js";
import { connect, whenLost, type Engine } from "./state/engine.js";
import { failed } from "./state/faults.js";
import { followEstimate } from "./state/estimate.js";
import { followLeaving } from "./state/leaving.js";
import { active } from "./state/phase.js";
import { followEnded } from "./state/tuned.js";
import { applyTheme } from "./theme.js";
import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/layout.css";
import "./styles/parts.css";
import "./styles/steps.css";

/** Shows the page in `place`, with `engine` doing the work. */
export function mount(place: HTMLElement, engine: Engine): void {
  showAll();
  connect(engine);
  applyTheme();
  whenLost(once(() => reopen().then(listRuns, failed)));
  followAddress();
  followData();
  followEstimate();
  followEnded();
  followLeaving();
  render(<Shell />, place);
  // A drop beside the drop place would make the browser leave the page for the file.
  for (const name of ["dragover", "drop"]) addEventListener(name, (event) => event.preventDefault());
  // Another tab may have started, ended or deleted a run meanwhile.
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible" && !active.peek()) listRuns().catch(failed);
  });
  for (const first of [findDevice, listExamples, listRuns]) first().catch(failed);
}

/** Requests that die together tell of one loss: what follows is done once until it is done. */
function once(act: () => Promise<void>): () => void {
  let going = false;
  return () => {
    if (going) return;
    going = true;
    void act().finally(() => (going = false));
  };
}
