import { modelFolder, type Run } from "rootstock";
import { dataWords } from "../names.js";
import { Button } from "../parts/Button.js";
import { Chat } from "../parts/Chat.js";
import { Deltas } from "../parts/Deltas.js";
import { Drop } from "../parts/Drop.js";
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
import { adopt, choose, tuned } from "../state/tuned.js";

/** Makes a finished full fine-tuning run the base, and selects LoRA as the method. */
async function graft(id: string): Promise<void> {
  await open({ kind: "run", id });
  if (example.value === "village") example.value = "pirate"; // the model already has the skill; now train the style
  set({ finetuning_type: "lora", learning_rate: null });
  go("data");
}

/** Opens an adapter's base, and has the next run go on from the adapter. */
async function trainFurther(run: Run): Promise<void> {
  if (run.source.kind === "files") throw new Error(`Choose the folder ${run.base} as the base first: it is not kept in this browser.`);
  await open(run.source);
  set({ finetuning_type: "lora", learning_rate: null, adapter_name_or_path: run.id });
  go("data");
}

/** What a result is made of, as a part of a sentence. */
function whatItIs({ name, model, base, data, method }: Run): string {
  const from = method === "merge" ? `the merge of an adapter into ${base}` : `${model ? "a whole model, tuned from" : "an adapter on"} ${base}`;
  return `${name}, ${from}${data === null ? "" : `, trained on ${dataWords(data)}`}`;
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
            result.model ? (
              <Button kind="first" onPress={() => graft(result.id)}>
                Use as the base for LoRA
              </Button>
            ) : (
              <Button onPress={() => trainFurther(result)}>Train it further</Button>
            )
          }
        >
          <strong>Your model is ready:</strong> {whatItIs(result)}.
        </Notice>
      ) : (
        whole && <Notice kind="info">No result is chosen yet: you can talk to the base, or choose a run below.</Notice>
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
      {ready.value && (
        <section class="part">
          <h2>Bring an adapter back</h2>
          <p>A folder in PEFT’s format, taken home earlier or trained elsewhere on the open base. It is kept like a run: ask it, train it further, merge it.</p>
          <Drop
            folders
            onFiles={(given) => {
              const { name, files } = modelFolder(given);
              return adopt(name, files);
            }}
          >
            <span>Drop the adapter’s folder here, or</span>
          </Drop>
        </section>
      )}
      <section class="part">
        <h2>Other runs</h2>
        <p>Kept in this browser. A whole model can become the base for LoRA.</p>
        <RunList
          only={(run) => run.usable && run.id !== result?.id}
          actions={(run) => (
            <>
              <Button label={`Try ${run.name}`} onPress={() => choose(run.id)}>
                Try
              </Button>
              {run.model ? (
                <Button label={`Use ${run.name} as the base for LoRA`} onPress={() => graft(run.id)}>
                  Base for LoRA
                </Button>
              ) : (
                <Button label={`Train ${run.name} further`} onPress={() => trainFurther(run)}>
                  Train further
                </Button>
              )}
            </>
          )}
        />
      </section>
    </>
  );
}
