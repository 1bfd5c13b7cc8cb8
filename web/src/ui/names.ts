// Names for people: of the page's examples, and of fields of config.json.

const EXAMPLES: Record<string, string> = {
  village: "village questions",
  pirate: "a pirate’s answers",
  newcomers: "newcomers to the village",
};

/** What data is called; files keep their names. */
export function dataWords(name: string): string {
  return EXAMPLES[name] ?? name;
}

const FIELDS: Record<string, string> = {
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

/** What a field of config.json is. */
export function fieldWords(name: string): string {
  return FIELDS[name] ?? name;
}

/** A field's value: yes and no for switches. */
export function valueWords(value: boolean | number | string): string {
  if (typeof value === "boolean") return value ? "yes" : "no";
  return String(value);
}
