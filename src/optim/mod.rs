//! From gradients to new weights: the global norm, clipping and AdamW, as a program of its own that runs once an optimiser step.

mod adamw;

pub use adamw::{AdamW, update_program};
