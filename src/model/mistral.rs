//! Mistral: llama with a sliding window in every layer.

use super::config::{Defaults, ModelConfig};
use super::declaration::{Declaration, Positions};
use super::fields::{Fields, limits};
use super::forward::Forward;
use super::llama;
use super::params::ParamDecl;
use super::{Architecture, gguf, rope_config};
use crate::error::Result;

/// The declaration of `mistral`.
pub(super) const DECLARATION: Declaration = Declaration {
    model_type: "mistral",
    class_name: "MistralForCausalLM",
    text_part_of: None,
    keys: &llama::KEYS,
    tensors: &llama::TENSORS,
    positions: Positions::Rotary { theta: 10_000.0 },
    bias_keys: &[],
    heads_divide_hidden_size: false,
    ties_by_default: false,
    signature: None,
    lora_targets: &["q_proj", "v_proj"],
    gguf: &gguf::MISTRAL,
    config,
    params,
    forward,
};

/// Reads the fields of `MistralConfig`.
pub(super) fn config(fields: &Fields<'_>) -> Result<ModelConfig> {
    let mut config = ModelConfig::decoder(
        fields,
        Architecture::Mistral,
        &Defaults { num_key_value_heads: Some(8), max_position_embeddings: 4096 * 32, bos: &[1], eos: &[2], ..Defaults::default() },
    )?;
    let window = fields.optional_count("sliding_window", Some(4096), limits::POSITIONS)?;
    config.set_window(window);
    config.ropes = vec![rope_config::read(fields, &config)?];
    Ok(config)
}

/// The tensors of `MistralForCausalLM`: llama's.
pub(super) fn params(config: &ModelConfig) -> Vec<ParamDecl> {
    llama::decoder_params(config, false)
}

/// llama's forward pass; the differences are in the declaration and in the layers' windows.
pub(super) fn forward(f: &mut Forward<'_>) {
    llama::decoder_forward(f, false);
}
