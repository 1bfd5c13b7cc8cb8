//! The files that a checkpoint copies from the directory it is derived from: tokenizer, chat template, generation settings.

use serde_json::{Map, Value, json};

use crate::error::Result;
use crate::model::ModelConfig;
use crate::model::config::parse_object;
use crate::platform::{Directory, read_small};

const GENERATION_CONFIG: &str = "generation_config.json";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
/// The files that tokenizers and chat templates of any kind consist of.
const CARRIED: [&str; 14] = [
    "tokenizer.json",
    TOKENIZER_CONFIG,
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "normalizer.json",
    "tekken.json",
];
/// Settings that apply only to sampling; transformers refuses to save them together with `do_sample: false`.
pub(crate) const SAMPLING_SETTINGS: [&str; 8] =
    ["temperature", "top_p", "top_k", "min_p", "top_h", "typical_p", "epsilon_cutoff", "eta_cutoff"];

/// The small files of a checkpoint, held in memory so that they remain available if their directory is deleted.
#[derive(Debug, Clone, Default)]
pub struct Carry {
    files: Vec<(String, Vec<u8>)>,
    generation_config: Option<Map<String, Value>>,
}

impl Carry {
    /// No copied files; only what follows from the model's configuration.
    pub fn nothing() -> Self {
        Carry::default()
    }

    /// Loads tokenizer, chat template and generation settings from `dir`.
    ///
    /// # Errors
    /// [`crate::Error::Line`] when a JSON file among them is damaged, [`crate::Error::File`] when one cannot be read.
    pub async fn load(dir: &dyn Directory) -> Result<Carry> {
        let mut carry = Carry::default();
        for entry in dir.list().await? {
            let template = entry.name.strip_prefix("additional_chat_templates/").is_some_and(|n| n.ends_with(".jinja"));
            if entry.name != GENERATION_CONFIG && !template && !CARRIED.contains(&entry.name.as_str()) {
                continue;
            }
            carry.set_file(&entry.name, read_small(dir, &entry.name).await?)?;
        }
        Ok(carry)
    }

    /// Whether a file of this name belongs to a tokenizer or chat template and is copied.
    pub(crate) fn is_carried(name: &str) -> bool {
        CARRIED.contains(&name)
    }

    /// Adds or replaces a file, for example `chat_template.jinja` when a recipe names another template.
    ///
    /// # Errors
    /// [`crate::Error::Line`] when it is `tokenizer_config.json` or `generation_config.json` and not JSON.
    pub fn set_file(&mut self, name: &str, bytes: Vec<u8>) -> Result<()> {
        if name == GENERATION_CONFIG {
            self.generation_config = Some(parse_object(name, &bytes)?);
            return Ok(());
        }
        let bytes = if name == TOKENIZER_CONFIG { readable_by_both(bytes)? } else { bytes };
        self.files.retain(|(other, _)| other != name);
        self.files.push((name.to_string(), bytes));
        Ok(())
    }

    /// Makes a token the one that ends texts and answers, as a chat template ends them: in the tokenizer's configuration, and beside the
    /// ends that generation stops at already.
    ///
    /// # Errors
    /// [`crate::Error::Line`] when tokenizer_config.json is not JSON.
    pub(crate) fn end_with(&mut self, id: u32, token: &str, model: &ModelConfig) -> Result<()> {
        let bytes = self.file(TOKENIZER_CONFIG).unwrap_or(b"{}").to_vec();
        let mut config = parse_object(TOKENIZER_CONFIG, &bytes)?;
        config.insert("eos_token".into(), json!(token));
        self.set_file(TOKENIZER_CONFIG, to_bytes(config))?;
        let mut generation = self.generation_config(model);
        let mut ends: Vec<Value> = match generation.get("eos_token_id") {
            Some(Value::Array(ids)) => ids.clone(),
            Some(one) if one.is_u64() => vec![one.clone()],
            _ => Vec::new(),
        };
        if !ends.contains(&json!(id)) {
            ends.insert(0, json!(id));
        }
        generation.insert("eos_token_id".into(), if ends.len() == 1 { json!(id) } else { json!(ends) });
        self.generation_config = Some(generation);
        Ok(())
    }

    /// Replaces tokenizer files and chat template by those of another directory.
    pub fn replace_by(&mut self, other: Carry) {
        self.files.retain(|(name, _)| !other.files.iter().any(|(new, _)| new == name));
        self.files.extend(other.files);
    }

    /// The content of a copied file.
    pub fn file(&self, name: &str) -> Option<&[u8]> {
        self.files.iter().find(|(other, _)| other == name).map(|(_, bytes)| bytes.as_slice())
    }

