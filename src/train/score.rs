//! Scoring samples with a model that is not trained: `rootstock eval`, and recipes with `do_train: false`.

use std::rc::Rc;

use super::evaluation::evaluate;
use crate::adapter::ResolvedAdapter;
use crate::checkpoint::{ModelSource, ParamSource};
use crate::data::Sample;
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
}

/// Scores samples, up to `batch_size` at a time: fewer where the adapter's memory asks for it, which changes nothing else.
///
/// # Errors
/// [`Error::TooLittleMemory`] when not even one sample at a time fits; [`Error::File`] when the loss is not a
/// finite number; what reading the weights and the device fail with.
pub async fn score(gpu: &Rc<Gpu>, model: &dyn ModelSource, samples: &[Sample], batch_size: usize) -> Result<Score> {
    score_adapted(gpu, model, None, samples, batch_size).await
}

/// The same with an adapter on the model, which is not merged: what it changes, and its tensors in the order of
/// [`ResolvedAdapter::declarations`].
///
/// # Errors
/// As [`score`].
pub async fn score_adapted(
    gpu: &Rc<Gpu>,
    model: &dyn ModelSource,
    adapter: Option<(Rc<ResolvedAdapter>, &dyn ParamSource)>,
    samples: &[Sample],
    batch_size: usize,
) -> Result<Score> {
    let sequence = samples.iter().map(|s| s.ids.len()).max().unwrap_or(1);
    let method = Method::Inference(adapter.as_ref().map(|(resolved, _)| resolved.clone()));
    let options =
        EngineOptions { method, gradient_checkpointing: false, sequence, optimizer: Optimizer::default(), objective: Objective::default() };
    let largest = |batch: usize| samples.chunks(batch).map(|c| c.iter().map(|s| s.ids.len()).sum::<usize>()).max().unwrap_or(0);
    let frozen = |d: &ParamDecl| stored_type(model, d);
    let plan = |batch: usize| Blueprint::new(model.config(), model.params(), frozen, gpu.profile(), &options, [0, largest(batch)]);
    let mut batch = batch_size.max(1);
    let mut blueprint = plan(batch);
    while batch > 1 && blueprint.memory().check(gpu.profile(), true).is_err() {
        batch /= 2;
        blueprint = plan(batch);
    }
    blueprint.memory().check(gpu.profile(), true)?;
    let mut engine = Engine::load_planned(gpu.clone(), model, &blueprint).await?;
    if let Some((_, source)) = adapter {
        engine.load_adapter(source).await?;
    }
    let (sum, tokens) = evaluate(&mut engine, samples, batch).await?;
    let loss = sum / tokens.max(1) as f64;
    if !loss.is_finite() {
        return Err(Error::file(
            model.label(),
            format!("the loss over {tokens} tokens is {loss}: the weights hold NaN or infinity, or numbers so large that sums overflow"),
        ));
    }
    Ok(Score { loss, perplexity: loss.exp(), tokens, samples: samples.len() })
}
