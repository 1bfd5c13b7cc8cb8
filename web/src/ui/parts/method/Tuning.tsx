// What is trained: the settings of an adapter, and of fine-tuning only some layers.
import { numberOf, ownAdapters, set, textOf } from "../../state/recipe.js";
import { SelectField, TextField } from "../Field.js";
import { Modules } from "../Modules.js";
import { NumberKey, SwitchKey } from "./keys.js";
import { text } from "../../text/index.js";

export function Lora() {
  const words = text.method;
  return (
    <section class="part" aria-label="LoRA">
      <h2>{words.adapter}</h2>
      <Begin />
      <SelectField
        {...words.base}
        value={textOf("quantization_bit")}
        options={[
          ["", words.asStored],
          ["8", words.bits(8, null)],
          ["4", words.bits(4, "NF4")],
        ]}
        onChange={(bits) => set({ quantization_bit: bits === "" ? null : Number(bits) })}
      />
      <NumberKey
        of="lora_rank"
        {...words.rank}
        whole
        least={1}
        most={1024}
        otherwise="8"
      />
      <NumberKey
        of="lora_alpha"
        {...words.alpha}
        least={1e-6}
        otherwise={String(2 * (numberOf("lora_rank") ?? 8))}
      />
      <Modules />
      <NumberKey
        of="lora_dropout"
        {...words.dropout}
        least={0}
        most={0.99}
        otherwise="0"
      />
      <SwitchKey
        of="use_dora"
        {...words.dora}
      />
      <SwitchKey
        of="use_rslora"
        {...words.rslora}
      />
    </section>
  );
}

/** Which adapter the run goes on from: one of the open base, or none. */
function Begin() {
  const own = ownAdapters.value;
  const words = text.method;
  if (own.length === 0) return null;
  return (
    <SelectField
      {...words.goOnFrom}
      value={textOf("adapter_name_or_path")}
      options={[["", words.newAdapter], ...own.map(({ id, name }) => [id, name] as const)]}
      onChange={(id) => set({ adapter_name_or_path: id === "" ? null : id })}
    />
  );
}

export function Freeze() {
  const words = text.method;
  return (
    <section class="part" aria-label={words.methods.freeze.name}>
      <h2>{words.layers}</h2>
      <NumberKey
        of="freeze_trainable_layers"
        {...words.layersThatLearn}
        whole
        otherwise="2"
      />
      <TextField
        {...words.freezeModules}
        value={textOf("freeze_trainable_modules")}
        otherwise="all"
        onChange={(value) => set({ freeze_trainable_modules: value.trim() || null })}
      />
    </section>
  );
}