    /// The files of tokenizer and chat template.
    pub(crate) fn tokenizer_files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
    }

    /// All files to write together with the weights of a model with this configuration, including `generation_config.json`.
    pub(super) fn files(&self, config: &ModelConfig) -> Vec<(&str, Vec<u8>)> {
        let mut files: Vec<_> = self.files.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
        files.push((GENERATION_CONFIG, to_bytes(self.generation_config(config))));
        files
    }

    fn generation_config(&self, config: &ModelConfig) -> Map<String, Value> {
        let mut out = self.generation_config.clone().unwrap_or_else(|| {
            let mut minimal = Map::new();
            minimal.insert("_from_model_config".into(), json!(true));
            let eos = match config.eos_token_ids[..] {
                [] => None,
                [one] => Some(json!(one)),
                _ => Some(json!(config.eos_token_ids)),
            };
            let ids = [
                ("bos_token_id", config.bos_token_id.map(Value::from)),
                ("eos_token_id", eos),
                ("pad_token_id", config.pad_token_id.map(Value::from)),
            ];
            minimal.extend(ids.into_iter().filter_map(|(key, id)| Some((key.to_string(), id?))));
            minimal
        });
        if out.get("do_sample") != Some(&json!(true)) {
            out.retain(|key, _| !SAMPLING_SETTINGS.contains(&key.as_str()));
        }
        out
    }
}

/// JSON formatted as transformers writes it: sorted keys, two spaces of indentation, a newline at the end.
pub(super) fn to_bytes(map: Map<String, Value>) -> Vec<u8> {
    let mut value = Value::Object(map);
    value.sort_all_objects();
    format!("{value:#}\n").into_bytes()
}

/// Makes a tokenizer configuration readable by transformers 4 and 5. Version 5 writes the class `TokenizersBackend`, which 4 does not know,
/// and lists extra special tokens where 4 expects a map of names. Both read `PreTrainedTokenizerFast` and `additional_special_tokens`. A
/// file that needs no change keeps its bytes.
fn readable_by_both(bytes: Vec<u8>) -> Result<Vec<u8>> {
    let original = parse_object(TOKENIZER_CONFIG, &bytes)?;
    let mut config = original.clone();
    if config.get("tokenizer_class").and_then(Value::as_str) == Some("TokenizersBackend") {
        config.insert("tokenizer_class".into(), json!("PreTrainedTokenizerFast"));
    }
    if config.get("extra_special_tokens").is_some_and(Value::is_array)
        && let Some(list) = config.remove("extra_special_tokens")
    {
        config.entry("additional_special_tokens").or_insert(list);
    }
    if let Some(named) = config.get("model_specific_special_tokens").filter(|v| v.is_object()).cloned() {
        config.entry("extra_special_tokens").or_insert(named);
    }
    Ok(if config == original { bytes } else { to_bytes(config) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokenizer_configs_of_transformers_5_are_made_readable_by_4() {
        let v5 = br#"{"tokenizer_class": "TokenizersBackend", "extra_special_tokens": ["<a>"], "eos_token": "</s>",
            "model_specific_special_tokens": {"image_token": "<i>"}}"#;
        let bytes = readable_by_both(v5.to_vec()).expect("it is JSON");
        let found: Value = serde_json::from_slice(&bytes).expect("it is JSON");
        assert_eq!(
            found,
            json!({"tokenizer_class": "PreTrainedTokenizerFast", "additional_special_tokens": ["<a>"], "eos_token": "</s>",
                "model_specific_special_tokens": {"image_token": "<i>"}, "extra_special_tokens": {"image_token": "<i>"}})
        );
    }

    #[test]
    fn another_end_of_answers_is_written_where_transformers_looks_for_it() {
        let config = br#"{"model_type": "llama", "vocab_size": 300, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 1,
            "num_attention_heads": 4, "eos_token_id": 1}"#;
        let model = ModelConfig::parse("config.json", config).expect("a configuration");
        let mut carry = Carry::nothing();
        carry.set_file(TOKENIZER_CONFIG, br#"{"eos_token": "</s>", "tokenizer_class": "PreTrainedTokenizerFast"}"#.to_vec()).expect("JSON");
        carry.end_with(7, "<|im_end|>", &model).expect("fine");
        let tokenizer: Value = serde_json::from_slice(carry.file(TOKENIZER_CONFIG).expect("it is there")).expect("JSON");
        assert_eq!(tokenizer["eos_token"], "<|im_end|>");
        assert_eq!(carry.generation_config(&model)["eos_token_id"], json!([7, 1]));
        carry.end_with(7, "<|im_end|>", &model).expect("fine");
        assert_eq!(carry.generation_config(&model)["eos_token_id"], json!([7, 1]), "once is enough");
    }

    #[test]
    fn other_tokenizer_classes_stay() {
        let v4 = br#"{"tokenizer_class": "GPT2Tokenizer", "model_max_length": 1000000000000000019884624838656}"#;
        assert_eq!(readable_by_both(v4.to_vec()), Ok(v4.to_vec()));
    }
}
