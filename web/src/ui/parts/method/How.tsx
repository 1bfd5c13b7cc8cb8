// How it learns: the settings that a person turns, and the ones that rarely change.
import { flagOf, numberOf, set, textOf } from "../../state/recipe.js";
import { NumberField, SelectField, SwitchField } from "../Field.js";

export function Training() {
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

export function More() {
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
      <SelectField
        name="Written as"
        help="The number type of the result’s weights. Training itself computes in single precision."
        value={textOf("export_dtype") || "auto"}
        options={[
          ["auto", "as the base"],
          ["float32", "float32"],
          ["bfloat16", "bfloat16"],
          ["float16", "float16"],
        ]}
        onChange={(value) => set({ export_dtype: value === "auto" ? null : value })}
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
