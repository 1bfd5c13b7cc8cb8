//! `checkpoint-N`: a complete model or adapter directory with what is needed to go on to the same bits.
//!
//! Beside model or adapter: `optimizer.safetensors` (of what is trained `exp_avg.<name>`, `exp_avg_sq.<name>`, and `master.<name>`
//! where the model is written in less than f32; an adapter is always written in f32) and `trainer_state.json`. Learning rate, data
//! order and dropout are functions of the step and the seed, so nothing else has a state. It is written under another name and
//! renamed when everything is on the disk.

use std::rc::Rc;

use safetensors::Dtype;

use super::checksums::Summed;
use super::finetuning::Finetuning;
use super::fingerprint::{Fingerprint, SamplesHash};
use super::history::History;
use super::job::Job;
use super::names::{OPTIMIZER_FILE, STATE_FILE, checkpoint_name};
use super::state::SavedState;
use crate::adapter::pissa::{Converted, Principal, Residual, TrainedHalf};
use crate::adapter::{self, Adapter, AdapterFiles, write_adapter};
use crate::checkpoint::{
    Checkpoint, ModelSource, NewDirectory, ParamSource, TensorFile, TensorFileWriter, TensorInfo, WriteOptions, write_checkpoint,
};
use crate::config::{ExportDtype, Recipe, Strategy};
use crate::engine::{Engine, Method, Shifted};
use crate::error::Result;
use crate::model::ParamDecl;
use crate::plan::Part;
use crate::platform::{Directory, OutputDirectory, write_json};

/// Rows of a parameter that are copied in one piece, in bytes.
const PIECE_BYTES: usize = 16 << 20;

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
    /// What a PiSSA run begins with.
    pub(super) principal: Option<Principal>,
}

impl<'a> Saver<'a> {
    pub(super) async fn new(job: &'a Job<'a>, finetuning: Finetuning, base: &'a dyn ModelSource) -> Result<Saver<'a>> {
        let base_fingerprint = match &finetuning.method {
            Method::Full => String::new(),
            // What is trained stands in the checkpoint: a run may go on from a checkpoint as its base.
            Method::Freeze(trained) => adapter::fingerprint::fingerprint_of(base, |index| !trained[index]).await?,
            _ => adapter::fingerprint(base).await?,
        };
        Ok(Saver { job, finetuning, base, base_fingerprint, principal: None })
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
        Ok(Fingerprint {
            recipe: recipe.fixed_on_resume()?,
            method: self.finetuning.fingerprint(&self.base_fingerprint),
            train: SamplesHash::of(job.train),
            eval: evaluates.then(|| SamplesHash::of(job.eval)),
        })
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
        write_optimizer(saver.writes_rounded(), engine, &summed).await?;
    }
    let state = SavedState { files: summed.sums(), trainer_log: history.entries.clone(), ..state.clone() };
    write_json(dir, STATE_FILE, &state.to_json(saver.job.recipe, history)?).await
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

/// Brings weights and moments of a checkpoint back.
pub(super) async fn restore(saver: &Saver<'_>, engine: &Engine, dir: Rc<dyn Directory>) -> Result<()> {
    saver.load_weights(engine, dir.clone()).await?;
    let file = TensorFile::open(dir, OPTIMIZER_FILE).await?;
    engine.load_trained(Part::Moment1, &SavedPart { file: &file, prefix: "exp_avg", declarations: &engine.declarations }).await?;
    engine.load_trained(Part::Moment2, &SavedPart { file: &file, prefix: "exp_avg_sq", declarations: &engine.declarations }).await
}
