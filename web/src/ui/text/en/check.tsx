import type { ComponentChildren } from "preact";
import type { Severity, Verdict } from "rootstock";

const verdicts: Record<Verdict, { title: string; line: string; spoken: string }> = {
  ready: { title: "Ready", line: "It loads, and computes what its configuration says, here and in transformers.", spoken: "ready" },
  repairable: {
    title: "Not ready, but it can be repaired",
    line: "A repaired copy is made in this browser; your files stay as they are.",
    spoken: "not ready, can be repaired",
  },
  unusable: {
    title: "It cannot be used as it is",
    line: "What is missing cannot be made up for here. The findings say what to do.",
    spoken: "cannot be used as it is",
  },
};

const severities: Record<Severity, string> = { error: "Error", warning: "Warning", info: "Note" };

/** Fields of config.json that the page names; others keep their own names. */
const fields: Record<string, string> = {
  hidden_size: "Width",
  intermediate_size: "Width inside a layer",
  num_hidden_layers: "Layers",
  num_attention_heads: "Attention heads",
  num_key_value_heads: "Key and value heads",
  head_dim: "Width of a head",
  vocab_size: "Tokens it knows",
  max_position_embeddings: "Longest text, in tokens",
  tie_word_embeddings: "One matrix for input and output",
  dtype: "Number type",
};

export const check = {
  verdicts,
  severities,
  fields,
  /** After the verdict's title, before its line. */
  titleEnd: ".",
  noBase: "There is no base yet.",
  repairedCopy: "Make a repaired copy",
  repairedCopyOf: (findings: number) => `Make a repaired copy: all ${findings} findings`,
  repairDid: "What the repair did",
  noFindings: "No findings",
  oneFinding: "1 finding",
  findings: (count: string) => `${count} findings`,
  everyWeightRead: "Every weight was read.",
  everyWeightReadLoss: (loss: string) => `Every weight was read, and the model was run: loss ${loss}.`,
  checkEveryWeight: "Check every weight too",
  onlyHeaders: "So far only headers were read. This reads every weight, finds NaN, infinities and zeros, and runs the model on a text.",
  whatItIs: "What it is",
  architecture: "Architecture",
  parameters: "Parameters",
  unknown: "unknown",
  itsFiles: "Its files",
  needsReady: "Training needs a base that is ready.",
  repair: (how: ComponentChildren) => <>Repair: {how}</>,
  said: (name: string, verdict: string) => `${name}: ${verdict}.`,
};
