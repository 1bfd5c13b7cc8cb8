//! The architectures. One file each declares which fields of `config.json` it reads (with the defaults of its Hugging Face
//! configuration class), which tensors it owns, how they compute, and what the validator and the adapters need to know about it
//! (`declaration`); the registry below lists them.

pub mod config;
mod config_json;
pub(crate) mod declaration;
mod fields;
pub mod forward;
mod gemma3;
mod gpt2;
mod granite;
mod llama;
mod mistral;
mod olmo2;
pub mod params;
mod phi3;
mod qwen2;
mod qwen3;
pub mod rope;
mod rope_config;
mod smollm3;

pub use config::{LayerConfig, ModelConfig};
pub(crate) use fields::Fields;
pub use params::{Layout, ParamDecl, ParamKind};
pub use rope::{Rope, RopeKind};

use declaration::Declaration;

/// Declares [`Architecture`] and the table of the declarations, one line for each.
macro_rules! registry {
    ($(#[doc = $doc:literal] $architecture:ident: $module:ident;)*) => {
        /// The supported architectures, by transformers' names.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Architecture {
            $(#[doc = $doc] $architecture),*
        }

        const REGISTRY: &[(Architecture, &Declaration)] = &[$((Architecture::$architecture, &$module::DECLARATION)),*];
    };
}

registry! {
    /// `llama`: also SmolLM2, TinyLlama, Llama 3.
    Llama: llama;
    /// `mistral`: llama with a sliding window.
    Mistral: mistral;
    /// `qwen2`: biases on q, k and v.
    Qwen2: qwen2;
    /// `qwen3`: norms on queries and keys.
    Qwen3: qwen3;
    /// `gemma3_text`: four norms a layer, two kinds of layers.
    Gemma3Text: gemma3;
    /// `phi3`: fused q, k, v and fused gate and up projections.
    Phi3: phi3;
    /// `gpt2`: LayerNorm, learned positions, transposed weights.
    Gpt2: gpt2;
    /// `olmo2`: norms after attention and feed-forward part, on queries and keys over all heads together.
    Olmo2: olmo2;
    /// `smollm3`: some layers without rotary positions.
    Smollm3: smollm3;
    /// `granite`: multipliers on embedding, attention, residual stream and logits.
    Granite: granite;
}

impl Architecture {
    /// All of them, in the registry's order.
    pub fn all() -> impl Iterator<Item = Architecture> {
        REGISTRY.iter().map(|(architecture, _)| *architecture)
    }

    /// What its file declares about it.
    pub(crate) fn declaration(self) -> &'static Declaration {
        REGISTRY[self as usize].1
    }

    /// The architecture whose `model_type` this is.
    pub fn from_model_type(model_type: &str) -> Option<Architecture> {
        REGISTRY.iter().find(|(_, declaration)| declaration.model_type == model_type).map(|(architecture, _)| *architecture)
    }

    /// `model_type` in config.json.
    pub fn model_type(self) -> &'static str {
        self.declaration().model_type
    }

    /// The class that transformers loads it with, as in `architectures`.
    pub fn class_name(self) -> &'static str {
        self.declaration().class_name
    }

    /// What tensor names of a complete model begin with (`model.`); files of the bare model lack it.
    pub fn base_prefix(self) -> &'static str {
        self.declaration().tensors.base_prefix
    }
}

/// All parameters of a model, in the order in which transformers lists them. A tied model has no `lm_head.weight`: the
/// forward pass uses the embedding.
pub fn params(config: &ModelConfig) -> Vec<ParamDecl> {
    (config.architecture.declaration().params)(config)
}
