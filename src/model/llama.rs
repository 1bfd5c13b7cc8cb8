//! Llama (also SmolLM2, TinyLlama, Llama 3): RMSNorm, rotary positions, grouped-query attention, SwiGLU.

use super::config::{Defaults, ModelConfig};
use super::declaration::{BiasKey, Declaration, Positions, Projection, ShownSize, Size, SizeKeys, Tensors};
use super::fields::Fields;
use super::forward::Forward;
use super::params::{ParamDecl, Params};
use super::{Architecture, gguf, rope_config};
use crate::error::Result;

/// The names of the sizes in llama and related architectures.
pub(super) const KEYS: SizeKeys = SizeKeys {
    hidden_size: &["hidden_size"],
    intermediate_size: &["intermediate_size"],
    num_hidden_layers: &["num_hidden_layers"],
    num_attention_heads: &["num_attention_heads"],
    max_position_embeddings: &["max_position_embeddings"],
    has_head_sizes: true,
    required: &["vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"],
    from_tensors: &[
        "vocab_size",
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "head_dim",
    ],
};

/// The tensor names of llama and of related architectures with separate projections.
pub(super) const TENSORS: Tensors = Tensors {
    base_prefix: "model.",
    embedding: "model.embed_tokens.weight",
    layers: "model.layers.",
    projections: &[
        Projection::from_hidden("self_attn.q_proj"),
        Projection::from_hidden("self_attn.k_proj"),
        Projection::from_hidden("self_attn.v_proj"),
        Projection::to_hidden("self_attn.o_proj"),
        Projection::from_hidden("mlp.gate_proj"),
        Projection::from_hidden("mlp.up_proj"),
        Projection::to_hidden("mlp.down_proj"),
    ],
    transposed: false,
    shown: &[INTERMEDIATE, QUERY, KEY_VALUE],
};

/// The same, with a norm on each head's queries and keys.
pub(super) const TENSORS_WITH_HEAD_NORMS: Tensors =
    Tensors { shown: &[INTERMEDIATE, QUERY, KEY_VALUE, ShownSize::in_layer(Size::HeadDim, "self_attn.q_norm.weight", 0)], ..TENSORS };

pub(super) const INTERMEDIATE: ShownSize = ShownSize::in_layer(Size::Intermediate, "mlp.down_proj.weight", 1);
pub(super) const QUERY: ShownSize = ShownSize::in_layer(Size::Query, "self_attn.o_proj.weight", 1);
const KEY_VALUE: ShownSize = ShownSize::in_layer(Size::KeyValue, "self_attn.k_proj.weight", 0);

/// The declaration of `llama`.
pub(super) const DECLARATION: Declaration = Declaration {
    model_type: "llama",
    class_name: "LlamaForCausalLM",
    text_part_of: None,
    keys: &KEYS,
    tensors: &TENSORS,
    positions: Positions::Rotary { theta: 10_000.0 },
    bias_keys: &[BiasKey::ATTENTION, BiasKey::MLP],
    heads_divide_hidden_size: true,
    ties_by_default: false,
    signature: None,
    lora_targets: &["q_proj", "v_proj"],
    gguf: &gguf::LLAMA,
    config,
    params,
    forward,
};

/// Reads the fields of `LlamaConfig`.
pub(super) fn config(fields: &Fields<'_>) -> Result<ModelConfig> {
    let mut config = ModelConfig::decoder(
        fields,
        Architecture::Llama,
        &Defaults { max_position_embeddings: 2048, bos: &[1], eos: &[2], ..Defaults::default() },
    )?;
    config.attention_bias = fields.flag_or("attention_bias", false)?;
    config.attention_output_bias = config.attention_bias;
    config.mlp_bias = fields.flag_or("mlp_bias", false)?;
    config.ropes = vec![rope_config::read(fields, &config)?];
    Ok(config)
}

/// The tensors of `LlamaForCausalLM`.
pub(super) fn params(config: &ModelConfig) -> Vec<ParamDecl> {
    decoder_params(config, false)
}

/// The tensors of llama and of architectures that differ from it only in biases and in norms on queries and keys (mistral, qwen2, qwen3).
pub(super) fn decoder_params(config: &ModelConfig, query_key_norm: bool) -> Vec<ParamDecl> {
    let (hidden, ffn) = (config.hidden_size, config.intermediate_size);
    let (q, kv) = (config.query_width(), config.key_value_width());
    let mut p = Params::new("model.");
    p.embedding("embed_tokens", config.vocab_size, hidden);
    p.layers("layers", config, |p| {
        p.linear("self_attn.q_proj", q, hidden, config.attention_bias);
        p.linear("self_attn.k_proj", kv, hidden, config.attention_bias);
        p.linear("self_attn.v_proj", kv, hidden, config.attention_bias);
        p.linear("self_attn.o_proj", hidden, q, config.attention_output_bias);
        if query_key_norm {
            p.rms_norm("self_attn.q_norm", config.head_dim);
            p.rms_norm("self_attn.k_norm", config.head_dim);
        }
        p.linear("mlp.gate_proj", ffn, hidden, config.mlp_bias);
        p.linear("mlp.up_proj", ffn, hidden, config.mlp_bias);
        p.linear("mlp.down_proj", hidden, ffn, config.mlp_bias);
        p.rms_norm("input_layernorm", hidden);
        p.rms_norm("post_attention_layernorm", hidden);
    });
    p.rms_norm("norm", hidden);
    p.with_head(config)
}

/// The forward pass of llama and related architectures; biases come from the declaration.
pub(super) fn forward(f: &mut Forward<'_>) {
    decoder_forward(f, false);
}

pub(super) fn decoder_forward(f: &mut Forward<'_>, query_key_norm: bool) {
    f.scope("model.");
    let x = f.embedding("embed_tokens", None, f.config.pad_token_id);
    let x = f.layers("layers", x, |f, x| {
        let h = f.rms_norm(x, "input_layernorm");
        let [mut q, mut k, v] = f.linears(h, ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"]);
        if query_key_norm {
            q = f.rms_norm(q, "self_attn.q_norm");
            k = f.rms_norm(k, "self_attn.k_norm");
        }
        let h = f.attention(q, k, v);
        let h = f.linear(h, "self_attn.o_proj");
        let x = f.add(x, h);

        let h = f.rms_norm(x, "post_attention_layernorm");
        let [gate, up] = f.linears(h, ["mlp.gate_proj", "mlp.up_proj"]);
        let h = f.gated(gate, up);
        let h = f.linear(h, "mlp.down_proj");
        f.add(x, h)
    });
    let x = f.rms_norm(x, "norm");
    f.head(x);
}
