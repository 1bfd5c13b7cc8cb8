//! Writing `config.json`: all fields of the original, and the fields that make transformers 4 and 5 compute the same.

use serde_json::{Map, Value, json};

use super::config::ModelConfig;
use super::rope_config;

impl ModelConfig {
    /// Returns the content of the `config.json` to write beside weights of `dtype` (transformers' name, `bfloat16`).
    ///
    /// All fields that were read are copied, with these changes: rotary positions and dtype are written in the spellings of both versions;
    /// `architectures` and `tie_word_embeddings` are always explicit; `use_cache` is true, since training tools leave `false` behind;
    /// `auto_map` is removed because its Python files are not copied; `_name_or_path` is removed because it reveals a local path.
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
        // Readers use the version to decide which workarounds to apply; the layout written here is that of this version.
        out.entry("transformers_version").or_insert_with(|| json!("4.57.3"));
        out
    }
}
