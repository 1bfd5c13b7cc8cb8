//! `checkpoint-N`: a complete model or adapter directory with what is needed to go on to the same bits.
//!
//! Beside model or adapter: `optimizer.safetensors` (`train/optimizer_file.rs`) and `trainer_state.json`. Learning rate, data
//! order and dropout are functions of the step and the seed, so nothing else has a state. It is written under another name and
//! renamed when everything is on the disk.

use std::rc::Rc;

use safetensors::Dtype;

use super::checksums::Summed;
use super::finetuning::Finetuning;
use super::fingerprint::{Fingerprint, REFERENCE, SamplesHash};
use super::history::History;
use super::job::Job;
use super::names::{STATE_FILE, checkpoint_name};
use super::optimizer_file;
use super::state::SavedState;
use super::value_head;
use crate::adapter::pissa::{Converted, Principal, Residual, TrainedHalf};
use crate::adapter::{self, Adapter, AdapterFiles, write_adapter};
use crate::checkpoint::{Checkpoint, ModelSource, NewDirectory, WriteOptions, write_checkpoint, write_value_head};
use crate::config::{ExportDtype, Recipe, Strategy};
use crate::engine::{Engine, Method, Shifted};
use crate::error::Result;
use crate::plan::Part;
use crate::platform::{Directory, OutputDirectory, write_json};

/// The dtype that weights are written in.
pub(super) fn export_dtype(recipe: &Recipe, checkpoint: &Checkpoint) -> Dtype {
    match recipe.export_dtype {
        ExportDtype::Float32 => Dtype::F32,
        ExportDtype::Float16 => Dtype::F16,
        ExportDtype::Bfloat16 => Dtype::BF16,
        ExportDtype::Auto => checkpoint.common_dtype(),
    }
}

/// Writes a run's model and checkpoints, and reads them back.
pub(super) struct Saver<'a> {
    /// The run's input.
    pub(super) job: &'a Job<'a>,
    /// What is trained.
    finetuning: Finetuning,
    /// The model that it is trained on.
    base: &'a dyn ModelSource,
    /// Its fingerprint, where only a part of what the run computes with is saved.
    base_fingerprint: String,
    /// The fingerprint of the reference, where that is not the base of an adapter.
    reference_fingerprint: String,
    /// What a PiSSA run begins with.
    pub(super) principal: Option<Principal>,
    /// Whether activations are computed again in the backward pass.
    checkpointing: bool,
}

impl<'a> Saver<'a> {
    pub(super) async fn new(job: &'a Job<'a>, finetuning: Finetuning, base: &'a dyn ModelSource, checkpointing: bool) -> Result<Saver<'a>> {
        let base_fingerprint = match &finetuning.method {
            Method::Full => String::new(),
            // What is trained stands in the checkpoint: a run may go on from a checkpoint as its base.
            Method::Freeze(trained) => adapter::fingerprint::fingerprint_of(base, |index| !trained[index]).await?,
            _ => adapter::fingerprint(base).await?,
        };
        let reference_fingerprint = match (job.reference, &finetuning.method) {
            _ if !job.recipe.needs_reference() => String::new(),
            (Some(reference), _) => adapter::fingerprint(reference).await?,
            // The base without the adapter, which has its fingerprint.
            (None, Method::Adapter { .. } | Method::Inference(_)) => String::new(),
            (None, Method::Full | Method::Freeze(_)) => adapter::fingerprint(base).await?,
        };
        Ok(Saver { job, finetuning, base, base_fingerprint, reference_fingerprint, principal: None, checkpointing })
    }

    /// The frozen model of a PiSSA run: the base less what its adapter begins with.
    pub(super) fn residual(&self) -> Option<Residual<'_>> {
        let (adapter, principal) = (self.finetuning.adapter.as_ref()?, self.principal.as_ref()?);
        Some(Residual::new(self.base, &adapter.resolved, principal))
    }

