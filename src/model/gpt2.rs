//! GPT-2: LayerNorm, learned positions, biases on all linear maps, weights stored as (in, out), tied head.
//!
//! The configuration's dropout probabilities are not applied, as in transformers' evaluation mode.

use super::config::{ModelConfig, Sizes, read_activation};
use super::declaration::{Declaration, Positions, Projection, ShownSize, Size, SizeKeys, Tensors};
use super::fields::{Fields, limits};
use super::forward::Forward;
use super::params::{ParamDecl, Params};
use super::{Architecture, gguf};
use crate::error::Result;

/// GPT-2's names of the sizes.
const KEYS: SizeKeys = SizeKeys {
    hidden_size: &["n_embd", "hidden_size"],
    intermediate_size: &["n_inner"],
    num_hidden_layers: &["n_layer", "num_hidden_layers"],
    num_attention_heads: &["n_head", "num_attention_heads"],
    max_position_embeddings: &["n_positions", "max_position_embeddings"],
    has_head_sizes: false,
    required: &["vocab_size", "n_embd", "n_layer", "n_head"],
    from_tensors: &["vocab_size", "n_embd", "n_layer", "n_head", "n_positions"],
};

/// GPT-2's tensor names. Its projections are `Conv1D` modules.
const TENSORS: Tensors = Tensors {
    base_prefix: "transformer.",
    embedding: "transformer.wte.weight",
    layers: "transformer.h.",
    projections: &[
        Projection::from_hidden("attn.c_attn"),
        Projection::to_hidden("attn.c_proj"),
        Projection::from_hidden("mlp.c_fc"),
        Projection::to_hidden("mlp.c_proj"),
    ],
    transposed: true,
    shown: &[
        ShownSize::in_layer(Size::Intermediate, "mlp.c_fc.weight", 1),
        ShownSize::outside(Size::Positions, "transformer.wpe.weight", 0),
    ],
};

/// The declaration of `gpt2`.
pub(super) const DECLARATION: Declaration = Declaration {
    model_type: "gpt2",
    class_name: "GPT2LMHeadModel",
    text_part_of: None,
    keys: &KEYS,
    tensors: &TENSORS,
    positions: Positions::Learned,
    bias_keys: &[],
    heads_divide_hidden_size: false,
    ties_by_default: true,
    signature: Some("c_attn"),
    lora_targets: &["c_attn"],
    gguf: &gguf::GPT2,
    config,
    params,
    forward,
};

/// Reads the fields of `GPT2Config`; its `attribute_map` also allows the usual names for four of them.
pub(super) fn config(fields: &Fields<'_>) -> Result<ModelConfig> {
    for (key, meaning) in [
        ("scale_attn_by_inverse_layer_idx", "scales the attention of each layer differently"),
        ("add_cross_attention", "is for encoder-decoder models"),
    ] {
        if fields.flag_or(key, false)? {
            return Err(fields.error(key, format!("is true; it {meaning}, which is not supported")));
        }
    }
    // The first key that is present; if all are absent, the message names the last one, which is the usual name.
    let key = |names: &'static [&'static str]| names.iter().find(|key| fields.has(key)).or(names.last()).copied().unwrap_or_default();
    let hidden_size = fields.count(key(KEYS.hidden_size), limits::WIDTH)?;
    let heads_key = key(KEYS.num_attention_heads);
    let num_attention_heads = fields.count(heads_key, limits::HEADS)?;
    let sizes = Sizes {
        vocab_size: fields.count("vocab_size", limits::VOCABULARY)?,
        hidden_size,
        intermediate_size: fields.optional_count("n_inner", None, limits::WIDTH)?.unwrap_or(4 * hidden_size),
        num_hidden_layers: fields.count(key(KEYS.num_hidden_layers), limits::LAYERS)?,
        num_attention_heads,
        num_key_value_heads: num_attention_heads,
        head_dim: None,
        max_position_embeddings: fields.count_or(key(KEYS.max_position_embeddings), 1024, limits::POSITIONS)?,
    };
    let mut config = ModelConfig::new(fields, Architecture::Gpt2, sizes, heads_key)?;
    config.norm_eps = fields.positive_or("layer_norm_epsilon", 1e-5)? as f32;
    config.activation = read_activation(fields, "activation_function", "gelu_new")?;
    config.attention_bias = true;
    config.attention_output_bias = true;
    config.mlp_bias = true;
    config.tie_word_embeddings = fields.flag_or("tie_word_embeddings", DECLARATION.ties_by_default)?;
    config.read_token_ids(fields, &[50256], &[50256], &[])?;
    if !fields.flag_or("scale_attn_weights", true)? {
        config.attention_scale = 1.0;
    }
    for layer in &mut config.layers {
        layer.rope = None;
    }
    Ok(config)
}

/// The tensors of `GPT2LMHeadModel`. `c_attn` stacks queries, keys and values.
pub(super) fn params(config: &ModelConfig) -> Vec<ParamDecl> {
    let (hidden, ffn) = (config.hidden_size, config.intermediate_size);
    let mut p = Params::new(TENSORS.base_prefix).transposed();
    p.embedding("wte", config.vocab_size, hidden);
    p.position_embedding("wpe", config.max_position_embeddings, hidden);
    p.layers("h", config, |p| {
        p.layer_norm("ln_1", hidden);
        p.linear("attn.c_attn", 3 * hidden, hidden, true);
        p.linear("attn.c_proj", hidden, hidden, true);
        p.layer_norm("ln_2", hidden);
        p.linear("mlp.c_fc", ffn, hidden, true);
        p.linear("mlp.c_proj", hidden, ffn, true);
    });
    p.layer_norm("ln_f", hidden);
    p.with_head(config)
}

/// GPT-2: learned positions, LayerNorm, one projection for q, k, v, a feed-forward block without a gate.
pub(super) fn forward(f: &mut Forward<'_>) {
    let hidden = f.config.hidden_size;
    f.scope("transformer.");
    let x = f.embedding("wte", Some("wpe"), None);
    let x = f.layers("h", x, |f, x| {
        let h = f.layer_norm(x, "ln_1");
        let qkv = f.linear(h, "attn.c_attn");
        let qkv = f.split(qkv, &[hidden, hidden, hidden]);
        let h = f.attention(qkv[0], qkv[1], qkv[2]);
        let h = f.linear(h, "attn.c_proj");
        let x = f.add(x, h);

        let h = f.layer_norm(x, "ln_2");
        let h = f.linear(h, "mlp.c_fc");
        let h = f.activation(h);
        let h = f.linear(h, "mlp.c_proj");
        f.add(x, h)
    });
    let x = f.layer_norm(x, "ln_f");
    f.head(x);
}
