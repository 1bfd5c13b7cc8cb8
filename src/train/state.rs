//! `checkpoint-N`: a complete model or adapter directory with what is needed to go on to the same bits.
//!
//! Beside model or adapter: `optimizer.safetensors` (of what is trained `exp_avg.<name>`, `exp_avg_sq.<name>`, and `master.<name>`
//! where the model is written in less than f32; an adapter is always written in f32) and `trainer_state.json`. Learning rate, data order and dropout are functions of the step and the seed, so
//! nothing else has a state. It is written under another name and renamed when everything is on the disk.

use std::rc::Rc;

use safetensors::Dtype;
use serde::{Deserialize, Serialize};

use super::history::{History, LogEntry};
use super::job::Job;
use super::tuning::Tuning;
use crate::adapter::pissa::{Converted, Principal, Residual, TrainedHalf};
use crate::adapter::{self, Adapter, AdapterFiles, write_adapter};
use crate::checkpoint::{Checkpoint, ModelSource, ParamSource, TensorFile, TensorFileWriter, TensorInfo, WriteOptions, write_checkpoint};
use crate::config::{ExportDtype, Recipe};
use crate::engine::{Engine, Method, Shifted};
use crate::error::{Error, Result};
use crate::model::ParamDecl;
use crate::plan::Part;
use crate::platform::{Directory, OutputDirectory, write_file};

const OPTIMIZER_FILE: &str = "optimizer.safetensors";
const STATE_FILE: &str = "trainer_state.json";

/// Rows of a parameter that are copied in one piece, in bytes.
const PIECE_BYTES: usize = 16 << 20;

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

/// The name of a step's checkpoint.
pub(super) fn checkpoint_name(step: u64) -> String {
    format!("checkpoint-{step}")
}

/// The steps of the whole checkpoints in a directory, ascending.
pub(super) async fn checkpoints(out: &dyn Directory) -> Result<Vec<u64>> {
    let mut steps: Vec<u64> = Vec::new();
    for entry in out.list().await? {
        let Some((dir, file)) = entry.name.split_once('/') else { continue };
        if file == STATE_FILE
            && let Some(step) = dir.strip_prefix("checkpoint-").and_then(|n| n.parse().ok())
        {
            steps.push(step);
        }
    }
    steps.sort_unstable();
    Ok(steps)
}

/// The newest whole checkpoint of an output directory.
///
/// # Errors
/// When the directory cannot be listed.
pub async fn newest_checkpoint(out: &dyn Directory) -> Result<Option<String>> {
    Ok(checkpoints(out).await?.last().map(|s| checkpoint_name(*s)))
}

/// The dtype that weights are written in.
pub(super) fn export_dtype(recipe: &Recipe, checkpoint: &Checkpoint) -> Dtype {
    match recipe.export_dtype {
        ExportDtype::Float32 => Dtype::F32,
        ExportDtype::Float16 => Dtype::F16,
        ExportDtype::Bfloat16 => Dtype::BF16,
        ExportDtype::Auto => {
            let stored = checkpoint.params().first().and_then(|p| checkpoint.stored_dtype(p).ok());
            stored.filter(|d| matches!(d, Dtype::F16 | Dtype::BF16)).unwrap_or(Dtype::F32)
        }
    }
}

/// What a run saves and how it finds it again.
pub(super) struct Saver<'a> {
    /// The run's input.
    pub(super) job: &'a Job<'a>,
    /// What is trained.
    tuning: Tuning,
    /// The model that it is trained on.
    base: &'a dyn ModelSource,
    /// Its fingerprint, where only a part of what the run computes with is saved.
    fingerprint: String,
    /// What a PiSSA run begins with.
    pub(super) principal: Option<Principal>,
}

impl<'a> Saver<'a> {
    pub(super) async fn new(job: &'a Job<'a>, tuning: Tuning, base: &'a dyn ModelSource) -> Result<Saver<'a>> {
        let fingerprint = match tuning.method {
            Method::Full => String::new(),
            _ => adapter::fingerprint(base).await?,
        };
        Ok(Saver { job, tuning, base, fingerprint, principal: None })
    }

    /// What a PiSSA run stands on.
    pub(super) fn residual(&self) -> Option<Residual<'_>> {
        let (adapter, principal) = (self.tuning.adapter.as_ref()?, self.principal.as_ref()?);
        Some(Residual::new(self.base, &adapter.resolved, principal))
    }

