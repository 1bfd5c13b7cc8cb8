// Starts the page: styles, the worker, the effects that keep the state up to date, and the first render.
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
import { followAwake } from "./state/awake.js";
import { followLeaving } from "./state/leaving.js";
import { active } from "./state/phase.js";
import { shownRun } from "./state/run.js";
import { followSession } from "./state/session.js";
import { followTabs } from "./state/tabs.js";
import { followEnded } from "./state/tuned.js";
import { startLanguage } from "./text/language.js";
import { applyTheme } from "./theme.js";
import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/layout.css";
import "./styles/parts.css";
import "./styles/steps.css";

/** Renders the page into `place`, with `engine` handling its requests; `others` makes another engine, for the classroom. */
export async function mount(place: HTMLElement, engine: Engine, others: () => Engine): Promise<void> {
  await startLanguage();
  showAll();
  connect(engine, others);
  applyTheme();
  whenLost(once(() => reopen().then(listRuns, failed)));
  followAddress();
  followData();
  followEstimate();
  followEnded();
  followLeaving();
  followAwake();
  followTabs(() => shownRun.peek());
  render(<Shell />, place);
  // Without this, a drop outside the drop area would make the browser navigate to the file.
  for (const name of ["dragover", "drop"]) addEventListener(name, (event) => event.preventDefault());
  // Another tab may have started, ended or deleted a run in the meantime.
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible" && !active.peek()) listRuns().catch(failed);
  });
  for (const first of [findDevice, listExamples, () => listRuns().catch(failed).then(followSession)]) first().catch(failed);
}

/** Several requests that fail together report the same loss: ignores further calls while `act` is in progress. */
function once(act: () => Promise<void>): () => void {
  let going = false;
  return () => {
    if (going) return;
    going = true;
    void act().finally(() => (going = false));
  };
}
