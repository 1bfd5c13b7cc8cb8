//! The end of a run: the result and what is said about it.

use std::rc::Rc;

use super::checkpoints::checkpoint_name;
use super::history::LogEntry;
use super::job::{Event, Observer, Outcome};
use super::run::Run;
use crate::config::Strategy;
use crate::error::Result;
use crate::platform::Directory;

impl Run<'_> {
    /// Last evaluation, last checkpoint, the best weights if asked for, the model itself and the results.
    pub(super) async fn finish(mut self, observer: &mut dyn Observer) -> Result<Outcome> {
        self.drain().await?;
        let recipe = self.job.recipe;
        let seconds = self.started.elapsed().as_secs_f64();
        let evaluated = matches!(self.history.entries.last(), Some(LogEntry::Evaluation(l)) if l.current_steps == self.state.global_step);
        if recipe.do_eval && !self.job.eval.is_empty() && !evaluated {
            self.evaluate(observer).await?;
        }
        if recipe.save_strategy != Strategy::No {
            self.save(observer).await?;
        }
        let best = self.state.best_metric.zip(self.state.best_model_checkpoint.clone());
        let mut eval_loss = self.history.eval_losses().last().map(|(_, l)| *l);
        if recipe.load_best_model_at_end
            && let Some((loss, name)) = &best
        {
            if *name != checkpoint_name(self.state.global_step) {
                let dir: Rc<dyn Directory> = Rc::from(crate::platform::as_directory(self.job.out.subdirectory(name)));
                self.saver.load_weights(&self.engine, dir).await?;
                observer.event(Event::Notice(format!("the result is the best checkpoint, {name} (eval_loss {loss:.4})")));
            }
            eval_loss = Some(*loss);
        }
        self.saver.write_model(&self.engine, self.job.out).await?;
        let here = (self.state.global_step - self.first_step) as f64;
        let outcome = Outcome {
            epoch: self.state.epoch,
            steps: self.state.global_step,
            train_loss: self.state.loss_total / self.state.global_step.max(1) as f64,
            train_runtime: seconds,
            train_samples_per_second: self.samples as f64 / seconds.max(1e-9),
            train_steps_per_second: here / seconds.max(1e-9),
            tokens_per_second: self.tokens as f64 / seconds.max(1e-9),
            peak_bytes: self.engine.runner.gpu.peak_bytes(),
            eval_loss,
            best,
            stopped_early: self.stopped_early,
        };
        super::results::write(self.job, &outcome, &self.state, &self.history).await?;
        Ok(outcome)
    }
}
