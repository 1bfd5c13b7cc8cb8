import { bytes, count, counted } from "../numbers.js";
import { Options } from "../parts/Choice.js";
import { More, Training } from "../parts/method/Training.js";
import { Freeze, Lora } from "../parts/method/Tuning.js";
import { Missing, Onward } from "../parts/Onward.js";
import { Cost } from "../parts/Cost.js";
import { RecipeFile } from "../parts/RecipeFile.js";
import { ready } from "../state/base.js";
import { estimate } from "../state/estimate.js";
import { method, set, type Method } from "../state/recipe.js";
import { wrongOn } from "../state/wrong.js";
import { text } from "../text/index.js";

const METHODS: readonly Method[] = ["full", "lora", "freeze"];

export function MethodStep() {
  const words = text.method;
  const options = METHODS.map((one) => [one, words.methods[one].name, words.methods[one].line] as const);
  if (!ready.value) return <Missing to="base">{words.needsReady}</Missing>;
  return (
    <>
      <div class="main-aside">
        <div>
          <Options label={words.label} value={method.value} options={options} onChange={(value) => set({ finetuning_type: value })} />
          {method.value === "lora" && <Lora />}
          {method.value === "freeze" && <Freeze />}
          <Training />
          <details class="part">
            <summary>{words.more}</summary>
            <More />
          </details>
          <RecipeFile />
        </div>
        <aside aria-label={words.costs}>
          <Cost />
        </aside>
      </div>
      <Onward to="train" missing={estimate.value?.fits === false ? words.notFitYet : null} wrong={wrongOn("method")}>
        {estimate.value?.fits && (
          <small class="number">
            {words.summary(count(estimate.value.trainable), bytes(estimate.value.memory.peak), counted(estimate.value.steps, "step"))}
          </small>
        )}
      </Onward>
    </>
  );
}
