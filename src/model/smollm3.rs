//! SmolLM 3: llama in which some layers have no rotary positions and may have a sliding window instead.

use serde_json::Value;

use super::config::{Defaults, ModelConfig};
use super::declaration::{BiasKey, Declaration, Positions};
use super::fields::{Fields, limits};
use super::forward::Forward;
use super::params::ParamDecl;
use super::{Architecture, gguf, llama, rope_config};
use crate::error::Result;

/// The declaration of `smollm3`.
pub(super) const DECLARATION: Declaration = Declaration {
    model_type: "smollm3",
    class_name: "SmolLM3ForCausalLM",
    text_part_of: None,
    keys: &llama::KEYS,
    tensors: &llama::TENSORS,
    positions: Positions::Rotary { theta: 2_000_000.0 },
    bias_keys: &[BiasKey::ATTENTION, BiasKey::MLP],
    heads_divide_hidden_size: false,
    ties_by_default: true,
    signature: None,
    lora_targets: &[],
    gguf: &gguf::SMOLLM3,
    config,
    params,
    forward,
};

/// Reads the fields of `SmolLM3Config`.
pub(super) fn config(fields: &Fields<'_>) -> Result<ModelConfig> {
    let mut config = ModelConfig::decoder(
        fields,
        Architecture::Smollm3,
        &Defaults {
            num_key_value_heads: Some(4),
            max_position_embeddings: 32768,
            bos: &[128_000],
            eos: &[128_001],
            pad: &[128_004],
            ..Defaults::default()
        },
    )?;
    config.attention_bias = fields.flag_or("attention_bias", false)?;
    config.attention_output_bias = config.attention_bias;
    config.mlp_bias = fields.flag_or("mlp_bias", false)?;
    let rotary = rotary_layers(fields, config.num_hidden_layers)?;
    let window = match fields.flag_or("use_sliding_window", false)? {
        true => fields.optional_count("sliding_window", None, limits::POSITIONS)?,
        false => None,
    };
    config.set_windows(fields, window, |layer| !rotary[layer])?;
    config.ropes = vec![rope_config::read(fields, &config)?];
    for (layer, rotary) in config.layers.iter_mut().zip(rotary) {
        layer.rope = rotary.then_some(0);
    }
    Ok(config)
}

/// Whether each layer has rotary positions: despite its name, `no_rope_layers` holds 1 for layers that have them and 0 for layers that do
/// not; without it every `no_rope_layer_interval`-th layer has none.
fn rotary_layers(fields: &Fields<'_>, layers: usize) -> Result<Vec<bool>> {
    const KEY: &str = "no_rope_layers";
    let list = match fields.value(KEY) {
        None | Some(Value::Null) => {
            let interval = fields.count_or("no_rope_layer_interval", 4, limits::LAYERS)?;
            return Ok((1..=layers).map(|layer| !layer.is_multiple_of(interval)).collect());
        }
        Some(Value::Array(list)) if list.len() >= layers => list,
        Some(Value::Array(list)) => {
            return Err(fields.error(KEY, format!("has {} entries, num_hidden_layers is {layers}", list.len())));
        }
        Some(_) => return Err(fields.error(KEY, "must be a list with a 1 for each layer with rotary positions and a 0 for each without")),
    };
    let flag = |(layer, value): (usize, &Value)| match value.as_u64() {
        Some(flag @ (0 | 1)) => Ok(flag == 1),
        _ => Err(fields.error(KEY, format!("has {value} for layer {layer}; it must be 1 (rotary positions) or 0 (none)"))),
    };
    list.iter().take(layers).enumerate().map(flag).collect()
}

/// The tensors of `SmolLM3ForCausalLM`: llama's.
pub(super) fn params(config: &ModelConfig) -> Vec<ParamDecl> {
    llama::decoder_params(config, false)
}

/// llama's forward pass; the configuration says which layers have rotary positions and windows.
pub(super) fn forward(f: &mut Forward<'_>) {
    llama::decoder_forward(f, false);
}
