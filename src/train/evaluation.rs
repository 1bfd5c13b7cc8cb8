//! Evaluation: during a run, and of a model that is not trained.

use std::collections::BTreeMap;

use web_time::Instant;

use super::history::{EvalLine, LogEntry, clock};
use super::job::{Event, Observer, batch_of};
use super::names::checkpoint_name;
use super::run::Run;
use crate::data::Sample;
use crate::engine::Engine;
use crate::error::Result;

/// Loss over samples: sum over target tokens / number of target tokens. Returns the sum and the number.
///
/// # Errors
/// [`crate::Error::Gpu`] when the device failed.
pub async fn evaluate(engine: &mut Engine, samples: &[Sample], batch_size: usize) -> Result<(f64, usize)> {
    let (mut sum, mut count) = (0.0, 0);
    let indices: Vec<usize> = (0..samples.len()).collect();
    for chunk in indices.chunks(batch_size.max(1)) {
        let (loss, targets) = engine.loss(&batch_of(samples, chunk)).await?;
        sum += loss;
        count += targets;
    }
    Ok((sum, count))
}

impl Run<'_> {
    /// Evaluates, and tells whether this was the best so far.
    pub(super) async fn evaluate(&mut self, observer: &mut dyn Observer) -> Result<bool> {
        self.drain().await?;
        let (mut sum, mut count, mut each, mut rest) = (0.0, 0, BTreeMap::new(), self.job.eval);
        let whole = [(String::new(), rest.len())];
        for (name, samples) in if self.job.eval_parts.is_empty() { &whole[..] } else { self.job.eval_parts } {
            let (part, after) = rest.split_at(*samples);
            let (part_sum, part_count) = evaluate(&mut self.engine, part, self.job.recipe.per_device_eval_batch_size).await?;
            if !name.is_empty() {
                let loss = part_sum / part_count.max(1) as f64;
                each.insert(format!("eval_{name}_loss"), Some(loss).filter(|loss| loss.is_finite()));
            }
            (sum, count, rest) = (sum + part_sum, count + part_count, after);
        }
        let eval_loss = sum / count.max(1) as f64;
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
