//! What the reference model gives the answers of stages dpo and kto: computed once, before the first step, and kept beside the samples.

use super::job::{Event, Job, Observer};
use super::plan::{PlannedReference, PlannedRun};
use crate::checkpoint::ModelSource;
use crate::data::{Batch, Sample};
use crate::engine::Engine;
use crate::error::{Error, Result};

/// Log-probabilities of each sample's two answers; none where the loss needs no reference.
#[derive(Debug, Clone, Default)]
pub(super) struct References {
    /// Of the training samples.
    pub(super) train: Vec<[f32; 2]>,
    /// Of the evaluation samples.
    pub(super) eval: Vec<[f32; 2]>,
}

impl References {
    /// Those by a model that is loaded for it, and given back.
    pub(super) async fn by_other(planned: &PlannedRun, job: &Job<'_>, observer: &mut dyn Observer) -> Result<References> {
        let (PlannedReference::Other { blueprint, tokens }, Some(model)) = (&planned.reference, &planned.input.reference) else {
            return Ok(References::default());
        };
        observer.event(Event::Notice(told(job, &model.label())));
        let mut engine = Engine::load_planned(job.gpu.clone(), model, blueprint).await?;
        References::by(&mut engine, job, *tokens, &model.label()).await
    }

    /// Those by the run's own model, less its adapter, before it is trained.
    pub(super) async fn by_own(
        planned: &PlannedRun,
        job: &Job<'_>,
        engine: &mut Engine,
        observer: &mut dyn Observer,
    ) -> Result<References> {
        let PlannedReference::Own { tokens } = planned.reference else { return Ok(References::default()) };
        let label = job.checkpoint.label();
        observer.event(Event::Notice(told(job, &label)));
        References::by(engine, job, tokens, &label).await
    }

    async fn by(engine: &mut Engine, job: &Job<'_>, tokens: usize, label: &str) -> Result<References> {
        let train = log_probabilities(engine, job.train, tokens).await?;
        let eval = log_probabilities(engine, job.eval, tokens).await?;
        if train.iter().chain(&eval).flatten().any(|logp| !logp.is_finite()) {
            return Err(Error::file(
                label,
                "the reference gives an answer a log-probability that is not a finite number: its weights hold NaN or infinity, or numbers so \
                 large that sums overflow",
            ));
        }
        Ok(References { train, eval })
    }
}

fn told(job: &Job<'_>, label: &str) -> String {
    let answers = 2 * (job.train.len() + job.eval.len());
    format!("computing what the reference, {label}, gives {answers} answers …")
}

/// The log-probabilities of the answers of samples, so many at a time as have `most` tokens.
pub(super) async fn log_probabilities(engine: &mut Engine, samples: &[Sample], most: usize) -> Result<Vec<[f32; 2]>> {
    let mut found = Vec::with_capacity(samples.len());
    let mut rest = samples;
    while !rest.is_empty() {
        let mut tokens = 0;
        let fitting = rest.iter().take_while(|sample| {
            tokens += sample.ids.len();
            tokens <= most
        });
        let (now, later) = rest.split_at(fitting.count().max(1));
        found.extend(engine.reference(&Batch::of(&now.iter().collect::<Vec<_>>())).await?);
        rest = later;
    }
    Ok(found)
}
