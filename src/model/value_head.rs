//! The value head of a reward model: a linear map from the last hidden state to one number, as TRL's `AutoModelForCausalLMWithValueHead` has it
//! beside a language model of any architecture.

use super::{Layout, ModelConfig, ParamDecl, ParamKind};
use crate::error::{Error, Result};

/// Its module; TRL's names of its tensors are `v_head.summary.weight` and `v_head.summary.bias`.
pub(super) const MODULE: &str = "v_head.summary";
/// Beginning of their names.
const PREFIX: &str = "v_head.";
/// The probability with which TRL drops an element of the hidden state in training where config.json does not name another.
const DROPOUT: f32 = 0.1;

/// What a configuration says of the value head.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ValueHeadConfig {
    /// Probability with which an element of the hidden state is dropped on its way to the head, in training.
    pub dropout: f32,
}

impl ModelConfig {
    /// The same model with a value head beside its output head. `summary_dropout_prob` of config.json is its dropout, as in TRL.
    ///
    /// # Errors
    /// [`Error::Config`] when that is no probability.
    pub fn with_value_head(mut self) -> Result<ModelConfig> {
        let dropout = match self.raw.get("summary_dropout_prob") {
            None => DROPOUT,
            Some(value) => match value.as_f64().filter(|p| (0.0..1.0).contains(p)) {
                Some(p) => p as f32,
                None => {
                    let reason =
                        format!("summary_dropout_prob is {value}; the dropout before the value head must be a number from 0 to below 1");
                    return Err(Error::config(super::config::CONFIG_FILE, "summary_dropout_prob", reason));
                }
            },
        };
        self.value_head = Some(ValueHeadConfig { dropout });
        Ok(self)
    }
}

impl ParamDecl {
    /// Whether it belongs to a reward model's value head, which is kept in a file of its own and trained whatever else is.
    pub fn in_value_head(&self) -> bool {
        self.name.starts_with(PREFIX)
    }
}

/// Weight (1, hidden_size) and bias of the head.
pub fn value_head_params(hidden_size: usize) -> [ParamDecl; 2] {
    let decl = |part: &str, cols: usize, kind: ParamKind| ParamDecl {
        name: format!("{MODULE}.{part}"),
        rows: 1,
        cols,
        kind,
        layer: None,
        layout: Layout::AsStored,
    };
    [decl("weight", hidden_size, ParamKind::ValueHead), decl("bias", 1, ParamKind::Bias)]
}
