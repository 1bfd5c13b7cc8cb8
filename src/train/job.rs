//! What a training run is given, what it tells while it runs, and what it leaves.

use std::rc::Rc;

use async_trait::async_trait;

use super::history::{EvalLine, LogLine};
use super::tuning::Tuning;
use crate::checkpoint::{Carry, Checkpoint};
use crate::config::{Recipe, Stage};
use crate::data::{Batch, Loader, Sample, Tokenizer};
use crate::engine::{Engine, EngineOptions, Method, estimate};
use crate::error::Result;
use crate::gpu::{Gpu, Profile};
use crate::optim::AdamW;
use crate::plan::Memory;
use crate::platform::OutputDirectory;

/// Everything a run needs.
pub struct Job<'a> {
    /// What to do.
    pub recipe: &'a Recipe,
    /// Where to compute.
    pub gpu: Rc<Gpu>,
    /// The model to start from.
    pub checkpoint: &'a Checkpoint,
    /// Tokenizer and other files that belong to the result.
    pub carry: &'a Carry,
    /// Training samples.
    pub train: &'a [Sample],
    /// Evaluation samples; may be empty.
    pub eval: &'a [Sample],
    /// `output_dir`.
    pub out: &'a dyn OutputDirectory,
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

/// What who watches a run wants before its next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// The next step.
    GoOn,
    /// A checkpoint of this step; then it is asked again.
    Save,
    /// The end: the run saves what it has and ends.
    Stop,
}

/// Who watches a run.
#[async_trait(?Send)]
pub trait Observer {
    /// Called as things happen.
    fn event(&mut self, event: Event<'_>);

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

/// Watches nothing.
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
    /// Seconds of this process's part of the run.
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
    if template.is_fallback() && stage == Stage::Sft {
        carry.set_file("chat_template.jinja", template.source().as_bytes().to_vec())?;
    }
    Ok(carry)
}

/// What a run will do and need, before anything is allocated.
#[derive(Clone)]
pub struct Planned {
    /// Which samples come when.
    pub loader: Loader,
    /// How the engine is opened.
    pub options: EngineOptions,
    /// Tokens of the largest training and evaluation micro-batch.
    pub largest: [usize; 2],
    /// Memory.
    pub memory: Memory,
    /// What is trained.
    pub tuning: Tuning,
}

impl Planned {
    /// Parameters that are trained.
    ///
    /// # Errors
    /// As [`Tuning::count`].
    pub fn trainable(&self, checkpoint: &Checkpoint) -> Result<u64> {
        Ok(self.tuning.count(checkpoint)?.1)
    }
}

/// Plans a run: what `rootstock estimate` prints, and what [`super::train`] follows.
///
/// # Errors
/// [`crate::Error::Dataset`] without samples; what [`Tuning::of`] fails with.
pub async fn plan_run(recipe: &Recipe, checkpoint: &Checkpoint, profile: &Profile, train: &[Sample], eval: &[Sample]) -> Result<Planned> {
    let tuning = Tuning::of(recipe, checkpoint).await?;
    let loader = Loader::new(train.len(), recipe)?;
    let options = engine_options(recipe, tuning.method.clone(), train, eval);
    let largest = largest_micro_batches(&loader, recipe, train, eval);
    let base = tuning.base(checkpoint)?;
    let base = base.model();
    let memory = estimate(base.config(), base.params(), |d| tuning.stored_type(base, d), profile, &options, largest);
    Ok(Planned { loader, options, largest, memory, tuning })
}

/// The options of the engine that a recipe asks for.
fn engine_options(recipe: &Recipe, method: Method, train: &[Sample], eval: &[Sample]) -> EngineOptions {
    let longest = train.iter().chain(eval).flat_map(|s| {
        let starts = std::iter::once(0).chain(s.ends.iter().copied());
        s.ends.iter().zip(starts).map(|(end, start)| end - start).max()
    });
    EngineOptions {
        method,
        gradient_checkpointing: recipe.gradient_checkpointing,
        sequence: longest.max().unwrap_or(1),
        adamw: AdamW {
            beta1: recipe.adam_beta1,
            beta2: recipe.adam_beta2,
            epsilon: recipe.adam_epsilon,
            weight_decay: recipe.weight_decay,
        },
    }
}

/// Steps whose batches are looked at one by one when the largest is searched.
const STEPS_LOOKED_AT: u64 = 20_000;

/// Tokens of the largest training and evaluation micro-batch of a run: the ones that decide about memory.
pub fn largest_micro_batches(loader: &Loader, recipe: &Recipe, train: &[Sample], eval: &[Sample]) -> [usize; 2] {
    let tokens = |group: &[usize]| group.iter().map(|i| train[*i].ids.len()).sum::<usize>();
    let largest = if loader.total_steps() <= STEPS_LOOKED_AT {
        (0..loader.total_steps()).flat_map(|s| loader.group(s)).map(|g| tokens(&g)).max()
    } else {
        let mut lengths: Vec<usize> = train.iter().map(|s| s.ids.len()).collect();
        lengths.sort_unstable_by(|a, b| b.cmp(a));
        Some(lengths.iter().take(recipe.per_device_train_batch_size).sum())
    };
    let evaluation = eval.chunks(recipe.per_device_eval_batch_size.max(1)).map(|c| c.iter().map(|s| s.ids.len()).sum()).max();
    [largest.unwrap_or(0), evaluation.unwrap_or(0)]
}

/// The batch of some samples.
pub(super) fn batch_of(samples: &[Sample], indices: &[usize]) -> Batch {
    let chosen: Vec<&Sample> = indices.iter().map(|i| &samples[*i]).collect();
    Batch::of(&chosen)
}