    /// What a resumed run must have in common with the interrupted one.
    ///
    /// # Errors
    /// As [`crate::config::Recipe::fixed_on_resume`].
    pub(super) fn run_fingerprint(&self) -> Result<Fingerprint> {
        let (recipe, job) = (self.job.recipe, self.job);
        let evaluates = recipe.eval_strategy != Strategy::No;
        let mut method = self.finetuning.fingerprint(&self.base_fingerprint);
        if !self.reference_fingerprint.is_empty() {
            method.insert(REFERENCE.into(), self.reference_fingerprint.as_str().into());
        }
        let mut fixed = recipe.fixed_on_resume()?;
        if recipe.activations.is_some() {
            // What is computed again comes of rounded inputs; in f32 it is the same either way.
            fixed.insert("gradient_checkpointing".into(), self.checkpointing.into());
        }
        Ok(Fingerprint { recipe: fixed, method, train: SamplesHash::of(job.train), eval: evaluates.then(|| SamplesHash::of(job.eval)) })
    }

    /// Writes the model or adapter directory alone.
    pub(super) async fn write_model(&self, engine: &Engine, out: &dyn OutputDirectory) -> Result<()> {
        let job = self.job;
        let weights = engine.part(Part::Weights);
        if let Some(adapter) = &self.finetuning.adapter {
            let (base, written, carry) = (self.base.params(), &adapter.written, job.carry);
            let files =
                AdapterFiles { config: &written.config, resolved: &written.resolved, base, fingerprint: &self.base_fingerprint, carry };
            let trained = Shifted { source: &weights, by: engine.base_count };
            write_value_head(out, &engine.declarations, &weights).await?;
            let Some(principal) = &self.principal else { return write_adapter(out, &files, &trained).await };
            let converted = Converted { trained: &trained, params: adapter.resolved.declarations(base), principal };
            return write_adapter(out, &files, &converted).await;
        }
        let options = WriteOptions { dtype: export_dtype(job.recipe, job.checkpoint), max_shard_size: job.recipe.max_shard_size };
        write_checkpoint(out, &options, &engine.config, &engine.declarations, &weights, job.carry).await
    }

    /// Whether the written model holds fewer bits than training needs.
    fn writes_rounded(&self) -> bool {
        self.finetuning.adapter.is_none() && export_dtype(self.job.recipe, self.job.checkpoint) != Dtype::F32
    }

    /// Brings only the trained weights of a checkpoint back, at full precision where it has them.
    pub(super) async fn load_weights(&self, engine: &Engine, dir: Rc<dyn Directory>) -> Result<()> {
        if self.finetuning.adapter.is_some() {
            value_head::load(engine, &dir).await?;
            let saved = Adapter::open(dir, self.base).await?;
            return match self.principal {
                Some(_) => engine.load_adapter(&TrainedHalf(&saved)).await,
                None => engine.load_adapter(&saved).await,
            };
        }
        if optimizer_file::restore_master(engine, dir.clone()).await? {
            return Ok(());
        }
        let head = value_head::of(engine, &dir).await?;
        let checkpoint = Checkpoint::open(dir).await?;
        let checkpoint = if let Some(head) = head { checkpoint.with_value_head(&head)? } else { checkpoint };
        engine.load_trained(Part::Weights, &checkpoint).await
    }
}

/// Writes `checkpoint-N` and returns its name.
pub(super) async fn save(saver: &Saver<'_>, engine: &Engine, state: &SavedState, history: &History) -> Result<String> {
    let job = saver.job;
    let name = checkpoint_name(state.global_step);
    // A run that was resumed from an earlier step writes this checkpoint a second time, with the same bits: the new one replaces it.
    let new = NewDirectory::replacing(job.out, &name).await?;
    let written = write_all(saver, engine, state, history, &*new.directory()).await;
    new.complete(written).await?;
    Ok(name)
}

async fn write_all(saver: &Saver<'_>, engine: &Engine, state: &SavedState, history: &History, dir: &dyn OutputDirectory) -> Result<()> {
    let summed = Summed::new(dir);
    saver.write_model(engine, &summed).await?;
    if !saver.job.recipe.save_only_model {
        optimizer_file::write(saver.writes_rounded(), engine, &summed).await?;
    }
    let state = SavedState { files: summed.sums(), trainer_log: history.entries.clone(), ..state.clone() };
    write_json(dir, STATE_FILE, &state.with_history(saver.job.recipe, history)).await
}

/// Brings weights and the optimiser's state of a checkpoint back.
pub(super) async fn restore(saver: &Saver<'_>, engine: &Engine, dir: Rc<dyn Directory>) -> Result<()> {
    saver.load_weights(engine, dir.clone()).await?;
    optimizer_file::restore(engine, dir).await
}
