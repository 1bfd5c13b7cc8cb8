//! What lessons look at: a conversation token by token, adapters in any strength, a change cut to a rank, the memory of a model's shape.

use serde::{Deserialize, Serialize};
#[cfg(test)]
use ts_rs::TS;

use super::EstimateMemory;

/// A token of a conversation as training sees it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(TS))]
pub struct SeenToken {
    /// Its text.
    pub text: String,
    /// Whether it is learned, or only read.
    pub trained: bool,
    /// How little the model expected it, in nats; the first token has none.
    pub loss: Option<f64>,
    /// What the model expected in its place, the likeliest first.
    pub likeliest: Vec<Likely>,
}

/// A token that could have come.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(TS))]
pub struct Likely {
    /// Its text.
    pub text: String,
    /// From 0 to 1.
    pub probability: f64,
}

/// A kept adapter and how much of it is added.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[cfg_attr(test, derive(TS))]
pub struct AdapterPart {
    /// The id of its run.
    pub id: String,
    /// 1 adds it as it was trained, 0 nothing of it.
    pub strength: f64,
}

/// A model's change, cut to a rank.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(TS))]
pub struct Truncated {
    /// The share of the squared change that is kept, from 0 to 1.
    pub energy: f64,
    /// Numbers that hold it.
    pub parameters: u64,
    /// Their bytes in a file.
    pub bytes: u64,
    /// Modules that are kept whole, as no low rank comes near their change.
    pub whole: Vec<String>,
}

/// The memory of a run on a model that need not be here.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(TS))]
pub struct ShapeMemory {
    /// All parameters.
    pub parameters: u64,
    /// Those that are trained.
    pub trainable: u64,
    /// GPU memory, as planned.
    pub memory: EstimateMemory,
}
