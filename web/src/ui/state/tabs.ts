// Two tabs, one run: the tab that trains tells the others, which show it live.
import { effect } from "@preact/signals";
import type { Event, RunLog } from "rootstock";
import { listRuns } from "./base.js";
import { failed } from "./faults.js";
import { active, phase, type Phase } from "./phase.js";
import { answersSoFar, hear, heard, linesSoFar, showRun, type Shown } from "./run.js";

type Message =
  /** A tab asks what goes on. */
  | { type: "hello" }
  /** The whole run so far. */
  | { type: "state"; run: Shown; phase: Phase; log: RunLog }
  | { type: "event"; event: Event }
  /** The run has ended here, as finished, stopped or failed. */
  | { type: "ended"; phase: Phase };

let channel: BroadcastChannel | null = null;
const tell = (message: Message) => channel?.postMessage(message);

/** Tells other tabs of this tab's run, and shows theirs. */
export function followTabs(shown: () => Shown | null): void {
  if (!("BroadcastChannel" in globalThis)) return;
  channel = new BroadcastChannel("rootstock");
  channel.onmessage = ({ data }: MessageEvent<Message>) => receive(data, shown);
  heard((event) => {
    if (!active.peek()) return;
    // A tab that has just heard of the run needs all of it.
    if (event.kind === "started") tellState(shown);
    else tell({ type: "event", event });
  });
  let was = false;
  effect(() => {
    const now = active.value;
    if (was && !now) tell({ type: "ended", phase: phase.peek() });
    was = now;
  });
  tell({ type: "hello" });
}

function tellState(shown: () => Shown | null): void {
  const run = shown();
  if (run) tell({ type: "state", run, phase: phase.peek(), log: { ...linesSoFar(), answers: answersSoFar() } });
}

function receive(message: Message, shown: () => Shown | null): void {
  if (message.type === "hello") {
    if (active.peek()) tellState(shown);
    return;
  }
  // This tab's own run is what it shows.
  if (active.peek()) return;
  switch (message.type) {
    case "state":
      showRun(message.run, message.log, "elsewhere");
      listRuns().catch(failed);
      return;
    case "event":
      if (phase.peek() === "elsewhere") hear(message.event);
      return;
    case "ended":
      if (phase.peek() !== "elsewhere") return;
      phase.value = message.phase;
      listRuns().catch(failed);
      return;
  }
}
