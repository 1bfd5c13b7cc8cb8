//! The architectures. Each has one file, which declares the fields of `config.json` that it reads (with the defaults of its Hugging Face
//! configuration class), its tensors, its forward pass, and what the validator and the adapters need to know about it (`declaration`); the
//! registry below lists them.

pub mod config;
mod config_json;
pub(crate) mod declaration;
mod fields;
pub mod forward;
mod gemma3;
pub(crate) mod gguf;
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
mod value_head;

pub use config::{LayerConfig, ModelConfig};
pub(crate) use fields::Fields;
pub use params::{Layout, ParamDecl, ParamKind};
pub use rope::{Rope, RopeKind};
pub use value_head::{ValueHeadConfig, value_head_params};

use declaration::Declaration;

/// Declares [`Architecture`] and the table of declarations, one line for each architecture.
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
    /// `gemma3_text`: four norms in each layer, two kinds of layers.
    Gemma3Text: gemma3;
    /// `phi3`: fused q, k, v and fused gate and up projections.
    Phi3: phi3;
    /// `gpt2`: LayerNorm, learned positions, transposed weights.
    Gpt2: gpt2;
    /// `olmo2`: norms after attention and feed-forward block, and on queries and keys over all heads together.
    Olmo2: olmo2;
    /// `smollm3`: some layers without rotary positions.
    Smollm3: smollm3;
    /// `granite`: multipliers on embedding, attention, residual stream and logits.
    Granite: granite;
}

impl Architecture {
    /// All architectures, in the registry's order.
    pub fn all() -> impl Iterator<Item = Architecture> {
        REGISTRY.iter().map(|(architecture, _)| *architecture)
    }

    /// The architecture's declaration.
    pub(crate) fn declaration(self) -> &'static Declaration {
        REGISTRY[self as usize].1
    }

    /// The architecture with this `model_type`.
    pub fn from_model_type(model_type: &str) -> Option<Architecture> {
        REGISTRY.iter().find(|(_, declaration)| declaration.model_type == model_type).map(|(architecture, _)| *architecture)
    }

    /// The architecture that a GGUF file with this `general.architecture` holds.
    pub(crate) fn from_gguf(name: &str) -> Option<Architecture> {
        let read = |declaration: &Declaration| declaration.gguf.is_read && declaration.gguf.architecture == name;
        REGISTRY.iter().find(|(_, declaration)| read(declaration)).map(|(architecture, _)| *architecture)
    }

    /// `model_type` in config.json.
    pub fn model_type(self) -> &'static str {
        self.declaration().model_type
    }

    /// The class with which transformers loads it, as in `architectures`.
    pub fn class_name(self) -> &'static str {
        self.declaration().class_name
    }

    /// Prefix of the tensor names of a complete model (`model.`); absent in files of the model without its head.
    pub fn base_prefix(self) -> &'static str {
        self.declaration().tensors.base_prefix
    }
}

/// All parameters of a model, in transformers' order; those of a value head, if it has one, come last. A tied model has no `lm_head.weight`: the
/// forward pass uses the embedding.
pub fn params(config: &ModelConfig) -> Vec<ParamDecl> {
    let mut params = (config.architecture.declaration().params)(config);
    if config.value_head.is_some() {
        params.extend(value_head_params(config.hidden_size));
    }
    params
}
