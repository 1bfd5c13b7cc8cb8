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

const METHODS: readonly (readonly [Method, string, string])[] = [
  ["full", "All parameters", "Learns most and needs most memory: weights, gradients and two moments of each. The result is a whole model."],
  ["lora", "LoRA adapter", "The base stays as it is; small matrices beside it learn. Needs little, and comes out as a small file that can be merged."],
  ["freeze", "Some layers", "Only the last layers learn, all others stay. Between the two in memory; the result is a whole model."],
];

export function MethodStep() {
  if (!ready.value) return <Missing to="base">The settings show once there is a base that is ready.</Missing>;
  return (
    <>
      <div class="main-aside">
        <div>
          <Options label="Method" value={method.value} options={METHODS} onChange={(value) => set({ finetuning_type: value })} />
          {method.value === "lora" && <Lora />}
          {method.value === "freeze" && <Freeze />}
          <Training />
          <details class="part">
            <summary>More settings</summary>
            <More />
          </details>
          <RecipeFile />
        </div>
        <aside aria-label="What it costs">
          <Cost />
        </aside>
      </div>
      <Onward to="train" missing={estimate.value?.fits === false ? "It does not fit yet." : null} wrong={wrongOn("method")}>
        {estimate.value?.fits && (
          <small class="number">
            {count(estimate.value.trainable)} parameters learn, {bytes(estimate.value.memory.peak)} of memory, {counted(estimate.value.steps, "step")}
          </small>
        )}
      </Onward>
    </>
  );
}
