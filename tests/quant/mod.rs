//! Quantised weights: packed as bitsandbytes packs them, and trained on.

mod directories;
pub(crate) mod ggml;
mod matrices;
mod qlora;
