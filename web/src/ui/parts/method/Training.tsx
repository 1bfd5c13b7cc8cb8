// Training settings: the common ones, and the ones that rarely change.
import { set, textOf } from "../../state/recipe.js";
import { SelectField } from "../Field.js";
import { NumberKey, SwitchKey } from "./keys.js";
import { text } from "../../text/index.js";

export function Training() {
  const words = text.method;
  return (
    <section class="part" aria-label={words.training}>
      <h2>{words.training}</h2>
      <NumberKey
        of="learning_rate"
        {...words.rate}
        least={0}
      />
      <NumberKey
        of="num_train_epochs"
        {...words.epochs}
        least={0.001}
      />
      <NumberKey
        of="per_device_train_batch_size"
        {...words.batch}
        whole
        least={1}
        most={4096}
      />
      <NumberKey
        of="gradient_accumulation_steps"
        {...words.accumulation}
        whole
        least={1}
        most={4096}
      />
      <SwitchKey
        of="gradient_checkpointing"
        {...words.saveMemory}
      />
      <SwitchKey
        of="bf16"
        {...words.halfActivations}
      />
    </section>
  );
}

export function More() {
  const words = text.method;
  return (
    <>
      <SelectField
        {...words.schedule}
        value={textOf("lr_scheduler_type")}
        options={[
          ["cosine", words.schedules.cosine],
          ["linear", words.schedules.linear],
          ["constant", words.schedules.constant],
          ["constant_with_warmup", words.schedules.constant_with_warmup],
        ]}
        onChange={(value) => set({ lr_scheduler_type: value })}
      />
      <NumberKey
        of="warmup_ratio"
        {...words.warmup}
        least={0}
        most={0.99}
        otherwise="0"
      />
      <NumberKey
        of="max_steps"
        {...words.maxSteps}
        whole
        least={1}
        otherwise={words.byEpochs}
      />
      <NumberKey
        of="weight_decay"
        {...words.decay}
        least={0}
        otherwise="0"
      />
      <NumberKey
        of="max_grad_norm"
        {...words.clip}
        least={0}
        otherwise="1"
      />
      <SelectField
        {...words.evaluate}
        value={textOf("eval_strategy")}
        options={[
          ["epoch", words.evaluations.epoch],
          ["steps", words.evaluations.steps],
          ["no", words.evaluations.no],
        ]}
        onChange={(value) => set({ eval_strategy: value })}
      />
      {textOf("eval_strategy") === "steps" && (
        <NumberKey
          of="eval_steps"
          {...words.evaluateEvery}
          unit={words.stepsUnit}
          whole
          least={1}
          otherwise="50"
        />
      )}
      <NumberKey
        of="save_steps"
        {...words.snapshotEvery}
        unit={words.stepsUnit}
        whole
        least={1}
      />
      <SelectField
        {...words.writtenAs}
        value={textOf("export_dtype") || "auto"}
        options={[
          ["auto", words.asTheBase],
          ["float32", "float32"],
          ["bfloat16", "bfloat16"],
          ["float16", "float16"],
        ]}
        onChange={(value) => set({ export_dtype: value === "auto" ? null : value })}
      />
      <NumberKey
        of="seed"
        {...words.seed}
        whole
        least={0}
      />
    </>
  );
}
