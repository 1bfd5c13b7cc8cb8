//! What a recipe says to commands that use a model: chat and merging. Recipes of LLaMA-Factory's `chat` and `export`.

use serde::Serialize;

use super::recipe::quantization;
use super::settings::Settings;
use super::types::{ExportDtype, Quantization};
use crate::error::Result;

/// How answers are drawn. Field names are the keys; the table of keys explains them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[expect(missing_docs, reason = "LLaMA-Factory's names, explained in the table of keys")]
pub struct Generating {
    pub do_sample: bool,
    pub temperature: f64,
    pub top_p: f64,
    pub top_k: usize,
    pub max_new_tokens: usize,
    pub repetition_penalty: f64,
}

impl Generating {
    /// Their keys.
    pub(super) const KEYS: [&str; 6] = ["do_sample", "temperature", "top_p", "top_k", "max_new_tokens", "repetition_penalty"];

    pub(super) fn resolve(s: &Settings) -> Self {
        Generating {
            do_sample: s.bool("do_sample"),
            temperature: s.number("temperature"),
            top_p: s.number("top_p"),
            top_k: usize::try_from(s.integer("top_k")).unwrap_or(0),
            max_new_tokens: s.count("max_new_tokens"),
            repetition_penalty: s.number("repetition_penalty"),
        }
    }
}

/// A recipe as `chat` and `merge` read it.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "LLaMA-Factory's names, explained in the table of keys")]
pub struct Using {
    pub model_name_or_path: String,
    pub adapter_name_or_path: Vec<String>,
    pub quantization: Quantization,
    pub default_system: Option<String>,
    pub generating: Generating,
    pub seed: u64,
    pub export_dir: Option<String>,
    pub export_dtype: ExportDtype,
    /// Bytes.
    pub max_shard_size: u64,
    /// Whether it names data: then it is the recipe of a run.
    pub has_data: bool,
    /// Remarks to show first.
    pub notices: Vec<String>,
}

impl Using {
    /// Parses YAML text and `key=value` overrides; `path` is what errors call it.
    ///
    /// # Errors
    /// As [`super::Recipe::parse`].
    pub fn parse(path: &str, text: &str, overrides: &[String]) -> Result<Self> {
        let mut settings = Settings::read(path, text, overrides)?;
        let using = Self::resolve(&mut settings);
        settings.finish()?;
        Ok(using)
    }

    pub(super) fn resolve(s: &mut Settings) -> Self {
        let model_name_or_path = s.model();
        if model_name_or_path.is_empty() {
            s.refuse("model_name_or_path", &[], "this key is missing; write the model's directory");
        }
        Using {
            model_name_or_path,
            adapter_name_or_path: s.list("adapter_name_or_path"),
            quantization: quantization(s),
            default_system: s.text_if_given("default_system"),
            generating: Generating::resolve(s),
            seed: s.integer("seed") as u64,
            export_dir: s.text_if_given("export_dir"),
            export_dtype: s.one_of("export_dtype"),
            max_shard_size: s.bytes("max_shard_size"),
            has_data: !s.list("dataset").is_empty(),
            notices: std::mem::take(&mut s.notices),
        }
    }
}
