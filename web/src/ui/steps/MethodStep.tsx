import { bytes, count } from "../numbers.js";
import { Options } from "../parts/Choice.js";
import { NumberField, SelectField, SwitchField, TextField } from "../parts/Field.js";
import { Modules } from "../parts/Modules.js";
import { Missing, Onward } from "../parts/Onward.js";
import { Cost } from "../parts/Cost.js";
import { RecipeFile } from "../parts/RecipeFile.js";
import { ready } from "../state/base.js";
import { plan } from "../state/plan.js";
import { flagOf, method, numberOf, set, textOf, type Method } from "../state/recipe.js";

const METHODS: readonly (readonly [Method, string, string])[] = [
  ["full", "All parameters", "Learns most and needs most memory: weights, gradients and two moments of each. The result is a whole model."],
  ["lora", "LoRA adapter", "The base stays as it is; small matrices beside it learn. Needs little, and comes out as a small file that can be merged."],
  ["freeze", "Some layers", "Only the last layers learn, all others stay. Between the two in memory; the result is a whole model."],
];

export function MethodStep() {
  if (!ready.value) return <Missing to="base">The settings show once there is a base that is ready.</Missing>;
  return (
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
      <div class="wide">
        <Onward to="train" missing={plan.value?.fits === false ? "It does not fit yet." : null}>
          {plan.value?.fits && (
            <small class="number">
              {count(plan.value.trainable)} parameters learn, {bytes(plan.value.memory.peak)} of memory, {count(plan.value.steps)} steps
            </small>
          )}
        </Onward>
      </div>
    </div>
  );
}

function Lora() {
  return (
    <section class="part" aria-label="LoRA">
      <h2>The adapter</h2>
      <NumberField
        name="Rank"
        help="How wide the small matrices are: more can hold more, and costs more."
        whole
        least={1}
        most={1024}
        value={numberOf("lora_rank")}
        otherwise="8"
        onChange={(value) => set({ lora_rank: value })}
      />
      <NumberField
        name="Alpha"
        help="How strongly the adapter counts: its output is scaled by alpha / rank."
        least={1e-6}
        value={numberOf("lora_alpha")}
        otherwise={String(2 * (numberOf("lora_rank") ?? 8))}
        onChange={(value) => set({ lora_alpha: value })}
      />
      <Modules />
      <NumberField
        name="Dropout"
        help="Switches off this share of the adapter’s inputs at random, against learning by heart."
        least={0}
        most={0.99}
        value={numberOf("lora_dropout")}
        otherwise="0"
        onChange={(value) => set({ lora_dropout: value })}
      />
      <SwitchField
        name="DoRA"
        help="Learns each weight row’s length apart from its direction: often better at a low rank, a little slower."
        value={flagOf("use_dora")}
        onChange={(value) => set({ use_dora: value || null })}
      />
      <SwitchField
        name="rsLoRA"
        help="Scales by alpha / √rank, so that a high rank does not learn ever more slowly."
        value={flagOf("use_rslora")}
        onChange={(value) => set({ use_rslora: value || null })}
      />
    </section>
  );
}

function Freeze() {
  return (
    <section class="part" aria-label="Some layers">
      <h2>The layers</h2>
      <NumberField
        name="Layers that learn"
        help="So many from the end; a negative number counts from the start."
        whole
        value={numberOf("freeze_trainable_layers")}
        otherwise="2"
        onChange={(value) => set({ freeze_trainable_layers: value })}
      />
      <TextField
        name="Modules"
        help="Which modules of those layers learn, with commas between them."
        value={textOf("freeze_trainable_modules")}
        otherwise="all"
        onChange={(value) => set({ freeze_trainable_modules: value.trim() || null })}
      />
    </section>
  );
}

function Training() {
  return (
    <section class="part" aria-label="Training">
      <h2>Training</h2>
      <NumberField
        name="Learning rate"
        help="How far a step goes. Too small learns nothing, too large forgets everything: the first thing to change when a run goes wrong."
        least={0}
        value={numberOf("learning_rate")}
        onChange={(value) => set({ learning_rate: value })}
      />
      <NumberField
        name="Epochs"
        help="How often it goes through the data."
        least={0.001}
        value={numberOf("num_train_epochs")}
        onChange={(value) => set({ num_train_epochs: value })}
      />
      <NumberField
        name="Samples at once"
        help="More run better on a GPU and need more memory."
        whole
        least={1}
        most={4096}
        value={numberOf("per_device_train_batch_size")}
        onChange={(value) => set({ per_device_train_batch_size: value })}
      />
      <NumberField
        name="Batches per step"
        help="Gradients of so many batches are added before a step: a larger batch without more memory."
        whole
        least={1}
        most={4096}
        value={numberOf("gradient_accumulation_steps")}
        onChange={(value) => set({ gradient_accumulation_steps: value })}
      />
      <SwitchField
        name="Save memory"
        help="Keeps only the layers’ inputs and computes the rest again: less memory, about a third more time."
        value={flagOf("gradient_checkpointing")}
        onChange={(value) => set({ gradient_checkpointing: value || null })}
      />
    </section>
  );
}

function More() {
  return (
    <>
      <SelectField
        name="Schedule"
        help="How the learning rate goes over the run."
        value={textOf("lr_scheduler_type")}
        options={[
          ["cosine", "cosine"],
          ["linear", "linear"],
          ["constant", "constant"],
          ["constant_with_warmup", "constant with warm-up"],
        ]}
        onChange={(value) => set({ lr_scheduler_type: value })}
      />
      <NumberField
        name="Warm-up"
        help="The share of all steps in which the rate rises from nothing."
        least={0}
        most={0.99}
        value={numberOf("warmup_ratio")}
        otherwise="0"
        onChange={(value) => set({ warmup_ratio: value })}
      />
      <NumberField
        name="Steps"
        help="So many steps instead of the epochs."
        whole
        least={1}
        value={numberOf("max_steps")}
        otherwise="by epochs"
        onChange={(value) => set({ max_steps: value })}
      />
      <NumberField
        name="Weight decay"
        help="Pulls weights towards zero a little at every step."
        least={0}
        value={numberOf("weight_decay")}
        otherwise="0"
        onChange={(value) => set({ weight_decay: value })}
      />
      <NumberField
        name="Largest gradient"
        help="A longer gradient is shortened to this norm; 0 never shortens."
        least={0}
        value={numberOf("max_grad_norm")}
        otherwise="1"
        onChange={(value) => set({ max_grad_norm: value })}
      />
      <SelectField
        name="Evaluate"
        help="When the loss on held-out records is computed."
        value={textOf("eval_strategy")}
        options={[
          ["epoch", "after each epoch"],
          ["steps", "every so many steps"],
          ["no", "never"],
        ]}
        onChange={(value) => set({ eval_strategy: value })}
      />
      {textOf("eval_strategy") === "steps" && (
        <NumberField
          name="Evaluate every"
          help="Steps between two evaluations."
          unit="steps"
          whole
          least={1}
          value={numberOf("eval_steps")}
          otherwise="50"
          onChange={(value) => set({ eval_steps: value })}
        />
      )}
      <NumberField
        name="Snapshot every"
        help="A closed or crashed tab goes on from the last one."
        unit="steps"
        whole
        least={1}
        value={numberOf("save_steps")}
        onChange={(value) => set({ save_steps: value })}
      />
      <NumberField
        name="Seed"
        help="The same seed on the same GPU gives the same run, bit for bit."
        whole
        least={0}
        value={numberOf("seed")}
        onChange={(value) => set({ seed: value })}
      />
    </>
  );
}
