//! Phi 3, 3.5 and 4-mini: llama with one fused projection for queries, keys and values and one for gate and up, rotary
//! positions on a part of each head, and LongRoPE.

use super::config::{Defaults, ModelConfig};
use super::declaration::{Declaration, Positions, Projection, ShownSize, Size, Tensors};
use super::fields::{Fields, limits};
use super::forward::Forward;
use super::params::{ParamDecl, Params};
use super::{Architecture, gguf, llama, rope_config};
use crate::error::Result;

/// llama's tensor names with fused projections.
const TENSORS: Tensors = Tensors {
    projections: &[
        Projection::from_hidden("self_attn.qkv_proj"),
        Projection::to_hidden("self_attn.o_proj"),
        Projection::from_hidden("mlp.gate_up_proj"),
        Projection::to_hidden("mlp.down_proj"),
    ],
    shown: &[llama::INTERMEDIATE, llama::QUERY, ShownSize::in_layer(Size::QueryKeyValue, "self_attn.qkv_proj.weight", 0)],
    ..llama::TENSORS
};

/// The declaration of `phi3`.
pub(super) const DECLARATION: Declaration = Declaration {
    model_type: "phi3",
    class_name: "Phi3ForCausalLM",
    text_part_of: None,
    keys: &llama::KEYS,
    tensors: &TENSORS,
    positions: Positions::PartlyRotary { theta: 10_000.0 },
    bias_keys: &[],
    heads_divide_hidden_size: false,
    ties_by_default: false,
    signature: Some("qkv_proj"),
    lora_targets: &[],
    gguf: &gguf::PHI3,
    config,
    params,
    forward,
};

/// Reads the fields of `Phi3Config`.
pub(super) fn config(fields: &Fields<'_>) -> Result<ModelConfig> {
    let mut config = ModelConfig::decoder(
        fields,
        Architecture::Phi3,
        &Defaults { max_position_embeddings: 4096, norm_eps: 1e-5, bos: &[1], eos: &[32000], pad: &[32000], ..Defaults::default() },
    )?;
    let window = fields.optional_count("sliding_window", None, limits::POSITIONS)?;
    config.set_window(window);
    config.ropes = vec![rope_config::read_phi3(fields, &config)?];
    Ok(config)
}

/// The tensors of `Phi3ForCausalLM`. `qkv_proj` stacks the rows of queries, keys and values; `gate_up_proj` stacks those of gate and up.
pub(super) fn params(config: &ModelConfig) -> Vec<ParamDecl> {
    let (hidden, ffn) = (config.hidden_size, config.intermediate_size);
    let (q, kv) = (config.query_width(), config.key_value_width());
    let mut p = Params::new("model.");
    p.embedding("embed_tokens", config.vocab_size, hidden);
    p.layers("layers", config, |p| {
        p.linear("self_attn.o_proj", hidden, q, false);
        p.linear("self_attn.qkv_proj", q + 2 * kv, hidden, false);
        p.linear("mlp.gate_up_proj", 2 * ffn, hidden, false);
        p.linear("mlp.down_proj", hidden, ffn, false);
        p.rms_norm("input_layernorm", hidden);
        p.rms_norm("post_attention_layernorm", hidden);
    });
    p.rms_norm("norm", hidden);
    p.with_head(config)
}

/// Phi-3: llama with q, k, v in one projection, and gate and up in another.
pub(super) fn forward(f: &mut Forward<'_>) {
    let (q_width, kv_width) = (f.config.query_width(), f.config.key_value_width());
    let ffn = f.config.intermediate_size;
    f.scope("model.");
    let x = f.embedding("embed_tokens", None, f.config.pad_token_id);
    let x = f.layers("layers", x, |f, x| {
        let h = f.rms_norm(x, "input_layernorm");
        let qkv = f.linear(h, "self_attn.qkv_proj");
        let qkv = f.split(qkv, &[q_width, kv_width, kv_width]);
        let h = f.attention(qkv[0], qkv[1], qkv[2]);
        let h = f.linear(h, "self_attn.o_proj");
        let x = f.add(x, h);

        let h = f.rms_norm(x, "post_attention_layernorm");
        let gate_up = f.linear(h, "mlp.gate_up_proj");
        let gate_up = f.split(gate_up, &[ffn, ffn]);
        let h = f.gated(gate_up[0], gate_up[1]);
        let h = f.linear(h, "mlp.down_proj");
        f.add(x, h)
    });
    let x = f.rms_norm(x, "norm");
    f.head(x);
}