    /// What a resumed run must have in common with the interrupted one.
    pub(super) fn fingerprint(&self) -> String {
        let (r, train) = (self.job.recipe, self.job.train);
        let tokens: usize = train.iter().map(|s| s.ids.len()).sum();
        format!(
            "{} samples, {tokens} tokens, batch {} × {}, seed {}/{}, shuffling {}, learning rate {} {:?}, weight decay {}, {}, {}{}",
            train.len(),
            r.per_device_train_batch_size,
            r.gradient_accumulation_steps,
            r.seed,
            r.data_seed,
            !r.disable_shuffling,
            r.learning_rate,
            r.lr_scheduler_type,
            r.weight_decay,
            r.max_grad_norm.map_or("no clipping".to_string(), |norm| format!("clipping at {norm}")),
            r.max_steps.map_or_else(|| format!("{} epochs", r.num_train_epochs), |steps| format!("{steps} steps")),
            self.tuning.describe(r, &self.fingerprint),
        )
    }

    /// Writes the model or adapter directory alone.
    pub(super) async fn write_model(&self, engine: &Engine, out: &dyn OutputDirectory) -> Result<()> {
        let job = self.job;
        let weights = engine.part(Part::Weights);
        if let Some(adapter) = &self.tuning.adapter {
            let (base, written, carry) = (self.base.params(), &adapter.written, job.carry);
            let files = AdapterFiles { config: &written.config, resolved: &written.resolved, base, fingerprint: &self.fingerprint, carry };
            let trained = Shifted { source: &weights, by: engine.base_count };
            let Some(principal) = &self.principal else { return write_adapter(out, &files, &trained).await };
            let converted = Converted { trained: &trained, params: adapter.resolved.declarations(base), principal };
            return write_adapter(out, &files, &converted).await;
        }
        let options = WriteOptions { dtype: export_dtype(job.recipe, job.checkpoint), max_shard_size: job.recipe.max_shard_size };
        write_checkpoint(out, &options, &engine.config, &engine.declarations, &weights, job.carry).await
    }

    /// Whether the written model holds fewer bits than training needs.
    fn writes_rounded(&self) -> bool {
        self.tuning.adapter.is_none() && export_dtype(self.job.recipe, self.job.checkpoint) != Dtype::F32
    }

    /// Brings only the trained weights of a checkpoint back, at full precision where it has them.
    pub(super) async fn load_weights(&self, engine: &Engine, dir: Rc<dyn Directory>) -> Result<()> {
        if self.tuning.adapter.is_some() {
            let saved = Adapter::open(dir, self.base).await?;
            return match self.principal {
                Some(_) => engine.load_adapter(&TrainedHalf(&saved)).await,
                None => engine.load_adapter(&saved).await,
            };
        }
        if dir.size(OPTIMIZER_FILE).await?.is_some() {
            let file = TensorFile::open(dir.clone(), OPTIMIZER_FILE).await?;
            if file.tensors().iter().any(|t| t.name.starts_with("master.")) {
                let master = SavedPart { file: &file, prefix: "master", declarations: &engine.declarations };
                return engine.load_trained(Part::Weights, &master).await;
            }
        }
        let checkpoint = Checkpoint::open(dir).await?;
        engine.load_trained(Part::Weights, &checkpoint).await
    }
}

/// Writes `checkpoint-N` and removes the oldest beyond `save_total_limit` (never the best). Returns its name.
pub(super) async fn save(saver: &Saver<'_>, engine: &Engine, state: &SavedState, history: &History) -> Result<String> {
    let job = saver.job;
    let name = checkpoint_name(state.global_step);
    let partial = format!(".{name}.partial");
    job.out.remove(&partial).await?;
    let dir = job.out.subdirectory(&partial);
    if let Err(error) = write_all(saver, engine, state, history, &*dir).await {
        // Half a checkpoint is worth nothing and, on a full disk, in the way. The error that led here is the one to report.
        let _ = job.out.remove(&partial).await;
        return Err(error);
    }
    // A run that was resumed from before this step meets its own earlier checkpoint: the same bits, so the new one replaces it.
    remove_checkpoint(job.out, &name).await?;
    job.out.rename(&partial, &name).await?;
    job.out.sync().await?;
    remove_oldest(job, state, &name).await?;
    Ok(name)
}

