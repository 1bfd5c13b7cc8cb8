//! Qwen 2 and 2.5: llama with biases on queries, keys and values, and an optional sliding window in some layers.

use super::config::{Defaults, ModelConfig};
use super::declaration::{Declaration, Positions};
use super::fields::{Fields, limits};
use super::forward::Forward;
use super::llama;
use super::params::ParamDecl;
use super::{Architecture, gguf, rope_config};
use crate::error::Result;

/// The declaration of `qwen2`.
pub(super) const DECLARATION: Declaration = Declaration {
    model_type: "qwen2",
    class_name: "Qwen2ForCausalLM",
    text_part_of: None,
    keys: &llama::KEYS,
    tensors: &llama::TENSORS,
    positions: Positions::Rotary { theta: 10_000.0 },
    bias_keys: &[],
    heads_divide_hidden_size: false,
    ties_by_default: false,
    signature: Some("q_proj.bias"),
    lora_targets: &["q_proj", "v_proj"],
    gguf: &gguf::QWEN2,
    config,
    params,
    forward,
};

/// Reads the fields of `Qwen2Config`.
pub(super) fn config(fields: &Fields<'_>) -> Result<ModelConfig> {
    let mut config = ModelConfig::decoder(
        fields,
        Architecture::Qwen2,
        &Defaults { num_key_value_heads: Some(32), max_position_embeddings: 32768, ..Defaults::default() },
    )?;
    config.attention_bias = true;
    read_windows(fields, &mut config)?;
    config.ropes = vec![rope_config::read(fields, &config)?];
    Ok(config)
}

/// Reads `use_sliding_window`, `sliding_window`, `max_window_layers` and `layer_types`, as in qwen2 and qwen3: without `layer_types`, the
/// layers from index `max_window_layers` on have the window.
pub(super) fn read_windows(fields: &Fields<'_>, config: &mut ModelConfig) -> Result<()> {
    let window = match fields.flag_or("use_sliding_window", false)? {
        true => fields.optional_count("sliding_window", Some(4096), limits::POSITIONS)?,
        false => None,
    };
    // 0 is valid here (every layer has the window), so this is not read as a count.
    let first = match fields.value("max_window_layers") {
        Some(value) if value.as_u64() != Some(0) => fields.count("max_window_layers", usize::MAX)?,
        Some(_) => 0,
        None => 28,
    };
    config.set_windows(fields, window, |layer| layer >= first)
}

/// The tensors of `Qwen2ForCausalLM`: llama's, with biases.
pub(super) fn params(config: &ModelConfig) -> Vec<ParamDecl> {
    llama::decoder_params(config, false)
}

/// llama's forward pass; the differences are in the declaration and in the layers' windows.
pub(super) fn forward(f: &mut Forward<'_>) {
    llama::decoder_forward(f, false);
}
