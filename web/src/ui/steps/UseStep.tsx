import { Button } from "../parts/Button.js";
import { Chat } from "../parts/Chat.js";
import { Deltas } from "../parts/Deltas.js";
import { HeatMap } from "../parts/HeatMap.js";
import { NoGpu } from "../parts/NoGpu.js";
import { Notice } from "../parts/Notice.js";
import { Missing } from "../parts/Onward.js";
import { RunList } from "../parts/RunList.js";
import { TakeHome } from "../parts/TakeHome.js";
import { go } from "../route.js";
import { device } from "../state/device.js";
import { open, ready } from "../state/base.js";
import { example } from "../state/data.js";
import { set } from "../state/recipe.js";
import { choose, tuned } from "../state/tuned.js";

/** Makes a finished full fine-tuning run the base, and selects LoRA as the method. */
async function graft(id: string): Promise<void> {
  await open({ kind: "run", id });
  if (example.value === "village") example.value = "pirate"; // the model already has the skill; now train the style
  set({ finetuning_type: "lora", learning_rate: null });
  go("data");
}

export function UseStep() {
  if (device.value === null) return <NoGpu />;
  const result = tuned.value;
  const whole = ready.value || result !== null;
  return (
    <>
      {result ? (
        <Notice
          kind="good"
          action={
            result.model && (
              <Button kind="first" onPress={() => graft(result.id)}>
                Use as the base for LoRA
              </Button>
            )
          }
        >
          <strong>{result.name}</strong>
          {!result.model ? ": an adapter on " : ": a whole model, tuned from "}
          {result.base}.
        </Notice>
      ) : (
        whole && <Notice kind="info">Nothing is trained in this visit yet: you can talk to the base, or choose a run below.</Notice>
      )}
      {whole ? (
        <>
          <Chat />
          <HeatMap />
        </>
      ) : (
        <Missing to="base">There is no model to talk to yet.</Missing>
      )}
      {result && <Deltas key={result.id} />}
      {result && <TakeHome key={result.id} run={result} />}
      <section class="part">
        <h2>Other runs</h2>
        <p>Kept in this browser. A full run can become the base for LoRA.</p>
        <RunList
          only={(run) => run.usable && run.id !== result?.id}
          actions={(run) => (
            <>
              <Button label={`Try ${run.name}`} onPress={() => choose(run.id)}>
                Try
              </Button>
              {run.model && (
                <Button label={`Use ${run.name} as the base for LoRA`} onPress={() => graft(run.id)}>
                  Base for LoRA
                </Button>
              )}
            </>
          )}
        />
      </section>
    </>
  );
}
