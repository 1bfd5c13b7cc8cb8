//! Quantised weights: packed as bitsandbytes packs them, and trained on.

mod matrices;
mod qlora;
