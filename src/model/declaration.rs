//! The declaration of an architecture. Each architecture's file in this directory holds one [`Declaration`]; the rest of the program reads
//! it instead of distinguishing architectures.

use super::config::ModelConfig;
use super::fields::Fields;
use super::forward::Forward;
use super::gguf::Gguf;
use super::params::ParamDecl;
use crate::error::Result;

/// One architecture. There are no defaults: every architecture must set a new field.
pub(crate) struct Declaration {
    /// `model_type` in config.json.
    pub(crate) model_type: &'static str,
    /// The class in `architectures`.
    pub(crate) class_name: &'static str,
    /// `model_type` of the multimodal model whose `text_config` describes this architecture.
    pub(crate) text_part_of: Option<&'static str>,
    /// The names of the sizes in config.json.
    pub(crate) keys: &'static SizeKeys,
    /// The names and layout of the tensors in the weight files.
    pub(crate) tensors: &'static Tensors,
    /// How the model encodes token positions.
    pub(crate) positions: Positions,
    /// The fields of config.json that determine whether there are biases.
    pub(crate) bias_keys: &'static [BiasKey],
    /// Whether transformers 5 rejects a hidden size that is not a multiple of the number of heads, even with a head_dim.
    pub(crate) heads_divide_hidden_size: bool,
    /// The value of an absent `tie_word_embeddings`.
    pub(crate) ties_by_default: bool,
    /// A part of a tensor name that identifies this architecture; `None` where other architectures have the same tensors.
    pub(crate) signature: Option<&'static str>,
    /// The modules that PEFT adapts by default (`TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING`); empty where it has no default.
    pub(crate) lora_targets: &'static [&'static str],
    /// How llama.cpp names its tensors and fields in a GGUF file.
    pub(crate) gguf: &'static Gguf,
    /// Reads config.json.
    pub(super) config: fn(&Fields<'_>) -> Result<ModelConfig>,
    /// Lists the parameters, in the order of transformers' state dict.
    pub(super) params: fn(&ModelConfig) -> Vec<ParamDecl>,
    /// Builds the forward pass.
    pub(super) forward: fn(&mut Forward<'_>),
}

impl Declaration {
    /// Whether the weight files hold the projection `module` (for example `q_proj`).
    pub(crate) fn has_projection(&self, module: &str) -> bool {
        self.tensors.projections.iter().any(|projection| projection.module.rsplit('.').next() == Some(module))
    }
}

/// The keys of config.json that hold sizes. Each list begins with the key of the configuration class; the others are accepted as aliases.
pub(crate) struct SizeKeys {
    pub(crate) hidden_size: &'static [&'static str],
    pub(crate) intermediate_size: &'static [&'static str],
    pub(crate) num_hidden_layers: &'static [&'static str],
    pub(crate) num_attention_heads: &'static [&'static str],
    pub(crate) max_position_embeddings: &'static [&'static str],
    /// Whether the configuration has `num_key_value_heads` and `head_dim`; otherwise every query head has its own key and value head, and
    /// the widths of all heads add up to the hidden size.
    pub(crate) has_head_sizes: bool,
    /// Keys that are needed to compute the sizes.
    pub(crate) required: &'static [&'static str],
    /// Keys to write into a config.json reconstructed from the tensors, as far as the shapes determine their values.
    pub(crate) from_tensors: &'static [&'static str],
}

impl SizeKeys {
    /// The groups of keys that are aliases of each other.
    pub(crate) fn groups(&self) -> [&'static [&'static str]; 5] {
        [self.hidden_size, self.intermediate_size, self.num_hidden_layers, self.num_attention_heads, self.max_position_embeddings]
    }

    /// The keys that may hold the same size as `key`, including `key`; empty where it has no aliases.
    pub(crate) fn same(&self, key: &str) -> &'static [&'static str] {
        self.groups().into_iter().find(|group| group.contains(&key)).unwrap_or(&[])
    }
}

