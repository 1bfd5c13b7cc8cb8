//! Scoring samples with a model that is not trained: `rootstock eval`, and recipes with `do_train: false`.

use std::rc::Rc;

use super::evaluation::evaluate;
use super::plan::preference;
use super::references::log_probabilities;
use super::rewards::Figures;
use crate::adapter::ResolvedAdapter;
use crate::checkpoint::{ModelSource, ParamSource};
use crate::config::Recipe;
use crate::data::{Batch, Sample};
use crate::engine::{Blueprint, Engine, EngineOptions, Method, Objective, stored_type};
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::model::ParamDecl;
use crate::optim::Optimizer;

/// How well a model predicts samples.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Score {
    /// Sum over target tokens / number of target tokens, in nats.
    pub loss: f64,
    /// e^loss.
    pub perplexity: f64,
    /// Target tokens.
    pub tokens: usize,
    /// Samples.
    pub samples: usize,
    /// The mean of the samples' shares of targets that are the likeliest token, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub accuracy: Option<f64>,
}

/// Scores samples, up to `batch_size` at a time: fewer where the adapter's memory asks for it, which changes nothing else.
///
/// # Errors
/// [`Error::TooLittleMemory`] when not even one sample at a time fits; [`Error::File`] when the loss is not a
/// finite number; what reading the weights and the device fail with.
pub async fn score(gpu: &Rc<Gpu>, model: &dyn ModelSource, samples: &[Sample], batch_size: usize) -> Result<Score> {
    score_adapted(gpu, model, None, samples, batch_size, false).await
}

/// The same with an adapter on the model, which is not merged: what it changes, and its tensors in the order of
/// [`ResolvedAdapter::declarations`]; and, if `accuracy` asks for it, with the share of right tokens, one sample at a time.
///
/// # Errors
/// As [`score`].
pub async fn score_adapted(
    gpu: &Rc<Gpu>,
    model: &dyn ModelSource,
    adapter: Option<(Rc<ResolvedAdapter>, &dyn ParamSource)>,
    samples: &[Sample],
    batch_size: usize,
    accuracy: bool,
) -> Result<Score> {
    let objective = Objective { accuracy, ..Objective::default() };
    let (mut engine, batch) = open(gpu, model, adapter, samples, batch_size, objective, false).await?;
    let measured = evaluate(&mut engine, samples, &[], batch).await?;
    let (loss, tokens) = (measured.loss(), measured.count);
    check_finite(loss, model, &format!("{tokens} tokens"))?;
    Ok(Score { loss, perplexity: loss.exp(), tokens, samples: samples.len(), accuracy: measured.accuracy() })
}

/// How well a model tells preferred answers from rejected ones.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct PreferenceScore {
    /// Mean of the samples' losses.
    pub loss: f64,
    /// Samples.
    pub samples: usize,
    /// What it tells about answers, as `rewards/chosen`.
    #[serde(flatten)]
    pub figures: Figures,
}

/// Scores samples of stages dpo, kto and rm as the recipe's loss compares them; the reference is `reference`, else the model without its adapter.
///
/// # Errors
/// [`Error::Recipe`] without a reference where the loss needs one; as [`score`].
pub async fn score_preferences(
    gpu: &Rc<Gpu>,
    model: &dyn ModelSource,
    adapter: Option<(Rc<ResolvedAdapter>, &dyn ParamSource)>,
    reference: Option<&dyn ModelSource>,
    samples: &[Sample],
    recipe: &Recipe,
) -> Result<PreferenceScore> {
    let batch_size = recipe.per_device_eval_batch_size;
    let (needed, adapted) = (recipe.needs_reference(), adapter.is_some());
    if needed && !adapted && reference.is_none() {
        return Err(Error::recipe(
            "ref_model",
            "answers are compared with a reference, and the model alone is none; give what was trained as adapter_name_or_path, or the model \
             that training began with as ref_model",
        ));
    }
    let mut references = Vec::new();
    if let Some(reference) = reference.filter(|_| needed) {
        let (mut engine, batch) = open(gpu, reference, None, samples, batch_size, Objective::default(), true).await?;
        references = log_probabilities(&mut engine, samples, largest(samples, batch)).await?;
    }
    let own = needed && reference.is_none();
    let objective = Objective { preference: preference(recipe), ..Objective::default() };
    let (mut engine, batch) = open(gpu, model, adapter, samples, batch_size, objective, own).await?;
    if own {
        references = log_probabilities(&mut engine, samples, largest(samples, batch)).await?;
    }
    let measured = evaluate(&mut engine, samples, &references, batch).await?;
    check_finite(measured.loss(), model, &format!("{} samples", samples.len()))?;
    let figures = measured.rewards.figures(recipe.stage, "");
    Ok(PreferenceScore { loss: measured.loss(), samples: samples.len(), figures })
}

