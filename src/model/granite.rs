//! Granite 3 (dense): llama with multipliers on the embedding, on the attention scores and on the output of each block before it is added
//! to the residual stream, and a divisor of the logits.

use super::config::{Defaults, ModelConfig};
use super::declaration::{BiasKey, Declaration, Positions};
use super::fields::Fields;
use super::forward::Forward;
use super::params::ParamDecl;
use super::{Architecture, gguf, llama, rope_config};
use crate::error::Result;

/// The declaration of `granite`.
pub(super) const DECLARATION: Declaration = Declaration {
    model_type: "granite",
    class_name: "GraniteForCausalLM",
    text_part_of: None,
    keys: &llama::KEYS,
    tensors: &llama::TENSORS,
    positions: Positions::Rotary { theta: 10_000.0 },
    bias_keys: &[BiasKey::ATTENTION, BiasKey::MLP],
    heads_divide_hidden_size: false,
    ties_by_default: false,
    signature: None,
    lora_targets: &[],
    gguf: &gguf::GRANITE,
    config,
    params,
    forward,
};

/// Reads the fields of `GraniteConfig`.
pub(super) fn config(fields: &Fields<'_>) -> Result<ModelConfig> {
    let mut config = ModelConfig::decoder(
        fields,
        Architecture::Granite,
        &Defaults { max_position_embeddings: 2048, bos: &[1], eos: &[2], ..Defaults::default() },
    )?;
    config.attention_bias = fields.flag_or("attention_bias", false)?;
    config.attention_output_bias = config.attention_bias;
    config.mlp_bias = fields.flag_or("mlp_bias", false)?;
    config.embedding_scale = fields.positive_or("embedding_multiplier", 1.0)? as f32;
    config.attention_scale = fields.positive_or("attention_multiplier", 1.0)? as f32;
    config.residual_scale = fields.positive_or("residual_multiplier", 1.0)? as f32;
    config.logits_scale = (1.0 / fields.positive_or("logits_scaling", 1.0)?) as f32;
    config.ropes = vec![rope_config::read(fields, &config)?];
    Ok(config)
}

/// The tensors of `GraniteForCausalLM`: llama's.
pub(super) fn params(config: &ModelConfig) -> Vec<ParamDecl> {
    llama::decoder_params(config, false)
}

/// llama's forward pass; the configuration holds the multipliers.
pub(super) fn forward(f: &mut Forward<'_>) {
    llama::decoder_forward(f, false);
}
