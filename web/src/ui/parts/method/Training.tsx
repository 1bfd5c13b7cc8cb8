// Training settings: the common ones, and the ones that rarely change.
import { set, textOf } from "../../state/recipe.js";
import { SelectField } from "../Field.js";
import { NumberKey, SwitchKey } from "./keys.js";

export function Training() {
  return (
    <section class="part" aria-label="Training">
      <h2>Training</h2>
      <NumberKey
        of="learning_rate"
        name="Learning rate"
        help="How far a step changes the weights. Too small: the model learns nothing. Too large: it forgets everything. Change this first when a run goes wrong."
        least={0}
      />
      <NumberKey
        of="num_train_epochs"
        name="Epochs"
        help="How often the run goes through the data."
        least={0.001}
      />
      <NumberKey
        of="per_device_train_batch_size"
        name="Samples at once"
        help="Larger batches use the GPU better, and need more memory."
        whole
        least={1}
        most={4096}
      />
      <NumberKey
        of="gradient_accumulation_steps"
        name="Batches per step"
        help="The gradients of this many batches are added before a step: a larger batch without more memory."
        whole
        least={1}
        most={4096}
      />
      <SwitchKey
        of="gradient_checkpointing"
        name="Save memory"
        help="Keeps the inputs of the layers only and computes the rest again: less memory, about a third more time."
      />
    </section>
  );
}

export function More() {
  return (
    <>
      <SelectField
        name="Schedule"
        help="How the learning rate changes over the run."
        value={textOf("lr_scheduler_type")}
        options={[
          ["cosine", "cosine"],
          ["linear", "linear"],
          ["constant", "constant"],
          ["constant_with_warmup", "constant with warm-up"],
        ]}
        onChange={(value) => set({ lr_scheduler_type: value })}
      />
      <NumberKey
        of="warmup_ratio"
        name="Warm-up"
        help="The share of all steps in which the learning rate rises from 0."
        least={0}
        most={0.99}
        otherwise="0"
      />
      <NumberKey
        of="max_steps"
        name="Steps"
        help="The number of steps, instead of epochs."
        whole
        least={1}
        otherwise="by epochs"
      />
      <NumberKey
        of="weight_decay"
        name="Weight decay"
        help="Pulls weights towards zero a little at every step."
        least={0}
        otherwise="0"
      />
      <NumberKey
        of="max_grad_norm"
        name="Largest gradient"
        help="A gradient with a larger norm is scaled down to this norm; 0 switches this off."
        least={0}
        otherwise="1"
      />
      <SelectField
        name="Evaluate"
        help="When the loss on held-out records is computed."
        value={textOf("eval_strategy")}
        options={[
          ["epoch", "after each epoch"],
          ["steps", "every N steps"],
          ["no", "never"],
        ]}
        onChange={(value) => set({ eval_strategy: value })}
      />
      {textOf("eval_strategy") === "steps" && (
        <NumberKey
          of="eval_steps"
          name="Evaluate every"
          help="Steps between two evaluations."
          unit="steps"
          whole
          least={1}
          otherwise="50"
        />
      )}
      <NumberKey
        of="save_steps"
        name="Snapshot every"
        help="After the tab was closed or crashed, the run goes on from its last snapshot."
        unit="steps"
        whole
        least={1}
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
      <NumberKey
        of="seed"
        name="Seed"
        help="The same seed on the same GPU gives the same run, bit for bit."
        whole
        least={0}
      />
    </>
  );
}