async fn write_all(saver: &Saver<'_>, engine: &Engine, state: &SavedState, history: &History, dir: &dyn OutputDirectory) -> Result<()> {
    let job = saver.job;
    saver.write_model(engine, dir).await?;
    if !job.recipe.save_only_model {
        write_optimizer(saver.writes_rounded(), engine, dir).await?;
    }
    let mut json = serde_json::to_value(state).unwrap_or_default();
    json["log_history"] = history.log_history().into();
    json["trainer_log"] = serde_json::to_value(&history.entries).unwrap_or_default();
    json["num_train_epochs"] = job.recipe.num_train_epochs.into();
    json["train_batch_size"] = job.recipe.per_device_train_batch_size.into();
    write_file(dir, STATE_FILE, &serde_json::to_vec_pretty(&json).unwrap_or_default()).await?;
    dir.sync().await
}

async fn remove_oldest(job: &Job<'_>, state: &SavedState, name: &str) -> Result<()> {
    let Some(limit) = job.recipe.save_total_limit else { return Ok(()) };
    let mut steps = checkpoints(job.out).await?;
    steps.retain(|s| *s != state.global_step && Some(checkpoint_name(*s)) != state.best_model_checkpoint);
    let best_kept = usize::from(state.best_model_checkpoint.as_ref().is_some_and(|b| b != name));
    let keep = limit.saturating_sub(1 + best_kept);
    for step in steps.iter().take(steps.len().saturating_sub(keep)) {
        remove_checkpoint(job.out, &checkpoint_name(*step)).await?;
    }
    Ok(())
}

/// Removes a checkpoint, under another name first: one that is half removed must not be taken for a whole one.
pub(super) async fn remove_checkpoint(out: &dyn OutputDirectory, name: &str) -> Result<()> {
    let aside = format!(".{name}.removed.partial");
    out.remove(&aside).await?;
    if out.size(&format!("{name}/{STATE_FILE}")).await?.is_none() {
        return out.remove(name).await;
    }
    out.rename(name, &aside).await?;
    out.remove(&aside).await
}

async fn write_optimizer(master: bool, engine: &Engine, dir: &dyn OutputDirectory) -> Result<()> {
    let parts = [("exp_avg", Part::Moment1), ("exp_avg_sq", Part::Moment2), ("master", Part::Weights)];
    let parts = &parts[..if master { 3 } else { 2 }];
    let trained = engine.trained();
    let mut infos = Vec::new();
    for (prefix, _) in parts {
        for d in trained.iter().map(|&index| &engine.declarations[index]) {
            infos.push(TensorInfo::new(format!("{prefix}.{}", d.name), Dtype::F32, vec![d.rows as u64, d.cols as u64]));
        }
    }
    let mut file = TensorFileWriter::create(dir, OPTIMIZER_FILE, &infos, &[]).await?;
    for (prefix, part) in parts {
        let source = engine.part(*part);
        for &index in &trained {
            let d = &engine.declarations[index];
            let rows = (PIECE_BYTES / (d.cols * 4)).clamp(1, d.rows);
            for first in (0..d.rows).step_by(rows) {
                let data = source.read_rows(index, first..(first + rows).min(d.rows)).await?;
                file.write(&format!("{prefix}.{}", d.name), bytemuck::cast_slice(&data)).await?;
            }
        }
    }
    file.finish().await
}

/// One of the parts in an optimizer file, as a source of parameters.
struct SavedPart<'a> {
    file: &'a TensorFile,
    prefix: &'static str,
    declarations: &'a [ParamDecl],
}

#[async_trait::async_trait(?Send)]
impl ParamSource for SavedPart<'_> {
    async fn read_rows(&self, param: usize, rows: std::ops::Range<usize>) -> Result<Vec<f32>> {
        let d = &self.declarations[param];
        let range = (rows.start * d.cols) as u64..(rows.end * d.cols) as u64;
        self.file.read_f32(&format!("{}.{}", self.prefix, d.name), range).await
    }
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
    let bytes = dir.read(STATE_FILE).await?;
    let state: SavedState = serde_json::from_slice(&bytes)
        .map_err(|e| Error::line(format!("{label}/{STATE_FILE}"), e.line(), format!("this is not a state that this program wrote: {e}")))?;
    let now = saver.fingerprint();
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

/// Brings weights and moments of a checkpoint back.
pub(super) async fn restore(saver: &Saver<'_>, engine: &Engine, dir: Rc<dyn Directory>) -> Result<()> {
    saver.load_weights(engine, dir.clone()).await?;
    let file = TensorFile::open(dir, OPTIMIZER_FILE).await?;
    engine.load_trained(Part::Moment1, &SavedPart { file: &file, prefix: "exp_avg", declarations: &engine.declarations }).await?;
    engine.load_trained(Part::Moment2, &SavedPart { file: &file, prefix: "exp_avg_sq", declarations: &engine.declarations }).await
}
