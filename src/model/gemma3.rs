//! Gemma 3, text only: norms before and after attention and feed-forward block, norms on queries and keys, five sliding layers for each
//! full layer, a separate rotary base for each kind of layer, tied and scaled embedding.

use super::config::{Defaults, ModelConfig};
use super::declaration::{BiasKey, Declaration, Positions};
use super::fields::{Fields, limits};
use super::forward::Forward;
use super::params::{ParamDecl, Params};
use super::{Architecture, gguf, llama, rope_config};
use crate::error::Result;

/// The declaration of `gemma3_text`.
pub(super) const DECLARATION: Declaration = Declaration {
    model_type: "gemma3_text",
    class_name: "Gemma3ForCausalLM",
    text_part_of: Some("gemma3"),
    keys: &llama::KEYS,
    tensors: &llama::TENSORS_WITH_HEAD_NORMS,
    positions: Positions::RotaryByLayerType { theta: 1_000_000.0, local_theta: 10_000.0 },
    bias_keys: &[BiasKey::ATTENTION],
    heads_divide_hidden_size: true,
    ties_by_default: true,
    signature: Some("pre_feedforward_layernorm"),
    lora_targets: &["q_proj", "v_proj"],
    gguf: &gguf::GEMMA3,
    config,
    params,
    forward,
};

/// Reads the fields of `Gemma3TextConfig`.
///
/// `attn_logit_softcapping` is not read: transformers 4 and 5 keep it in Gemma 3's configuration but never apply it.
pub(super) fn config(fields: &Fields<'_>) -> Result<ModelConfig> {
    if fields.flag_or("use_bidirectional_attention", false)? {
        return Err(fields.error(
            "use_bidirectional_attention",
            "is true, so tokens attend to later ones; only causal language models can be trained here",
        ));
    }
    let mut config = ModelConfig::decoder(
        fields,
        Architecture::Gemma3Text,
        &Defaults {
            num_key_value_heads: Some(4),
            head_dim: Some(256),
            max_position_embeddings: 131_072,
            activation_key: "hidden_activation",
            activation: "gelu_pytorch_tanh",
            bos: &[2],
            eos: &[1],
            pad: &[0],
            ..Defaults::default()
        },
    )?;
    config.attention_bias = fields.flag_or("attention_bias", false)?;
    config.attention_output_bias = config.attention_bias;
    config.attention_scale = fields.positive_or("query_pre_attn_scalar", 256.0)?.powf(-0.5) as f32;
    config.embedding_scale = (config.hidden_size as f64).sqrt() as f32;
    config.norm_weight_offset = 1.0;
    config.final_logit_softcapping = fields.optional_positive("final_logit_softcapping")?.map(|cap| cap as f32);

    let window = fields.optional_count("sliding_window", Some(4096), limits::POSITIONS)?;
    let pattern = fields.count_or("sliding_window_pattern", 6, limits::LAYERS)?;
    config.set_windows(fields, window, |layer| !(layer + 1).is_multiple_of(pattern))?;
    // Rope 0 belongs to the full layers, rope 1 to the sliding ones.
    config.ropes = rope_config::read_per_layer_type(fields, &config)?;
    for layer in &mut config.layers {
        layer.rope = Some(usize::from(layer.window.is_some()));
    }
    Ok(config)
}

/// The tensors of `Gemma3ForCausalLM`.
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
        p.rms_norm("self_attn.q_norm", config.head_dim);
        p.rms_norm("self_attn.k_norm", config.head_dim);
        p.linear("mlp.gate_proj", ffn, hidden, false);
        p.linear("mlp.up_proj", ffn, hidden, false);
        p.linear("mlp.down_proj", hidden, ffn, false);
        p.rms_norm("input_layernorm", hidden);
        p.rms_norm("post_attention_layernorm", hidden);
        p.rms_norm("pre_feedforward_layernorm", hidden);
        p.rms_norm("post_feedforward_layernorm", hidden);
    });
    p.rms_norm("norm", hidden);
    p.with_head(config)
}

/// Gemma 3: norms before and after attention and feed-forward block, norms on queries and keys.
pub(super) fn forward(f: &mut Forward<'_>) {
    f.scope("model.");
    let x = f.embedding("embed_tokens", None, f.config.pad_token_id);
    let x = f.layers("layers", x, |f, x| {
        let h = f.rms_norm(x, "input_layernorm");
        let [q, k, v] = f.linears(h, ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"]);
        let q = f.rms_norm(q, "self_attn.q_norm");
        let k = f.rms_norm(k, "self_attn.k_norm");
        let h = f.attention(q, k, v);
        let h = f.linear(h, "self_attn.o_proj");
        let h = f.rms_norm(h, "post_attention_layernorm");
        let x = f.add(x, h);

        let h = f.rms_norm(x, "pre_feedforward_layernorm");
        let [gate, up] = f.linears(h, ["mlp.gate_proj", "mlp.up_proj"]);
        let h = f.gated(gate, up);
        let h = f.linear(h, "mlp.down_proj");
        let h = f.rms_norm(h, "post_feedforward_layernorm");
        f.add(x, h)
    });
    let x = f.rms_norm(x, "norm");
    f.head(x);
}
