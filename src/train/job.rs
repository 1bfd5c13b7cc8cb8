//! What a training run is given, what it tells while it runs, and what it leaves.

use std::rc::Rc;

use async_trait::async_trait;

use super::history::{EvalLine, LogLine};
use crate::checkpoint::{Carry, Checkpoint};
use crate::config::{Recipe, Stage};
use crate::data::{Batch, Prepared, Sample, Tokenizer};
use crate::engine::Engine;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::plan::Memory;
use crate::platform::{Directory, OutputDirectory};

/// What a run is made of: everything but a device and a place for its results.
#[derive(Clone)]
pub struct RunInput {
    /// What to do.
    pub recipe: Recipe,
    /// The model to start from.
    pub checkpoint: Checkpoint,
    /// Tokenizer and other files that belong to the result.
    pub carry: Carry,
    /// Training and evaluation samples; the latter may be none.
    pub data: Rc<Prepared>,
    /// The directories that `adapter_name_or_path` names, in its order.
    pub adapters: Vec<Rc<dyn Directory>>,
    /// The model that `ref_model` names, where it names one.
    pub reference: Option<Checkpoint>,
    /// The directory that `resume_from_checkpoint` names, where it names one.
    pub resume_from: Option<Rc<dyn Directory>>,
    /// The time that the chat template was told for the samples, in seconds since 1970; a resumed run must tell the same.
    pub date: i64,
}

/// A run that is being executed: its input, and where it computes and writes.
#[derive(Clone)]
pub(super) struct Job<'a> {
    /// What to do.
    pub(super) recipe: &'a Recipe,
    /// Where to compute.
    pub(super) gpu: Rc<Gpu>,
    /// The model to start from.
    pub(super) checkpoint: &'a Checkpoint,
    /// Tokenizer and other files that belong to the result.
    pub(super) carry: &'a Carry,
    /// Training samples.
    pub(super) train: &'a [Sample],
    /// Evaluation samples; may be empty.
    pub(super) eval: &'a [Sample],
    /// The evaluation sets that are also scored one by one.
    pub(super) eval_parts: &'a [(String, usize)],
    /// The model that `ref_model` names, where it names one.
    pub(super) reference: Option<&'a Checkpoint>,
    /// The directory that `resume_from_checkpoint` names, where it names one.
    pub(super) resume_from: Option<Rc<dyn Directory>>,
    /// The time that the chat template was told, in seconds since 1970.
    pub(super) date: i64,
    /// `output_dir`.
    pub(super) out: &'a dyn OutputDirectory,
}

/// Told once, before the first step.
#[derive(Debug, Clone)]
pub struct Start {
    /// All parameters.
    pub parameters: u64,
    /// Those that are trained.
    pub trainable: u64,
    /// Optimiser steps of the whole run.
    pub total_steps: u64,
    /// The step from which an interrupted run goes on; 0 for a new one.
    pub resumed_at: u64,
    /// Training samples.
    pub samples: usize,
    /// Their tokens.
    pub tokens: usize,
    /// Memory as planned.
    pub memory: Memory,
    /// Whether activations are computed again in the backward pass.
    pub checkpointing: bool,
    /// The device's name.
    pub device: String,
}

/// What happens during a run.
#[derive(Debug, Clone)]
pub enum Event<'a> {
    /// The run begins.
    Start(&'a Start),
    /// Something the user should know.
    Notice(String),
    /// A step is queued (steps done so far, of all); cheap, comes at every step.
    Step(u64, u64),
    /// A logged step.
    Log(&'a LogLine),
    /// An evaluation.
    Evaluation(&'a EvalLine),
    /// A checkpoint was written, under this name in `output_dir`.
    Saved(&'a str),
}

/// What an observer asks for between two steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// The next step.
    GoOn,
    /// A checkpoint of this step; then it is asked again.
    Save,
    /// The end: the run saves what it has and ends.
    Stop,
}

/// Is told what happens during a run, and may save or end it.
#[async_trait(?Send)]
pub trait Observer {
    /// Called as things happen.
    fn event(&mut self, event: Event<'_>);

    /// Called once, before the first step of this part of the run (`done` steps were done before): the model may be used, as between
    /// two steps.
    ///
    /// # Errors
    /// What using the model fails with; it ends the run.
    async fn before_first_step(&mut self, engine: &Engine, done: u64) -> Result<()> {
        let _ = (engine, done);
        Ok(())
    }

    /// Called between two steps, when `done` steps are queued. It may take its time (a run that is held) and use the model (samples);
    /// that time is not the run's.
    ///
    /// # Errors
    /// What using the model fails with; it ends the run.
    async fn between_steps(&mut self, engine: &Engine, done: u64) -> Result<Wish> {
        let _ = (engine, done);
        Ok(Wish::GoOn)
    }
}

/// An observer that does nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

#[async_trait(?Send)]
impl Observer for Silent {
    fn event(&mut self, _event: Event<'_>) {}
}

/// What a finished run reports (`train_results.json`).
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Outcome {
    /// Epochs done.
    pub epoch: f64,
    /// Optimiser steps of the whole run.
    pub steps: u64,
    /// Mean of the steps' losses.
    pub train_loss: f64,
    /// Seconds of training; of a run that was interrupted, all parts up to the checkpoints that it went on from.
    pub train_runtime: f64,
    /// Samples a second.
    pub train_samples_per_second: f64,
    /// Steps a second.
    pub train_steps_per_second: f64,
    /// Tokens a second.
    pub tokens_per_second: f64,
    /// The most GPU memory in use at one time, in bytes.
    pub peak_bytes: u64,
    /// The last evaluation's loss.
    pub eval_loss: Option<f64>,
    /// The lowest evaluation loss, and the checkpoint that reached it.
    pub best: Option<(f64, String)>,
    /// Whether early stopping ended the run.
    pub stopped_early: bool,
}

/// What a run's result takes over from the model's directory. A model without a chat template that is trained on conversations gets the
/// one that it is trained with, so that others ask it in the same words.
///
/// # Errors
/// As [`Carry::load`].
pub async fn carried_files(checkpoint: &Checkpoint, tokenizer: &Tokenizer, stage: Stage) -> Result<Carry> {
    let mut carry = Carry::load(&**checkpoint.directory()).await?;
    let template = tokenizer.template();
    if template.is_new() && stage != Stage::Pt {
        carry.set_file("chat_template.jinja", template.source().as_bytes().to_vec())?;
    }
    if let Some((id, token)) = tokenizer.replaced_eos().filter(|_| stage != Stage::Pt) {
        carry.end_with(id, &token, checkpoint.config())?;
    }
    Ok(carry)
}

/// The batch of some samples; `references` are empty or one for each of all samples.
pub(super) fn batch_of(samples: &[Sample], references: &[[f32; 2]], indices: &[usize]) -> Batch {
    let chosen: Vec<&Sample> = indices.iter().map(|i| &samples[*i]).collect();
    Batch::of(&chosen).with_references(indices.iter().filter_map(|i| references.get(*i).copied()))
}
