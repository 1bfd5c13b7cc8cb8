//! The `config.json` that a GGUF file's metadata amount to.

use std::f64::consts::TAU;

use serde_json::{Map, Value as Json, json};

use super::metadata::{Metadata, Value};
use crate::error::{Error, Result};
use crate::model::Architecture;
use crate::model::declaration::{Declaration, Positions};

/// Keys after the architecture's prefix that are understood by the code below, besides those of the architecture's own fields.
const KNOWN: [&str; 21] = [
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.value_length",
    "block_count",
    "context_length",
    "embedding_length",
    "feed_forward_length",
    "rope.dimension_count",
    "rope.freq_base",
    "rope.freq_base_swa",
    "rope.scale_linear",
    "rope.scaling.attn_factor",
    "rope.scaling.factor",
    "rope.scaling.original_context_length",
    "rope.scaling.type",
    "rope.scaling.yarn_attn_factor",
    "rope.scaling.yarn_beta_fast",
    "rope.scaling.yarn_beta_slow",
    "tensor_data_layout",
    "vocab_size",
];
/// Keys that describe how a file was made, not what it computes.
const REMARKS: [&str; 1] = ["rope.scaling.finetuned"];
/// The layers of Gemma 3 27B, the only one whose attention scores are scaled by its width and not by that of a head (as llama.cpp tells
/// it).
const LAYERS_SCALED_BY_WIDTH: u64 = 62;

/// What the tensors tell, and the metadata do not.
pub(super) struct FromTensors {
    /// Rows of the token embedding.
    pub(super) vocabulary: u64,
    /// Whether there is an output head of its own.
    pub(super) has_head: bool,
    /// Whether the queries' projection has a bias.
    pub(super) attention_bias: bool,
    /// Whether the feed-forward block's has.
    pub(super) mlp_bias: bool,
    /// `rope_freqs.weight`: llama 3's divisors of the rotary frequencies.
    pub(super) rope_factors: Option<Vec<f32>>,
    /// `rope_factors_long.weight` and `rope_factors_short.weight`.
    pub(super) long_rope: Option<(Vec<f32>, Vec<f32>)>,
}

/// The architecture that the metadata name.
pub(super) fn architecture(metadata: &Metadata) -> Result<Architecture> {
    if let Some(kind) = metadata.text("general.type")?.filter(|kind| *kind != "model") {
        let way_out = match kind {
            "adapter" => "give the base model as the model, and convert the adapter from its PEFT directory",
            _ => "give the file of the language model",
        };
        return Err(metadata.error("general.type", format!("is {kind}: this file holds no language model; {way_out}")));
    }
    let key = "general.architecture";
    let name = metadata.text(key)?.ok_or_else(|| metadata.error(key, "is missing, so the file does not say what model it holds"))?;
    Architecture::from_gguf(name).ok_or_else(|| {
        let known: Vec<&str> =
            Architecture::all().map(|a| a.declaration().gguf).filter(|gguf| gguf.is_read).map(|gguf| gguf.architecture).collect();
        metadata.error(key, format!("is {name}, which is not supported ({})", known.join(", ")))
    })
}

/// Fields under the architecture's prefix.
struct Keys<'a> {
    metadata: &'a Metadata,
    prefix: &'a str,
}

impl Keys<'_> {
    fn name(&self, key: &str) -> String {
        format!("{}.{key}", self.prefix)
    }

    fn count(&self, key: &str) -> Result<Option<u64>> {
        self.metadata.same_count(&self.name(key))
    }

    fn needed(&self, key: &str) -> Result<u64> {
        self.count(key)?.ok_or_else(|| self.error(key, "is missing; the file is not complete"))
    }

    fn number(&self, key: &str) -> Result<Option<f64>> {
        self.metadata.number(&self.name(key))
    }

    fn error(&self, key: &str, reason: impl std::fmt::Display) -> Error {
        self.metadata.error(&self.name(key), reason)
    }
}

