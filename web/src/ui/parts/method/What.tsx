// What learns: the settings of an adapter, and of a model of which some layers learn.
import { flagOf, numberOf, set, textOf } from "../../state/recipe.js";
import { NumberField, SwitchField, TextField } from "../Field.js";
import { Modules } from "../Modules.js";

export function Lora() {
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

export function Freeze() {
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
