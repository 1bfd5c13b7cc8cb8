//! Qwen 3: llama with RMSNorm on each head's queries and keys before RoPE.

use super::config::{Defaults, ModelConfig};
use super::declaration::{BiasKey, Declaration, Positions};
use super::fields::Fields;
use super::forward::Forward;
use super::params::ParamDecl;
use super::{Architecture, gguf, rope_config};
use super::{llama, qwen2};
use crate::error::Result;

/// The declaration of `qwen3`.
pub(super) const DECLARATION: Declaration = Declaration {
    model_type: "qwen3",
    class_name: "Qwen3ForCausalLM",
    text_part_of: None,
    keys: &llama::KEYS,
    tensors: &llama::TENSORS_WITH_HEAD_NORMS,
    positions: Positions::Rotary { theta: 10_000.0 },
    bias_keys: &[BiasKey::ATTENTION],
    heads_divide_hidden_size: false,
    ties_by_default: false,
    signature: Some("q_norm"),
    lora_targets: &["q_proj", "v_proj"],
    gguf: &gguf::QWEN3,
    config,
    params,
    forward,
};

/// Reads the fields of `Qwen3Config`.
pub(super) fn config(fields: &Fields<'_>) -> Result<ModelConfig> {
    let mut config = ModelConfig::decoder(
        fields,
        Architecture::Qwen3,
        &Defaults { num_key_value_heads: Some(32), head_dim: Some(128), max_position_embeddings: 32768, ..Defaults::default() },
    )?;
    config.attention_bias = fields.flag_or("attention_bias", false)?;
    config.attention_output_bias = config.attention_bias;
    qwen2::read_windows(fields, &mut config)?;
    config.ropes = vec![rope_config::read(fields, &config)?];
    Ok(config)
}

/// The tensors of `Qwen3ForCausalLM`: llama's, with `q_norm` and `k_norm`.
pub(super) fn params(config: &ModelConfig) -> Vec<ParamDecl> {
    llama::decoder_params(config, true)
}

/// llama's forward pass with RMSNorm on each head's query and key before RoPE.
pub(super) fn forward(f: &mut Forward<'_>) {
    llama::decoder_forward(f, true);
}
