//! What an architecture declares about itself. Each file in this directory holds one [`Declaration`]; the rest of the program reads
//! it and never asks which architecture it has before it.

use super::config::ModelConfig;
use super::fields::Fields;
use super::forward::Forward;
use super::params::ParamDecl;
use crate::error::Result;

/// One architecture. There are no defaults: a new field must be answered by every architecture.
pub(crate) struct Declaration {
    /// `model_type` in config.json.
    pub(crate) model_type: &'static str,
    /// The class in `architectures`.
    pub(crate) class_name: &'static str,
    /// `model_type` of the multimodal model whose `text_config` describes this architecture.
    pub(crate) text_part_of: Option<&'static str>,
    /// How config.json names the sizes.
    pub(crate) keys: &'static SizeKeys,
    /// How the weights' files name and store the tensors.
    pub(crate) tensors: &'static Tensors,
    /// Where a token's position enters.
    pub(crate) positions: Positions,
    /// The fields of config.json that decide whether there are biases.
    pub(crate) bias_keys: &'static [BiasKey],
    /// Whether transformers 5 refuses a hidden size that is not a multiple of the number of heads, even with a head_dim.
    pub(crate) heads_divide_hidden_size: bool,
    /// What an absent `tie_word_embeddings` means.
    pub(crate) ties_by_default: bool,
    /// A part of a tensor's name by which one sees that a model is of this architecture; `None` where others have the same tensors.
    pub(crate) signature: Option<&'static str>,
    /// The modules that PEFT adapts where nothing is said (`TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING`); empty where it has
    /// no default.
    pub(crate) lora_targets: &'static [&'static str],
    /// Reads config.json.
    pub(super) config: fn(&Fields<'_>) -> Result<ModelConfig>,
    /// Lists the parameters, in the order of transformers' state dict.
    pub(super) params: fn(&ModelConfig) -> Vec<ParamDecl>,
    /// Builds the forward pass.
    pub(super) forward: fn(&mut Forward<'_>),
}

impl Declaration {
    /// Whether the weights' files hold this projection, `q_proj`.
    pub(crate) fn has_projection(&self, module: &str) -> bool {
        self.tensors.projections.iter().any(|projection| projection.module.rsplit('.').next() == Some(module))
    }
}

/// The keys of config.json that hold sizes. Each list begins with the key that the configuration class has; the others are accepted
/// too.
pub(crate) struct SizeKeys {
    pub(crate) hidden_size: &'static [&'static str],
    pub(crate) intermediate_size: &'static [&'static str],
    pub(crate) num_hidden_layers: &'static [&'static str],
    pub(crate) num_attention_heads: &'static [&'static str],
    pub(crate) max_position_embeddings: &'static [&'static str],
    /// Whether there are `num_key_value_heads` and `head_dim`; otherwise each head has keys and values, and all heads together have the
    /// hidden size.
    pub(crate) has_head_sizes: bool,
    /// Keys without which no size can be computed.
    pub(crate) required: &'static [&'static str],
    /// Keys that a config.json made from the tensors gets, as far as they show the values.
    pub(crate) from_tensors: &'static [&'static str],
}

impl SizeKeys {
    /// The lists of keys of which one may stand for another.
    pub(crate) fn groups(&self) -> [&'static [&'static str]; 5] {
        [self.hidden_size, self.intermediate_size, self.num_hidden_layers, self.num_attention_heads, self.max_position_embeddings]
    }

    /// The keys that may hold the size that `key` holds, `key` among them; empty where only `key` itself may.
    pub(crate) fn same(&self, key: &str) -> &'static [&'static str] {
        self.groups().into_iter().find(|group| group.contains(&key)).unwrap_or(&[])
    }
}

/// A field of config.json that decides whether there are biases.
pub(crate) struct BiasKey {
    pub(crate) key: &'static str,
    /// One of the biases, by its name in a layer.
    pub(crate) tensor: &'static str,
    /// What a configuration says.
    pub(crate) value: fn(&ModelConfig) -> bool,
}

impl BiasKey {
    /// `attention_bias`, of an architecture with separate projections.
    pub(super) const ATTENTION: BiasKey =
        BiasKey { key: "attention_bias", tensor: "self_attn.q_proj.bias", value: |config| config.attention_bias };
    /// `mlp_bias`, likewise.
    pub(super) const MLP: BiasKey = BiasKey { key: "mlp_bias", tensor: "mlp.up_proj.bias", value: |config| config.mlp_bias };
}

/// A size that a tensor's shape shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// Width of the feed-forward part.
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

/// Where a size can be seen.
pub(crate) struct ShownSize {
    pub(crate) size: Size,
    /// The tensor's name, inside a layer if `in_layer`.
    pub(crate) tensor: &'static str,
    pub(crate) in_layer: bool,
    /// The axis of its shape as it is stored.
    pub(crate) axis: usize,
}

impl ShownSize {
    /// A size that a tensor of each layer shows.
    pub(super) const fn in_layer(size: Size, tensor: &'static str, axis: usize) -> ShownSize {
        ShownSize { size, tensor, in_layer: true, axis }
    }

    /// A size that a tensor outside the layers shows.
    pub(super) const fn outside(size: Size, tensor: &'static str, axis: usize) -> ShownSize {
        ShownSize { size, tensor, in_layer: false, axis }
    }
}

/// A linear map of a layer, as far as its shape tells how it is stored.
pub(crate) struct Projection {
    /// Its name in the layer.
    pub(crate) module: &'static str,
    /// Whether its inputs have the hidden size; otherwise its outputs have it.
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

/// The tensors' names and layout in the weights' files.
pub(crate) struct Tensors {
    /// What the names begin with; a file of the bare model lacks it.
    pub(crate) base_prefix: &'static str,
    /// The token embedding.
    pub(crate) embedding: &'static str,
    /// What the names of the layers' tensors begin with, before the layer's number.
    pub(crate) layers: &'static str,
    /// The linear maps of a layer.
    pub(crate) projections: &'static [Projection],
    /// Whether their weights are stored (in, out), as GPT-2's `Conv1D` has them.
    pub(crate) transposed: bool,
    /// Which tensors show which sizes.
    pub(crate) shown: &'static [ShownSize],
}

impl Tensors {
    /// The full name of the tensor that shows a size, in the first layer if it is in one.
    pub(crate) fn showing(&self, size: Size) -> Option<String> {
        let shown = self.shown.iter().find(|shown| shown.size == size)?;
        Some(if shown.in_layer { format!("{}0.{}", self.layers, shown.tensor) } else { shown.tensor.to_string() })
    }
}

/// Where positions enter a model, and how config.json says it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Positions {
    /// A learned embedding, added to the tokens'.
    Learned,
    /// One rotary embedding; `theta` is the base where config.json gives none.
    Rotary { theta: f64 },
    /// The same on a part of each head (`partial_rotary_factor`), scaled by LongRoPE only.
    PartlyRotary { theta: f64 },
    /// One for the full and one for the sliding layers, of which only the first is scaled.
    RotaryByLayerType { theta: f64, local_theta: f64 },
}
