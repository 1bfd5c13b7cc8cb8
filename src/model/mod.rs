//! The architectures. One file each says which fields of `config.json` it reads (with the defaults of its Hugging Face
//! configuration class), which tensors it owns, and how they compute; the registry below lists them.

pub mod config;
mod config_json;
mod fields;
pub mod forward;
mod gemma3;
mod gpt2;
mod llama;
mod mistral;
pub mod params;
mod phi3;
mod qwen2;
mod qwen3;
pub mod rope;
mod rope_config;

pub use config::{LayerConfig, ModelConfig};
pub(crate) use fields::Fields;
pub use params::{Layout, ParamDecl, ParamKind};
pub use rope::{Rope, RopeKind};

use crate::error::Result;

/// The supported architectures, by transformers' names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Architecture {
    /// `llama`: also SmolLM2, TinyLlama, Llama 3.
    Llama,
    /// `mistral`: llama with a sliding window.
    Mistral,
    /// `qwen2`: biases on q, k and v.
    Qwen2,
    /// `qwen3`: norms on queries and keys.
    Qwen3,
    /// `gemma3_text`: four norms a layer, two kinds of layers.
    Gemma3Text,
    /// `phi3`: fused q, k, v and fused gate and up projections.
    Phi3,
    /// `gpt2`: LayerNorm, learned positions, transposed weights.
    Gpt2,
}

/// What the registry knows about an architecture.
struct Entry {
    architecture: Architecture,
    /// `model_type` in config.json.
    model_type: &'static str,
    /// The class in `architectures`.
    class_name: &'static str,
    /// What its files begin tensor names with; a file of the bare model lacks it.
    base_prefix: &'static str,
    config: fn(&Fields<'_>) -> Result<ModelConfig>,
    params: fn(&ModelConfig) -> Vec<ParamDecl>,
    forward: fn(&mut forward::Forward<'_>),
}

macro_rules! registry {
    ($($architecture:ident: $module:ident, $model_type:literal, $class_name:literal, $base_prefix:literal;)*) => {
        const REGISTRY: &[Entry] = &[$(Entry {
            architecture: Architecture::$architecture,
            model_type: $model_type,
            class_name: $class_name,
            base_prefix: $base_prefix,
            config: $module::config,
            params: $module::params,
            forward: $module::forward,
        }),*];
    };
}

registry! {
    Llama: llama, "llama", "LlamaForCausalLM", "model.";
    Mistral: mistral, "mistral", "MistralForCausalLM", "model.";
    Qwen2: qwen2, "qwen2", "Qwen2ForCausalLM", "model.";
    Qwen3: qwen3, "qwen3", "Qwen3ForCausalLM", "model.";
    Gemma3Text: gemma3, "gemma3_text", "Gemma3ForCausalLM", "model.";
    Phi3: phi3, "phi3", "Phi3ForCausalLM", "model.";
    Gpt2: gpt2, "gpt2", "GPT2LMHeadModel", "transformer.";
}

impl Architecture {
    /// All of them, in the registry's order.
    pub fn all() -> impl Iterator<Item = Architecture> {
        REGISTRY.iter().map(|entry| entry.architecture)
    }

    fn entry(self) -> &'static Entry {
        REGISTRY.iter().find(|entry| entry.architecture == self).expect("every architecture has its registry line")
    }

    /// The architecture whose `model_type` this is.
    pub fn from_model_type(model_type: &str) -> Option<Architecture> {
        REGISTRY.iter().find(|entry| entry.model_type == model_type).map(|entry| entry.architecture)
    }

    /// `model_type` in config.json.
    pub fn model_type(self) -> &'static str {
        self.entry().model_type
    }

    /// The class that transformers loads it with, as in `architectures`.
    pub fn class_name(self) -> &'static str {
        self.entry().class_name
    }

    /// What tensor names of a complete model begin with (`model.`); files of the bare model lack it.
    pub fn base_prefix(self) -> &'static str {
        self.entry().base_prefix
    }

    fn forward(self, f: &mut forward::Forward<'_>) {
        (self.entry().forward)(f);
    }

    fn config(self, fields: &Fields<'_>) -> Result<ModelConfig> {
        (self.entry().config)(fields)
    }
}

/// All parameters of a model, in the order in which transformers lists them. A tied model has no `lm_head.weight`: the
/// forward pass uses the embedding.
pub fn params(config: &ModelConfig) -> Vec<ParamDecl> {
    (config.architecture.entry().params)(config)
}
