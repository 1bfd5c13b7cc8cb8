//! OLMo 2: llama with norms after attention and feed-forward block instead of before them, and norms on queries and keys over all heads
//! together.

use super::config::{Defaults, ModelConfig};
use super::declaration::{BiasKey, Declaration, Positions};
use super::fields::Fields;
use super::forward::Forward;
use super::params::{ParamDecl, Params};
use super::{Architecture, gguf, llama, rope_config};
use crate::error::Result;

/// The declaration of `olmo2`.
pub(super) const DECLARATION: Declaration = Declaration {
    model_type: "olmo2",
    class_name: "Olmo2ForCausalLM",
    text_part_of: None,
    keys: &llama::KEYS,
    tensors: &llama::TENSORS,
    positions: Positions::Rotary { theta: 10_000.0 },
    bias_keys: &[BiasKey::ATTENTION],
    heads_divide_hidden_size: false,
    ties_by_default: false,
    signature: Some("post_feedforward_layernorm"),
    lora_targets: &[],
    gguf: &gguf::OLMO2,
    config,
    params,
    forward,
};

/// Reads the fields of `Olmo2Config`.
pub(super) fn config(fields: &Fields<'_>) -> Result<ModelConfig> {
    let mut config = ModelConfig::decoder(
        fields,
        Architecture::Olmo2,
        &Defaults { max_position_embeddings: 2048, norm_eps: 1e-5, eos: &[50279], pad: &[1], ..Defaults::default() },
    )?;
    config.attention_bias = fields.flag_or("attention_bias", false)?;
    config.attention_output_bias = config.attention_bias;
    config.ropes = vec![rope_config::read(fields, &config)?];
    Ok(config)
}

/// The tensors of `Olmo2ForCausalLM`.
pub(super) fn params(config: &ModelConfig) -> Vec<ParamDecl> {
    let (hidden, ffn) = (config.hidden_size, config.intermediate_size);
    let (q, kv) = (config.query_width(), config.key_value_width());
    let mut p = Params::new("model.");
    p.embedding("embed_tokens", config.vocab_size, hidden);
    p.layers("layers", config, |p| {
        p.linear("self_attn.q_proj", q, hidden, config.attention_bias);
        p.linear("self_attn.k_proj", kv, hidden, config.attention_bias);
        p.linear("self_attn.v_proj", kv, hidden, config.attention_bias);
        p.linear("self_attn.o_proj", hidden, q, config.attention_output_bias);
        p.rms_norm("self_attn.q_norm", q);
        p.rms_norm("self_attn.k_norm", kv);
        p.linear("mlp.gate_proj", ffn, hidden, false);
        p.linear("mlp.up_proj", ffn, hidden, false);
        p.linear("mlp.down_proj", hidden, ffn, false);
        p.rms_norm("post_attention_layernorm", hidden);
        p.rms_norm("post_feedforward_layernorm", hidden);
    });
    p.rms_norm("norm", hidden);
    p.with_head(config)
}

/// OLMo 2: normalises the outputs of attention and feed-forward block, not their inputs.
pub(super) fn forward(f: &mut Forward<'_>) {
    f.scope("model.");
    let x = f.embedding("embed_tokens", None, f.config.pad_token_id);
    let x = f.layers("layers", x, |f, x| {
        let [q, k, v] = f.linears(x, ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"]);
        let q = f.rms_norm(q, "self_attn.q_norm");
        let k = f.rms_norm(k, "self_attn.k_norm");
        let h = f.attention(q, k, v);
        let h = f.linear(h, "self_attn.o_proj");
        let h = f.rms_norm(h, "post_attention_layernorm");
        let x = f.add(x, h);

        let [gate, up] = f.linears(x, ["mlp.gate_proj", "mlp.up_proj"]);
        let h = f.gated(gate, up);
        let h = f.linear(h, "mlp.down_proj");
        let h = f.rms_norm(h, "post_feedforward_layernorm");
        f.add(x, h)
    });
    let x = f.rms_norm(x, "norm");
    f.head(x);
}
