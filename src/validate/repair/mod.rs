//! Repairs, as data: a rule that finds a fault describes how to repair it, the validator continues with the view as repaired so far
//! ([`View::apply`]), and `--fix` writes that view.

mod adopt;
mod fix;
mod patched;

use std::collections::HashSet;
use std::fmt;

use serde_json::{Map, Value};

pub use adopt::adopt;
pub use fix::{Fixed, fix};

use super::view::View;

/// One step of a repair.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Repair {
    /// The model is in this sub-directory (`checkpoint-10`).
    UseSubdirectory(String),
    /// Read the named pickles with the restricted reader.
    ConvertPickle(Vec<String>),
    /// Put the parameters together from the pieces in the processes' files.
    GatherShards {
        /// The folder of the files, within the directory.
        folder: String,
        /// The number of processes.
        processes: usize,
    },
    /// Write the weights under the standard name, with an index made from the headers.
    RewriteWeights,
    /// Strip the byte order mark of a file.
    StripByteOrderMark(String),
    /// Take these files from the base.
    CopyFromBase(Vec<String>),
    /// Set fields of config.json; `Null` removes one. A dot leads into an object (`rope_scaling.factor`).
    SetConfig(Vec<(String, Value)>),
    /// Take all of config.json from the base, except for the number of tokens.
    ConfigFromBase,
    /// Write rotary positions and dtype so that transformers 4 and 5 both read them. Applied to every directory that is written.
    BothSpellings,
    /// Strip this from the front of every name that carries it.
    StripPrefix(String),
    /// Remove this part of a name wherever it stands (`_orig_mod.`).
    StripInside(String),
    /// Put this in front of every name of the base model.
    AddPrefix(String),
    /// Rename one tensor.
    Rename {
        /// Its name in the view.
        from: String,
        /// Its name in the architecture.
        to: String,
    },
    /// Leave these tensors out.
    Drop(Vec<String>),
    /// Transpose these matrices.
    Transpose(Vec<String>),
    /// Cut fused tensors into parts by rows: (fused name, parts with their rows).
    Split(Vec<(String, Vec<(String, u64)>)>),
    /// Stack tensors by rows into fused ones: (parts, fused name).
    Join(Vec<(Vec<String>, String)>),
    /// Merge the LoRA factors that stand beside their base layers.
    MergeLora {
        /// lora_alpha / r, or with rsLoRA lora_alpha / √r; `None` when it is not known.
        scale: Option<f64>,
    },
    /// Merge the adapter in the directory into the base.
    MergeAdapter,
    /// Evaluate settings of config.json that the tensors leave ambiguous on a text; the lowest loss must stand out.
    Score(Vec<Candidate>),
    /// Add rows to the embedding (and to an untied head), each the mean of the existing rows.
    AddEmbeddingRows {
        /// The resulting number of rows.
        rows: u64,
    },
    /// Set a field of tokenizer_config.json; `Null` removes it.
    SetTokenizerConfig {
        /// The field.
        key: String,
        /// Its value.
        value: Value,
    },
    /// Set fields of generation_config.json; `Null` removes one.
    SetGenerationConfig(Vec<(String, Value)>),
    /// Write generation_config.json from config.json.
    WriteGenerationConfig,
}

/// One possible interpretation of the tensors.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Its name in messages (`8 heads of 64`).
    pub label: String,
    /// Fields of config.json.
    pub config: Vec<(String, Value)>,
}

