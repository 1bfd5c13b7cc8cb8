//! `trainer_state.json`: what a checkpoint says about the run that it belongs to.

use serde::{Deserialize, Serialize};

use super::history::LogEntry;
use super::saver::{OPTIMIZER_FILE, Saver};
use crate::error::{Error, Result};
use crate::platform::{Directory, read_small};

pub(super) const STATE_FILE: &str = "trainer_state.json";

/// What a run knows about itself at a step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SavedState {
    /// Optimiser steps done.
    pub global_step: u64,
    /// Epochs done.
    pub epoch: f64,
    /// Steps of the run.
    pub max_steps: u64,
    /// The lowest evaluation loss so far.
    pub best_metric: Option<f64>,
    /// The checkpoint that reached it.
    pub best_model_checkpoint: Option<String>,
    /// Evaluations since then.
    pub evaluations_without_improvement: usize,
    /// Sum of the steps' losses, for the mean over the run.
    pub loss_total: f64,
    /// What the data order and the result depend on; a resumed run must have the same.
    pub fingerprint: String,
    /// The log.
    #[serde(default)]
    pub trainer_log: Vec<LogEntry>,
}

/// What a checkpoint knows about itself, if this run can go on from it.
pub(super) async fn read(saver: &Saver<'_>, dir: &dyn Directory) -> Result<SavedState> {
    let label = dir.label();
    if dir.size(OPTIMIZER_FILE).await?.is_none() {
        return Err(Error::file(
            label,
            "this checkpoint has no optimizer.safetensors (save_only_model was set): it cannot be resumed; \
             give it as model_name_or_path (an adapter: adapter_name_or_path) to train on from its weights",
        ));
    }
    let bytes = read_small(dir, STATE_FILE).await?;
    let state: SavedState = serde_json::from_slice(&bytes)
        .map_err(|e| Error::line(format!("{label}/{STATE_FILE}"), e.line(), format!("this is not a state that this program wrote: {e}")))?;
    let now = saver.run_fingerprint();
    if state.fingerprint != now {
        return Err(Error::recipe(
            "resume_from_checkpoint",
            format!(
                "{label} was trained with {}, here it is {}; use the same recipe and data, or start anew from its weights",
                beyond(&state.fingerprint, &now),
                beyond(&now, &state.fingerprint)
            ),
        ));
    }
    Ok(state)
}

/// The parts of one description that are not in the other.
fn beyond(one: &str, other: &str) -> String {
    let others: Vec<&str> = other.split(", ").collect();
    let parts: Vec<&str> = one.split(", ").filter(|part| !others.contains(part)).collect();
    if parts.is_empty() { "less".into() } else { parts.join(", ") }
}
