//! Answers of models, and the updates that training made.

use serde::{Deserialize, Serialize};
#[cfg(test)]
use ts_rs::TS;

/// Which model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(TS))]
#[serde(rename_all = "snake_case")]
pub enum Which {
    /// What the tuned model was trained from; the open base where there is none.
    Base,
    /// The tuned one.
    Tuned,
    /// The one that a run is training, as it is after the present step; only `chat` can ask it.
    Learning,
    /// The open base with what `adapt` or `truncate` put on it.
    Adapted,
}

/// A message of a conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(TS))]
pub struct ChatMessage {
    /// system, user or assistant.
    pub role: String,
    /// What was said.
    pub content: String,
}

/// How tokens are chosen.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[cfg_attr(test, derive(TS))]
pub struct Sampling {
    /// 0 takes the likeliest token.
    pub temperature: f32,
    /// Keep the likeliest tokens that together reach this probability; 1 keeps all.
    pub top_p: f32,
    /// Most tokens of the answer.
    pub max_new_tokens: usize,
    /// Seed of the draws.
    pub seed: u32,
}

/// An answer that has ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(TS))]
pub struct Answered {
    /// The whole text.
    pub text: String,
    /// Tokens of the answer.
    pub tokens: usize,
    /// Tokens a second.
    pub tokens_per_second: f64,
    /// stop, length, context or cancelled.
    pub finish: String,
}

/// A token of a text and how well the model predicted it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(TS))]
pub struct TokenLoss {
    /// Its text.
    pub text: String,
    /// In nats; the first token has none.
    pub loss: Option<f64>,
}

/// One parameter's update.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(TS))]
pub struct Delta {
    /// The parameter.
    pub name: String,
    /// Absent for what stands outside the layers.
    pub layer: Option<usize>,
    /// What it is in its layer.
    pub module: String,
    /// Frobenius norm of the update.
    pub delta_norm: f64,
    /// Frobenius norm of the base's weight.
    pub weight_norm: f64,
    /// Of the update, largest first; empty for what is no matrix.
    pub singular_values: Vec<f64>,
    /// (out, in)
    pub shape: Vec<usize>,
}
