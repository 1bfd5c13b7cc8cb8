//! `config.json` as it is written: everything that stood in the original, and what makes transformers 4 and 5 compute the same.

use serde_json::{Map, Value, json};

use super::config::ModelConfig;
use super::rope_config;

impl ModelConfig {
    /// The content of the `config.json` to write beside weights of `dtype` (transformers' name, `bfloat16`).
    ///
    /// All that was read is carried over, with these changes: rotary positions and dtype in both spellings; `architectures` and
    /// `tie_word_embeddings` always explicit; `use_cache` true, since training tools leave `false` behind; no `auto_map`, whose
    /// Python files are not carried; no `_name_or_path`, which tells where somebody's files lay.
    pub fn to_json(&self, dtype: &str) -> Map<String, Value> {
        let mut out = self.raw.clone();
        for key in ["auto_map", "_name_or_path", "quantization_config"] {
            out.remove(key);
        }
        for (key, value) in [
            ("architectures", json!([self.architecture.class_name()])),
            ("model_type", json!(self.architecture.model_type())),
            ("tie_word_embeddings", json!(self.tie_word_embeddings)),
            ("use_cache", json!(true)),
            ("dtype", json!(dtype)),
            ("torch_dtype", json!(dtype)),
        ] {
            out.insert(key.to_string(), value);
        }
        rope_config::write(self, &mut out);
        // Readers use it to decide which old habits to work around; the layout written here is this version's.
        out.entry("transformers_version").or_insert_with(|| json!("4.57.3"));
        out
    }
}
