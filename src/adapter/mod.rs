//! LoRA adapters: reading and writing PEFT's configuration and files, resolving which weights an adapter changes, merging it into a base,
//! and extracting one from two models.

pub mod config;
mod eigen;
pub mod extract;
pub mod fingerprint;
pub mod format;
pub mod initial;
pub mod merge;
pub mod pissa;
pub mod svd;
pub mod targets;

pub use config::{ADAPTER_CONFIG, AdapterConfig, AdapterInit, TargetModules};
pub use extract::{Extracted, ExtractedModule, extract};
pub use fingerprint::fingerprint;
pub use format::{ADAPTER_WEIGHTS, Adapter, AdapterFiles, is_adapter, write_adapter};
pub use merge::{Adapted, Merged};
pub use svd::Rank;
pub use targets::{AdapterParam, AdapterRole, AdapterTarget, ResolvedAdapter, SavedParam, TargetKind, default_targets};