/// The step as a sentence for the report, in the imperative.
impl fmt::Display for Repair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Repair::UseSubdirectory(name) => write!(f, "take the model from {name}/"),
            Repair::ConvertPickle(files) => write!(f, "convert {} to safetensors", files.join(", ")),
            Repair::GatherShards { folder, processes: 1 } => write!(f, "take the weights from {folder}"),
            Repair::GatherShards { folder, processes } => {
                write!(f, "put the weights together from the pieces of {processes} processes in {folder}")
            }
            Repair::RewriteWeights => f.write_str("write the weights under the standard name, with a new index where there are shards"),
            Repair::StripByteOrderMark(file) => write!(f, "strip the byte order mark of {file}"),
            Repair::CopyFromBase(files) => write!(f, "copy {} from the base", files.join(", ")),
            Repair::SetConfig(fields) => write!(f, "in config.json {}", settings(fields)),
            Repair::ConfigFromBase => f.write_str("copy config.json from the base"),
            Repair::BothSpellings => f.write_str("write the spellings of transformers 4 and 5"),
            Repair::StripPrefix(prefix) => write!(f, "strip \"{prefix}\" from the names"),
            Repair::StripInside(part) => write!(f, "take \"{part}\" out of the names"),
            Repair::AddPrefix(prefix) => write!(f, "put \"{prefix}\" in front of the names"),
            Repair::Rename { from, to } => write!(f, "rename {from} to {to}"),
            Repair::Drop(names) => write!(f, "leave out {}", first_and_count(names)),
            Repair::Transpose(names) => write!(f, "transpose {}", first_and_count(names)),
            Repair::Split(fused) => {
                write!(f, "split {}", first_and_count(&fused.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>()))
            }
            Repair::Join(fused) => {
                write!(f, "join into {}", first_and_count(&fused.iter().map(|(_, name)| name.clone()).collect::<Vec<_>>()))
            }
            Repair::MergeLora { .. } => f.write_str("merge the LoRA factors into their layers"),
            Repair::MergeAdapter => f.write_str("merge the adapter into the base"),
            Repair::Score(candidates) if candidates.len() == 1 => f.write_str("see by the loss on a text whether that is so"),
            Repair::Score(candidates) => write!(f, "score {} readings by the loss on a text and take the best", candidates.len()),
            Repair::AddEmbeddingRows { rows } => write!(f, "add rows to the embedding, up to {rows}"),
            Repair::SetTokenizerConfig { key, value } if value.is_null() => write!(f, "remove {key} from tokenizer_config.json"),
            Repair::SetTokenizerConfig { key, value } => write!(f, "set {key} to {value} in tokenizer_config.json"),
            Repair::SetGenerationConfig(fields) => write!(f, "in generation_config.json {}", settings(fields)),
            Repair::WriteGenerationConfig => f.write_str("write generation_config.json from config.json"),
        }
    }
}

fn settings(fields: &[(String, Value)]) -> String {
    let one = |(key, value): &(String, Value)| match value {
        Value::Null => format!("remove {key}"),
        value => format!("set {key} to {value}"),
    };
    fields.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn first_and_count(names: &[String]) -> String {
    match names {
        [] => "nothing".to_string(),
        [one] => one.clone(),
        [first, rest @ ..] => format!("{first} and {} more", rest.len()),
    }
}

/// Sets a field or (with `Null`) removes it; also in a nested object.
pub(super) fn set(map: &mut Map<String, Value>, key: &str, value: Value) {
    match key.split_once('.') {
        Some((outer, inner)) => {
            if let Some(Value::Object(object)) = map.get_mut(outer) {
                set(object, inner, value);
            }
        }
        None if value.is_null() => {
            map.shift_remove(key);
        }
        None => {
            map.insert(key.to_string(), value);
        }
    }
}

impl View {
    /// Applies a rule's repair to the view. Steps that concern files do not change the view.
    pub fn apply(&mut self, repair: &Repair) {
        match repair {
            Repair::SetConfig(fields) => {
                for (key, value) in fields {
                    set(&mut self.config, key, value.clone());
                }
            }
            // The first candidate is the most likely; the later rules work with any of them.
            Repair::Score(candidates) => {
                for (key, value) in candidates.first().map_or(&[][..], |first| &first.config) {
                    set(&mut self.config, key, value.clone());
                }
            }
            Repair::StripPrefix(prefix) => {
                self.rename(|name| name.strip_prefix(prefix.as_str()).map(str::to_string));
            }
            Repair::StripInside(part) => self.rename(|name| name.contains(part.as_str()).then(|| name.replace(part.as_str(), ""))),
            Repair::AddPrefix(prefix) => {
                self.rename(|name| {
                    (!name.starts_with("lm_head.") && !name.starts_with(prefix.as_str())).then(|| format!("{prefix}{name}"))
                });
            }
            Repair::Rename { from, to } => self.rename(|name| (name == from).then(|| to.clone())),
            Repair::Drop(names) => {
                let names: HashSet<&String> = names.iter().collect();
                self.tensors.edit().retain(|tensor| !names.contains(&tensor.name));
            }
            Repair::Transpose(names) => {
                let names: HashSet<&String> = names.iter().collect();
                for tensor in self.tensors.edit().iter_mut().filter(|tensor| names.contains(&tensor.name)) {
                    tensor.transpose();
                }
            }
            Repair::MergeLora { scale } => self.merge_lora(scale.unwrap_or(0.0)),
            Repair::AddEmbeddingRows { rows } => {
                for name in ["model.embed_tokens.weight", "transformer.wte.weight", "lm_head.weight"] {
                    self.extend(name, *rows);
                }
                set(&mut self.config, "vocab_size", (*rows).into());
            }
            Repair::Split(fused) => self.split(fused),
            Repair::Join(fused) => self.join(fused),
            _ => {}
        }
    }
}
