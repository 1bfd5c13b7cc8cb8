//! How llama.cpp names an architecture's tensors and fields in its GGUF files. Each declaration holds one [`Gguf`]; what reads and writes
//! such files goes by it.

/// An architecture in a GGUF file.
pub(crate) struct Gguf {
    /// `general.architecture`, which is also the prefix of the metadata's keys.
    pub(crate) architecture: &'static str,
    /// Whether a file of this `general.architecture` is read as this architecture: mistral's files say llama.
    pub(crate) is_read: bool,
    /// Names of modules outside the layers: transformers' and llama.cpp's.
    pub(crate) outside: &'static [(&'static str, &'static str)],
    /// Names of modules within a layer, in groups that architectures share.
    pub(crate) in_layer: &'static [&'static [(&'static str, &'static str)]],
    /// The fields of config.json that llama.cpp keeps under a key of its own after the architecture's prefix, besides the sizes and the
    /// rotary positions: (key, field).
    pub(crate) fields: &'static [(&'static str, &'static str)],
    /// Fields that llama.cpp does not store, because it knows their only value.
    pub(crate) fixed: &'static [(&'static str, u64)],
    /// The field of config.json that names the activation, and the only one that llama.cpp computes.
    pub(crate) activation: (&'static str, &'static str),
    /// Modules whose rows are stored in another order: the two halves of each head's rotary features interleaved.
    pub(crate) interleaved: &'static [&'static str],
    /// Whether the scale of the attention scores is a field of config.json (`query_pre_attn_scalar`) that follows from the sizes here.
    pub(crate) scale_from_sizes: bool,
}

/// Modules outside the layers of llama and related architectures.
const OUTSIDE: &[(&str, &str)] = &[("model.embed_tokens", "token_embd"), ("model.norm", "output_norm"), ("lm_head", "output")];

/// Attention with a matrix each for query, key and value.
const ATTENTION: &[(&str, &str)] =
    &[("self_attn.q_proj", "attn_q"), ("self_attn.k_proj", "attn_k"), ("self_attn.v_proj", "attn_v"), ("self_attn.o_proj", "attn_output")];

/// Norms of each head's query and key.
const HEAD_NORMS: &[(&str, &str)] = &[("self_attn.q_norm", "attn_q_norm"), ("self_attn.k_norm", "attn_k_norm")];

/// A gated feed-forward part.
const GATED_MLP: &[(&str, &str)] = &[("mlp.gate_proj", "ffn_gate"), ("mlp.up_proj", "ffn_up"), ("mlp.down_proj", "ffn_down")];

/// Norms before attention and feed-forward part.
const NORMS: &[(&str, &str)] = &[("input_layernorm", "attn_norm"), ("post_attention_layernorm", "ffn_norm")];

/// Llama's.
pub(super) const LLAMA: Gguf = Gguf {
    architecture: "llama",
    is_read: true,
    outside: OUTSIDE,
    in_layer: &[ATTENTION, GATED_MLP, NORMS],
    fields: &[("attention.layer_norm_rms_epsilon", "rms_norm_eps")],
    fixed: &[],
    activation: ("hidden_act", "silu"),
    interleaved: &["self_attn.q_proj", "self_attn.k_proj"],
    scale_from_sizes: false,
};

/// Mistral's: a file says llama, and nothing in it tells the two apart.
pub(super) const MISTRAL: Gguf = Gguf { is_read: false, ..LLAMA };

/// Qwen 2's.
pub(super) const QWEN2: Gguf = Gguf { architecture: "qwen2", interleaved: &[], ..LLAMA };

/// Qwen 3's.
pub(super) const QWEN3: Gguf =
    Gguf { architecture: "qwen3", in_layer: &[ATTENTION, HEAD_NORMS, GATED_MLP, NORMS], interleaved: &[], ..LLAMA };

/// Gemma 3's: the weights of its norms are stored with the 1 that the forward pass adds.
pub(super) const GEMMA3: Gguf = Gguf {
    architecture: "gemma3",
    in_layer: &[
        ATTENTION,
        HEAD_NORMS,
        GATED_MLP,
        &[
            ("input_layernorm", "attn_norm"),
            ("post_attention_layernorm", "post_attention_norm"),
            ("pre_feedforward_layernorm", "ffn_norm"),
            ("post_feedforward_layernorm", "post_ffw_norm"),
        ],
    ],
    fields: &[
        ("attention.layer_norm_rms_epsilon", "rms_norm_eps"),
        ("attention.sliding_window", "sliding_window"),
        ("final_logit_softcapping", "final_logit_softcapping"),
    ],
    fixed: &[("sliding_window_pattern", 6)],
    activation: ("hidden_activation", "gelu_pytorch_tanh"),
    interleaved: &[],
    scale_from_sizes: true,
    ..LLAMA
};

/// Phi 3's.
pub(super) const PHI3: Gguf = Gguf {
    architecture: "phi3",
    in_layer: &[
        NORMS,
        &[
            ("self_attn.qkv_proj", "attn_qkv"),
            ("self_attn.o_proj", "attn_output"),
            ("mlp.gate_up_proj", "ffn_up"),
            ("mlp.down_proj", "ffn_down"),
        ],
    ],
    fields: &[("attention.layer_norm_rms_epsilon", "rms_norm_eps"), ("attention.sliding_window", "sliding_window")],
    interleaved: &[],
    ..LLAMA
};

/// GPT-2's: weights are stored as (out, in).
pub(super) const GPT2: Gguf = Gguf {
    architecture: "gpt2",
    outside: &[
        ("transformer.wte", "token_embd"),
        ("transformer.wpe", "position_embd"),
        ("transformer.ln_f", "output_norm"),
        ("lm_head", "output"),
    ],
    in_layer: &[&[
        ("ln_1", "attn_norm"),
        ("attn.c_attn", "attn_qkv"),
        ("attn.c_proj", "attn_output"),
        ("ln_2", "ffn_norm"),
        ("mlp.c_fc", "ffn_up"),
        ("mlp.c_proj", "ffn_down"),
    ]],
    fields: &[("attention.layer_norm_epsilon", "layer_norm_epsilon")],
    activation: ("activation_function", "gelu_new"),
    interleaved: &[],
    ..LLAMA
};

/// OLMo 2's.
pub(super) const OLMO2: Gguf = Gguf {
    architecture: "olmo2",
    in_layer: &[
        ATTENTION,
        HEAD_NORMS,
        GATED_MLP,
        &[("post_attention_layernorm", "post_attention_norm"), ("post_feedforward_layernorm", "post_ffw_norm")],
    ],
    interleaved: &[],
    ..LLAMA
};

/// SmolLM 3's.
pub(super) const SMOLLM3: Gguf = Gguf { architecture: "smollm3", fixed: &[("no_rope_layer_interval", 4)], ..LLAMA };

/// Granite's.
pub(super) const GRANITE: Gguf = Gguf {
    architecture: "granite",
    fields: &[
        ("attention.layer_norm_rms_epsilon", "rms_norm_eps"),
        ("embedding_scale", "embedding_multiplier"),
        ("residual_scale", "residual_multiplier"),
        ("attention.scale", "attention_multiplier"),
        ("logit_scale", "logits_scaling"),
    ],
    ..LLAMA
};