/// Builds the configuration of a model with these metadata and tensors.
pub(super) fn build(metadata: &Metadata, architecture: Architecture, tensors: &FromTensors) -> Result<Map<String, Json>> {
    let declaration = architecture.declaration();
    let gguf = declaration.gguf;
    let keys = Keys { metadata, prefix: gguf.architecture };
    nothing_else(&keys, declaration)?;
    let mut out = Map::new();
    let mut set = |field: &str, value: Json| {
        out.insert(field.to_string(), value);
    };
    set("model_type", json!(declaration.model_type));
    set("architectures", json!([declaration.class_name]));
    set(gguf.activation.0, json!(gguf.activation.1));
    set("vocab_size", json!(tensors.vocabulary));
    set("tie_word_embeddings", json!(!tensors.has_head));
    let (hidden, heads) = (keys.needed("embedding_length")?, keys.needed("attention.head_count")?);
    let layers = keys.needed("block_count")?;
    for (field, value) in [
        (declaration.keys.hidden_size, hidden),
        (declaration.keys.num_hidden_layers, layers),
        (declaration.keys.num_attention_heads, heads),
        (declaration.keys.intermediate_size, keys.needed("feed_forward_length")?),
        (declaration.keys.max_position_embeddings, keys.needed("context_length")?),
    ] {
        set(field[0], json!(value));
    }
    let mut head_dim = hidden.checked_div(heads).unwrap_or(0);
    if declaration.keys.has_head_sizes {
        let (key, value) = (keys.count("attention.key_length")?, keys.count("attention.value_length")?);
        if key != value {
            return Err(keys.error("attention.value_length", "differs from attention.key_length, which no supported architecture allows"));
        }
        head_dim = key.unwrap_or(head_dim);
        set("head_dim", json!(head_dim));
        set("num_key_value_heads", json!(keys.count("attention.head_count_kv")?.unwrap_or(heads)));
    }
    for bias in declaration.bias_keys {
        set(bias.key, json!(if bias.key == "mlp_bias" { tensors.mlp_bias } else { tensors.attention_bias }));
    }
    for (key, field) in gguf.fields {
        let value = match (keys.number(key)?, *key) {
            // llama.cpp's default is not that of the configuration class.
            (None, "attention.scale") => Some((head_dim as f64).powf(-0.5)),
            (value, _) => value,
        };
        match value {
            Some(value) if value.fract() == 0.0 && value.abs() < 1e15 && *field == "sliding_window" => set(field, json!(value as u64)),
            Some(value) => set(field, json!(value)),
            None => {}
        }
    }
    for (field, value) in gguf.fixed {
        set(field, json!(value));
    }
    if gguf.scale_from_sizes {
        let divisor = if layers == LAYERS_SCALED_BY_WIDTH { hidden.checked_div(heads).unwrap_or(0) } else { head_dim };
        set("query_pre_attn_scalar", json!(divisor));
    }
    rotary(&keys, declaration, tensors, head_dim, &mut out)?;
    token_ids(metadata, &mut out)?;
    Ok(out)
}

/// Refuses keys of this architecture that are not understood: they may change what the model computes.
fn nothing_else(keys: &Keys<'_>, declaration: &Declaration) -> Result<()> {
    let prefix = keys.name("");
    let mut unknown: Vec<&str> = keys.metadata.keys().filter_map(|key| key.strip_prefix(&prefix)).collect();
    unknown.sort_unstable();
    for key in unknown {
        let known = KNOWN.contains(&key) || REMARKS.contains(&key) || declaration.gguf.fields.iter().any(|(known, _)| *known == key);
        // Nothing of it: no experts, no window.
        let none = match keys.metadata.get(&keys.name(key)) {
            Some(Value::Unsigned(0) | Value::Signed(0) | Value::Bool(false)) => true,
            Some(Value::Bool(true)) => key == "attention.causal",
            _ => false,
        };
        if !known && !none {
            return Err(keys.error(key, format!("is not understood, and it may change what the {} model computes", keys.prefix)));
        }
    }
    Ok(())
}

