//! Evaluation: during a run, and of a model that is not trained.

use web_time::Instant;

use super::history::{EvalLine, LogEntry, clock};
use super::job::{Event, Observer, batch_of};
use super::names::checkpoint_name;
use super::rewards::{Figures, RewardSums};
use super::run::Run;
use crate::data::Sample;
use crate::engine::Engine;
use crate::error::Result;

/// What an evaluation adds up.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Measured {
    /// Sum of the losses.
    pub(super) sum: f64,
    /// Their number: target tokens, or samples of preferences.
    pub(super) count: usize,
    /// What it tells about answers.
    pub(super) rewards: RewardSums,
    /// Where the objective counts right tokens: the sum of the samples' shares of them, and the samples.
    right: Option<(f64, usize)>,
}

impl Measured {
    /// The mean of the samples' shares of right tokens, where they were counted (LLaMA-Factory's ComputeAccuracy).
    pub(super) fn accuracy(&self) -> Option<f64> {
        self.right.filter(|(_, samples)| *samples > 0).map(|(sum, samples)| sum / samples as f64)
    }

    /// The mean loss.
    pub(super) fn loss(&self) -> f64 {
        self.sum / self.count.max(1) as f64
    }

    fn add(&mut self, other: &Measured) {
        self.sum += other.sum;
        self.count += other.count;
        self.rewards.merge(&other.rewards);
        if let Some((sum, samples)) = other.right {
            let (all, count) = self.right.unwrap_or_default();
            self.right = Some((all + sum, count + samples));
        }
    }
}

/// Losses of samples, up to `batch_size` at a time; `references` are empty or one for each. Where right tokens are counted it is one sample at
/// a time: each has a share of its own.
///
/// # Errors
/// [`crate::Error::Gpu`] when the device failed.
pub(super) async fn evaluate(engine: &mut Engine, samples: &[Sample], references: &[[f32; 2]], batch_size: usize) -> Result<Measured> {
    let mut measured = Measured::default();
    let indices: Vec<usize> = (0..samples.len()).collect();
    let counts_right = engine.counts_right();
    for chunk in indices.chunks(if counts_right { 1 } else { batch_size.max(1) }) {
        let batch = batch_of(samples, references, chunk);
        let stats = engine.measure(&batch).await?;
        measured.sum += f64::from(stats.loss_sum);
        measured.count += if batch.answers.is_empty() { batch.target_count() } else { batch.samples };
        measured.rewards.add(&stats);
        if counts_right && stats.targets > 0 {
            let (sum, count) = measured.right.unwrap_or_default();
            measured.right = Some((sum + f64::from(stats.correct) / f64::from(stats.targets), count + 1));
        }
    }
    Ok(measured)
}

impl Run<'_> {
    /// Evaluates, and tells whether this was the best so far.
    pub(super) async fn evaluate(&mut self, observer: &mut dyn Observer) -> Result<bool> {
        self.drain().await?;
        let (mut all, mut each, mut done) = (Measured::default(), Figures::new(), 0);
        let whole = [(String::new(), self.job.eval.len())];
        for (name, samples) in if self.job.eval_parts.is_empty() { &whole[..] } else { self.job.eval_parts } {
            let range = done..done + samples;
            let (part, references) = (&self.job.eval[range.clone()], self.references.eval.get(range).unwrap_or_default());
            let measured = evaluate(&mut self.engine, part, references, self.job.recipe.per_device_eval_batch_size).await?;
            if !name.is_empty() {
                each.insert(format!("eval_{name}_loss"), Some(measured.loss()).filter(|loss| loss.is_finite()));
                let accuracy = measured.accuracy().or_else(|| measured.rewards.accuracy(self.job.recipe.stage));
                each.extend(accuracy.map(|accuracy| (format!("eval_{name}_accuracy"), Some(accuracy))));
            }
            all.add(&measured);
            done += samples;
        }
        let eval_loss = all.loss();
        each.extend(all.accuracy().map(|accuracy| ("eval_accuracy".to_string(), Some(accuracy))));
        each.extend(all.rewards.figures(self.job.recipe.stage, "eval_"));
        let line = EvalLine {
            current_steps: self.state.global_step,
            total_steps: self.total_steps,
            eval_loss,
            each,
            epoch: self.state.epoch,
            percentage: self.percentage(),
            elapsed_time: clock(self.seconds()),
            remaining_time: clock(self.remaining()),
        };
        observer.event(Event::Evaluation(&line));
        if !eval_loss.is_finite() {
            observer.event(Event::Notice(format!(
                "the evaluation's loss after step {} is not a finite number: this state is not taken for the best",
                self.state.global_step
            )));
        }
        self.note(LogEntry::Evaluation(line)).await?;
        self.logged = Instant::now();
        let improved = eval_loss.is_finite() && self.state.best_metric.is_none_or(|best| eval_loss < best);
        if improved {
            self.state.best_metric = Some(eval_loss);
            self.state.best_model_checkpoint = Some(checkpoint_name(self.state.global_step));
            self.state.evaluations_without_improvement = 0;
        } else {
            self.state.evaluations_without_improvement += 1;
        }
        if let Some(plateau) = &mut self.state.plateau {
            plateau.step(eval_loss, &self.job.recipe.lr_scheduler_kwargs);
        }
        let patience = self.job.recipe.early_stopping_steps;
        self.stopped_early = patience.is_some_and(|p| self.state.evaluations_without_improvement >= p);
        Ok(improved)
    }
}