/// What a reward model gives the two answers of each sample, the preferred one first.
///
/// # Errors
/// As [`score`]; [`Error::File`] for a value that is not finite.
pub async fn judge(
    gpu: &Rc<Gpu>,
    model: &dyn ModelSource,
    adapter: Option<(Rc<ResolvedAdapter>, &dyn ParamSource)>,
    samples: &[Sample],
    recipe: &Recipe,
) -> Result<Vec<[f32; 2]>> {
    let objective = Objective { preference: preference(recipe), ..Objective::default() };
    let (mut engine, batch) = open(gpu, model, adapter, samples, recipe.per_device_eval_batch_size, objective, false).await?;
    let mut values = Vec::with_capacity(samples.len());
    for chunk in samples.chunks(batch) {
        values.extend(engine.values(&Batch::of(&chunk.iter().collect::<Vec<_>>())).await?);
    }
    check_finite(values.iter().flatten().map(|value| f64::from(*value)).sum(), model, &format!("{} answers", 2 * samples.len()))?;
    Ok(values)
}

/// Tokens of the largest of the batches that samples are taken in.
fn largest(samples: &[Sample], batch: usize) -> usize {
    samples.chunks(batch).map(|chunk| chunk.iter().map(|sample| sample.ids.len()).sum::<usize>()).max().unwrap_or(0)
}

fn check_finite(loss: f64, model: &dyn ModelSource, over: &str) -> Result<()> {
    if loss.is_finite() {
        return Ok(());
    }
    Err(Error::file(
        model.label(),
        format!("the loss over {over} is {loss}: the weights hold NaN or infinity, or numbers so large that sums overflow"),
    ))
}

/// Opens a model to score samples, and tells how many of them fit at a time.
async fn open(
    gpu: &Rc<Gpu>,
    model: &dyn ModelSource,
    adapter: Option<(Rc<ResolvedAdapter>, &dyn ParamSource)>,
    samples: &[Sample],
    batch_size: usize,
    objective: Objective,
    refers: bool,
) -> Result<(Engine, usize)> {
    let sequence = samples.iter().map(|s| s.ids.len()).max().unwrap_or(1);
    let method = Method::Inference(adapter.as_ref().map(|(resolved, _)| resolved.clone()));
    let options = EngineOptions { method, gradient_checkpointing: false, kept: None, sequence, optimizer: Optimizer::default(), objective };
    let frozen = |d: &ParamDecl| stored_type(model, d);
    let plan = |batch: usize| {
        let tokens = largest(samples, batch);
        let blueprint = Blueprint::new(model.config(), model.params(), frozen, gpu.profile(), &options, [0, tokens]);
        if refers { blueprint.with_reference(gpu.profile(), tokens) } else { blueprint }
    };
    let mut batch = batch_size.max(1);
    let mut blueprint = plan(batch);
    while batch > 1 && blueprint.memory().check(gpu.profile(), None).is_err() {
        batch /= 2;
        blueprint = plan(batch);
    }
    blueprint.memory().check(gpu.profile(), None)?;
    let engine = Engine::load_planned(gpu.clone(), model, &blueprint).await?;
    if let Some((_, source)) = adapter {
        engine.load_adapter(source).await?;
    }
    Ok((engine, batch))
}
