//! `trainer_state.json`: what a checkpoint says about the run that it belongs to.

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use super::checksums::Checksums;
use super::device::RecordedDevice;
use super::fingerprint::Fingerprint;
use super::history::{History, LogEntry};
use super::names::{OPTIMIZER_FILE, STATE_FILE, checkpoint_step};
use super::rewards::RewardSums;
use super::schedule::Plateau;
use super::state_file;
use crate::config::Recipe;
use crate::error::{Error, Result};
use crate::platform::Directory;

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
    /// The checkpoint that reached it: a name in the same output directory.
    pub best_model_checkpoint: Option<String>,
    /// Evaluations since then.
    pub evaluations_without_improvement: usize,
    /// Sum of the steps' losses, for the mean over the run.
    pub loss_total: f64,
    /// Steps that no line of the log covers yet.
    pub unlogged: Unlogged,
    /// Seconds of training, all parts of an interrupted run together.
    pub seconds: f64,
    /// Tokens trained on, in the same way.
    pub tokens: usize,
    /// Samples trained on, in the same way.
    pub samples: usize,
    /// The time that chat templates were told when the run began, in seconds since 1970.
    pub date: i64,
    /// The learning rate where it goes by the evaluations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plateau: Option<Plateau>,
    /// What the data order and the result depend on; a resumed run must have the same.
    pub fingerprint: Fingerprint,
    /// Where it was computed, and by which kernels; a resumed run keeps them where it can.
    #[serde(default)]
    pub device: Option<RecordedDevice>,
    /// CRC-32 of the checkpoint's files.
    #[serde(default)]
    pub files: Checksums,
    /// The log.
    #[serde(default)]
    pub trainer_log: Vec<LogEntry>,
}

/// Steps since the last line of the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Unlogged {
    /// How many.
    pub steps: u64,
    /// Sum of their losses.
    pub loss_sum: f64,
    /// Gradient norm of the last.
    pub grad_norm: f64,
    /// The largest of their gradient norms.
    pub largest_grad_norm: f64,
    /// What they tell about answers.
    #[serde(default, skip_serializing_if = "RewardSums::is_empty")]
    pub rewards: RewardSums,
}

impl SavedState {
    /// The state with what transformers' `trainer_state.json` holds besides.
    pub(super) fn with_history<'a>(&'a self, recipe: &Recipe, history: &'a History) -> impl Serialize + 'a {
        Written {
            state: self,
            log_history: history,
            num_train_epochs: recipe.num_train_epochs,
            train_batch_size: recipe.per_device_train_batch_size,
        }
    }
}

/// What is written. The log is long, so it is not made a JSON value first.
#[derive(Serialize)]
struct Written<'a> {
    #[serde(flatten)]
    state: &'a SavedState,
    #[serde(serialize_with = "log_history")]
    log_history: &'a History,
    num_train_epochs: f64,
    train_batch_size: usize,
}

fn log_history<S: Serializer>(history: &History, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_seq(history.log_history())
}

/// What a checkpoint knows about itself, if the run with this fingerprint and number of steps can go on from it. A run may become longer.
pub(super) async fn read(dir: &dyn Directory, run: &Fingerprint, total_steps: u64) -> Result<SavedState> {
    let label = dir.label();
    if dir.size(OPTIMIZER_FILE).await?.is_none() {
        return Err(Error::file(
            label,
            "this checkpoint has no optimizer.safetensors (save_only_model was set): it cannot be resumed; \
             give it as model_name_or_path (an adapter: adapter_name_or_path) to train on from its weights",
        ));
    }
    let place = format!("{label}/{STATE_FILE}");
    let fault =
        |line: usize, reason: String| Error::line(place.clone(), line, format!("this is not a state that this program wrote: {reason}"));
    let json: Value = serde_json::from_slice(&state_file::without_log(dir).await?).map_err(|e| fault(e.line(), e.to_string()))?;
    if json["fingerprint"].is_string() {
        return Err(Error::recipe(
            "resume_from_checkpoint",
            format!(
                "{label} is of an earlier version of this program, which did not note all that the result depends on; start anew from \
                 its weights (as model_name_or_path, an adapter as adapter_name_or_path)"
            ),
        ));
    }
    let mut state = SavedState::deserialize(json).map_err(|e| fault(1, e.to_string()))?;
    if state.global_step > state.max_steps {
        return Err(fault(1, format!("it claims {} steps of {}", state.global_step, state.max_steps)));
    }
    if let Some(name) = state.best_model_checkpoint.as_ref().filter(|name| checkpoint_step(name).is_none()) {
        let reason = format!("best_model_checkpoint is {name:?}, and not the name of a checkpoint beside this one");
        return Err(fault(1, reason));
    }
    let differences = state.fingerprint.differences(run, total_steps > state.max_steps);
    if !differences.is_empty() {
        return Err(Error::recipe(
            "resume_from_checkpoint",
            format!(
                "{label} was trained otherwise: {}; use the same recipe and data, or start anew from its weights",
                differences.join("; ")
            ),
        ));
    }
    // Now that it is of this run, its log can be no longer than that.
    let log: Logged =
        serde_json::from_slice(&state_file::with_log(dir, state.max_steps).await?).map_err(|e| fault(e.line(), e.to_string()))?;
    state.trainer_log = log.trainer_log;
    Ok(state)
}

/// The log in a state.
#[derive(Deserialize)]
struct Logged {
    #[serde(default)]
    trainer_log: Vec<LogEntry>,
}

/// The checksums of a checkpoint's files, as it notes them.
///
/// # Errors
/// What reading fails with; [`Error::Line`] for a state that this program did not write.
pub(super) async fn checksums(checkpoint: &dyn Directory) -> Result<Checksums> {
    let text = state_file::without_log(checkpoint).await?;
    let state: SavedState =
        serde_json::from_slice(&text).map_err(|e| Error::line(format!("{}/{STATE_FILE}", checkpoint.label()), e.line(), e.to_string()))?;
    Ok(state.files)
}

/// When the run of a checkpoint began, in seconds since 1970; `None` where it does not say so. A resumed run tells chat templates this
/// time, so that they write the same date.
///
/// # Errors
/// What reading fails with.
pub async fn began_at(checkpoint: &dyn Directory) -> Result<Option<i64>> {
    Ok(noted(checkpoint).await?.and_then(|json| json["date"].as_i64()))
}

/// The device of a checkpoint's run; `None` where it does not say so.
///
/// # Errors
/// What reading fails with.
pub(super) async fn recorded_device(checkpoint: &dyn Directory) -> Result<Option<RecordedDevice>> {
    Ok(noted(checkpoint).await?.and_then(|json| RecordedDevice::deserialize(&json["device"]).ok()))
}

/// The state file of a checkpoint, if it is there and can be read; [`read`] says what is wrong with it.
async fn noted(checkpoint: &dyn Directory) -> Result<Option<Value>> {
    if checkpoint.size(STATE_FILE).await?.is_none() {
        return Ok(None);
    }
    Ok(serde_json::from_slice(&state_file::without_log(checkpoint).await?).ok())
}