fn rotary(keys: &Keys<'_>, declaration: &Declaration, tensors: &FromTensors, head_dim: u64, out: &mut Map<String, Json>) -> Result<()> {
    let theta = match declaration.positions {
        Positions::Learned => return Ok(()),
        // llama.cpp's default.
        _ => keys.number("rope.freq_base")?.unwrap_or(10_000.0),
    };
    out.insert("rope_theta".to_string(), json!(theta));
    if let Positions::RotaryByLayerType { local_theta, .. } = declaration.positions {
        out.insert("rope_local_base_freq".to_string(), json!(keys.number("rope.freq_base_swa")?.unwrap_or(local_theta)));
    }
    let rotated = keys.count("rope.dimension_count")?.unwrap_or(head_dim);
    if matches!(declaration.positions, Positions::PartlyRotary { .. }) {
        out.insert("partial_rotary_factor".to_string(), json!(rotated as f64 / head_dim.max(1) as f64));
    } else if rotated != head_dim {
        return Err(keys.error("rope.dimension_count", format!("is {rotated}, a part of a head of {head_dim}; only phi3 turns a part")));
    }
    let kind = keys.metadata.text(&keys.name("rope.scaling.type"))?.unwrap_or("none");
    let factor = match keys.number("rope.scaling.factor")? {
        None => keys.number("rope.scale_linear")?,
        factor => factor,
    };
    let original = keys.count("rope.scaling.original_context_length")?;
    let scaling = match (kind, &tensors.rope_factors, &tensors.long_rope) {
        ("none" | "longrope", None, Some((long, short))) => {
            let mut scaling = json!({"type": "longrope", "long_factor": long, "short_factor": short});
            if let Some(original) = original {
                out.insert("original_max_position_embeddings".to_string(), json!(original));
            }
            if let Some(factor) = keys.number("rope.scaling.attn_factor")? {
                scaling["attention_factor"] = json!(factor);
            }
            scaling
        }
        ("none", Some(factors), None) => llama3(keys, factors, theta)?,
        ("none", None, None) if factor.is_none_or(|factor| factor == 1.0) => return Ok(()),
        ("linear" | "none", None, None) => {
            let factor = factor.ok_or_else(|| keys.error("rope.scaling.factor", "is missing, and the scaling is linear"))?;
            json!({"rope_type": "linear", "factor": factor})
        }
        ("yarn", None, None) => {
            let factor = factor.ok_or_else(|| keys.error("rope.scaling.factor", "is missing, and the scaling is yarn"))?;
            let mut scaling = json!({"rope_type": "yarn", "factor": factor});
            for (key, field) in [
                ("rope.scaling.yarn_attn_factor", "attention_factor"),
                ("rope.scaling.yarn_beta_fast", "beta_fast"),
                ("rope.scaling.yarn_beta_slow", "beta_slow"),
            ] {
                if let Some(value) = keys.number(key)? {
                    scaling[field] = json!(value);
                }
            }
            if let Some(original) = original {
                scaling["original_max_position_embeddings"] = json!(original);
            }
            scaling
        }
        (other, ..) => {
            return Err(keys.error("rope.scaling.type", format!("is {other}, which is not understood together with its tensors")));
        }
    };
    out.insert("rope_scaling".to_string(), scaling);
    Ok(())
}

/// Llama 3's scaling, of which a file holds only what it makes of each frequency. All published models have the same other numbers; the
/// factors must be those that follow from them.
fn llama3(keys: &Keys<'_>, factors: &[f32], theta: f64) -> Result<Json> {
    const LOW: f64 = 1.0;
    const HIGH: f64 = 4.0;
    const ORIGINAL: f64 = 8192.0;
    let factor = factors.iter().copied().fold(1.0, f32::max);
    let rule = |index: usize| {
        let turns = ORIGINAL / (TAU * theta.powf(2.0 * index as f64 / (2 * factors.len()) as f64));
        match turns {
            _ if turns > HIGH => 1.0,
            _ if turns < LOW => f64::from(factor),
            _ => {
                let smooth = (turns - LOW) / (HIGH - LOW);
                1.0 / ((1.0 - smooth) / f64::from(factor) + smooth)
            }
        }
    };
    // The converter computes in f32.
    let follows = |(index, value): (usize, &f32)| (f64::from(*value) / rule(index) - 1.0).abs() < 1e-3;
    if !factors.iter().enumerate().all(follows) {
        return Err(Error::tensor(
            keys.metadata.file(),
            "rope_freqs.weight",
            "holds other factors than Llama 3's scaling gives, so its parameters cannot be told; take the model's Hugging Face directory",
        ));
    }
    Ok(json!({
        "rope_type": "llama3", "factor": factor, "low_freq_factor": LOW, "high_freq_factor": HIGH,
        "original_max_position_embeddings": ORIGINAL as u64,
    }))
}

/// generation_config.json: what transformers derives from this config.json where there is none.
pub(super) fn generation(config: &Map<String, Json>) -> Json {
    let mut out = json!({"_from_model_config": true});
    for key in ["bos_token_id", "eos_token_id", "pad_token_id"] {
        if let Some(value) = config.get(key).filter(|value| !value.is_null()) {
            out[key] = value.clone();
        }
    }
    out
}

/// The ids of special tokens; generation also stops at the end of a turn and of a message.
fn token_ids(metadata: &Metadata, out: &mut Map<String, Json>) -> Result<()> {
    let id = |name: &str| metadata.count(&format!("tokenizer.ggml.{name}_token_id"));
    out.insert("bos_token_id".to_string(), json!(id("bos")?));
    out.insert("pad_token_id".to_string(), json!(id("padding")?));
    let mut ends: Vec<u64> = [id("eos")?, id("eot")?, id("eom")?].into_iter().flatten().collect();
    ends.dedup();
    let ends = match ends[..] {
        [] => Json::Null,
        [one] => json!(one),
        _ => json!(ends),
    };
    out.insert("eos_token_id".to_string(), ends);
    Ok(())
}
