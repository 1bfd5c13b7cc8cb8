//! GGUF files, as llama.cpp, Ollama and LM Studio use them: a file is opened as if it were a Hugging Face directory ([`open`]), so that
//! everything that takes a directory takes it too.
//!
//! ```text
//! file ─ container ─► metadata ─► config.json, tokenizer.json, tokenizer_config.json
//!                 └─► tensors ──► model.safetensors, decoded where it is read
//! ```
//! A model is written as such a file by [`write_model`], a LoRA adapter by [`write_adapter`].
//!
//! What a file says and this program does not understand is an error that names it: a tensor's type, an architecture, a kind of tokenizer,
//! a key that may change what the model computes.

mod config;
mod container;
mod encoding;
mod metadata;
mod tokenizer;
mod view;
mod write;

pub use container::{Container, GgufTensor};
pub use encoding::Encoding;
pub use metadata::{Array, Metadata, Number, Value};
pub use view::{is_gguf, model_directory, open};
pub use write::{OutType, write_adapter, write_model};