/// A field of config.json that determines whether there are biases.
pub(crate) struct BiasKey {
    pub(crate) key: &'static str,
    /// The name within a layer of one of these biases.
    pub(crate) tensor: &'static str,
    /// The value in a configuration.
    pub(crate) value: fn(&ModelConfig) -> bool,
}

impl BiasKey {
    /// `attention_bias`, for architectures with separate projections.
    pub(super) const ATTENTION: BiasKey =
        BiasKey { key: "attention_bias", tensor: "self_attn.q_proj.bias", value: |config| config.attention_bias };
    /// `mlp_bias`, for architectures with separate projections.
    pub(super) const MLP: BiasKey = BiasKey { key: "mlp_bias", tensor: "mlp.up_proj.bias", value: |config| config.mlp_bias };
}

/// A size that can be read from a tensor's shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// Width of the feed-forward block.
    Intermediate,
    /// Width of all query heads.
    Query,
    /// Width of all key heads.
    KeyValue,
    /// Width of all query, key and value heads together.
    QueryKeyValue,
    /// Width of one head.
    HeadDim,
    /// Number of learned positions.
    Positions,
}

/// A tensor axis from which a size can be read.
pub(crate) struct ShownSize {
    pub(crate) size: Size,
    /// The tensor's name, within a layer if `in_layer`.
    pub(crate) tensor: &'static str,
    pub(crate) in_layer: bool,
    /// The axis of the stored shape.
    pub(crate) axis: usize,
}

impl ShownSize {
    /// A size given by a tensor of each layer.
    pub(super) const fn in_layer(size: Size, tensor: &'static str, axis: usize) -> ShownSize {
        ShownSize { size, tensor, in_layer: true, axis }
    }

    /// A size given by a tensor outside the layers.
    pub(super) const fn outside(size: Size, tensor: &'static str, axis: usize) -> ShownSize {
        ShownSize { size, tensor, in_layer: false, axis }
    }
}

/// A linear map of a layer, with what is needed to detect its storage layout from its shape.
pub(crate) struct Projection {
    /// Its name within the layer.
    pub(crate) module: &'static str,
    /// Whether its input has the hidden size; otherwise its output has it.
    pub(crate) reads_hidden: bool,
}

impl Projection {
    /// A map from the hidden size.
    pub(super) const fn from_hidden(module: &'static str) -> Projection {
        Projection { module, reads_hidden: true }
    }

    /// A map to the hidden size.
    pub(super) const fn to_hidden(module: &'static str) -> Projection {
        Projection { module, reads_hidden: false }
    }
}

/// The names and layout of the tensors in the weight files.
pub(crate) struct Tensors {
    /// Prefix of the names; absent in files of the model without its head.
    pub(crate) base_prefix: &'static str,
    /// The token embedding.
    pub(crate) embedding: &'static str,
    /// Prefix of the names of the layers' tensors, before the layer's index.
    pub(crate) layers: &'static str,
    /// The linear maps of a layer.
    pub(crate) projections: &'static [Projection],
    /// Whether their weights are stored as (in, out), like those of GPT-2's `Conv1D`.
    pub(crate) transposed: bool,
    /// The tensors from whose shapes sizes can be read.
    pub(crate) shown: &'static [ShownSize],
}

impl Tensors {
    /// The full name of the tensor that gives a size; for tensors within layers, that of the first layer.
    pub(crate) fn showing(&self, size: Size) -> Option<String> {
        let shown = self.shown.iter().find(|shown| shown.size == size)?;
        Some(if shown.in_layer { format!("{}0.{}", self.layers, shown.tensor) } else { shown.tensor.to_string() })
    }
}

/// How a model encodes positions, and how config.json describes it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Positions {
    /// A learned embedding, added to the token embedding.
    Learned,
    /// One rotary embedding; `theta` is the default base.
    Rotary { theta: f64 },
    /// A rotary embedding on a part of each head (`partial_rotary_factor`), scaled by LongRoPE only.
    PartlyRotary { theta: f64 },
    /// One rotary embedding for full and one for sliding layers; only the first may be scaled.
    RotaryByLayerType { theta: f64, local_theta: f64 },
}
