// What is trained: the settings of an adapter, and of fine-tuning only some layers.
import { numberOf, ownAdapters, set, textOf } from "../../state/recipe.js";
import { SelectField, TextField } from "../Field.js";
import { Modules } from "../Modules.js";
import { NumberKey, SwitchKey } from "./keys.js";

export function Lora() {
  return (
    <section class="part" aria-label="LoRA">
      <h2>The adapter</h2>
      <Begin />
      <SelectField
        name="Base"
        help="How the model itself is kept, which does not learn: fewer bits leave room on small devices, and round its weights. Memory is shown beside."
        value={textOf("quantization_bit")}
        options={[
          ["", "as it is stored"],
          ["8", "8 bits"],
          ["4", "4 bits (NF4)"],
        ]}
        onChange={(bits) => set({ quantization_bit: bits === "" ? null : Number(bits) })}
      />
      <NumberKey
        of="lora_rank"
        name="Rank"
        help="The width of the small matrices: a higher rank can learn more and needs more memory."
        whole
        least={1}
        most={1024}
        otherwise="8"
      />
      <NumberKey
        of="lora_alpha"
        name="Alpha"
        help="How strongly the adapter acts: its output is scaled by alpha / rank."
        least={1e-6}
        otherwise={String(2 * (numberOf("lora_rank") ?? 8))}
      />
      <Modules />
      <NumberKey
        of="lora_dropout"
        name="Dropout"
        help="Switches off this share of the adapter’s inputs at random, against overfitting."
        least={0}
        most={0.99}
        otherwise="0"
      />
      <SwitchKey
        of="use_dora"
        name="DoRA"
        help="Learns each weight row’s length apart from its direction: often better at a low rank, a little slower."
      />
      <SwitchKey
        of="use_rslora"
        name="rsLoRA"
        help="Scales by alpha / √rank, so that a high rank does not learn ever more slowly."
      />
    </section>
  );
}

/** Which adapter the run goes on from: one of the open base, or none. */
function Begin() {
  const own = ownAdapters.value;
  if (own.length === 0) return null;
  return (
    <SelectField
      name="Go on from"
      help="A new adapter, or one of this base that is trained further: its rank and modules are kept."
      value={textOf("adapter_name_or_path")}
      options={[["", "a new adapter"], ...own.map(({ id, name }) => [id, name] as const)]}
      onChange={(id) => set({ adapter_name_or_path: id === "" ? null : id })}
    />
  );
}

export function Freeze() {
  return (
    <section class="part" aria-label="Some layers">
      <h2>The layers</h2>
      <NumberKey
        of="freeze_trainable_layers"
        name="Layers that learn"
        help="Counted from the end; a negative number counts from the start."
        whole
        otherwise="2"
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
