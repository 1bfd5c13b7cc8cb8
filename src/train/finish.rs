//! The end of a run: last evaluation and checkpoint, the best weights, the result.

use std::rc::Rc;

use super::checksums;
use super::history::LogEntry;
use super::job::{Event, Observer, Outcome};
use super::names::checkpoint_name;
use super::output::{self, Aside};
use super::run::Run;
use super::state;
use super::wandb::Offline;
use crate::config::Strategy;
use crate::error::Result;
use crate::platform::{Directory, as_directory};

impl Run<'_> {
    /// Last evaluation, last checkpoint, the best weights if asked for, the model itself and the results.
    pub(super) async fn finish(mut self, observer: &mut dyn Observer) -> Result<Outcome> {
        self.drain().await?;
        let recipe = self.job.recipe;
        let seconds = self.seconds();
        let evaluated = matches!(self.history.entries.last(), Some(LogEntry::Evaluation(l)) if l.current_steps == self.state.global_step);
        if recipe.do_eval && !self.job.eval.is_empty() && !evaluated {
            self.evaluate(observer).await?;
        }
        if recipe.save_strategy != Strategy::No {
            self.save(observer).await?;
        }
        self.remove_oldest().await?;
        let best = self.state.best_metric.zip(self.state.best_model_checkpoint.clone());
        let mut eval_loss = self.history.eval_losses().last().map(|(_, l)| *l);
        if recipe.load_best_model_at_end
            && let Some((loss, name)) = &best
        {
            let is_last = *name == checkpoint_name(self.state.global_step);
            if is_last || self.load_best(name, *loss, observer).await? {
                eval_loss = Some(*loss);
            }
        }
        // A resumed run may have come to its end before, with other files (shards, types).
        output::set_aside(self.job.out, Aside::Result).await?;
        self.saver.write_model(&self.engine, self.job.out).await?;
        self.state.seconds = seconds;
        let (steps, per_second) = (self.state.global_step as f64, |amount: f64| amount / seconds.max(1e-9));
        let outcome = Outcome {
            epoch: self.state.epoch,
            steps: self.state.global_step,
            train_loss: self.state.loss_total / self.state.global_step.max(1) as f64,
            train_runtime: seconds,
            train_samples_per_second: per_second(self.state.samples as f64),
            train_steps_per_second: per_second(steps),
            tokens_per_second: per_second(self.state.tokens as f64),
            peak_bytes: self.engine.runner.gpu.peak_bytes(),
            eval_loss,
            best,
            stopped_early: self.stopped_early,
        };
        if recipe.report_to_wandb {
            Offline::of(self.job).finish(self.job.out, &self.history, seconds).await?;
        }
        super::results::write(self.job, &outcome, &self.state, &self.history).await?;
        self.job.out.sync().await?;
        output::remove_aside(self.job.out).await?;
        Ok(outcome)
    }

    /// Brings the weights of the best checkpoint back; false, with a remark, where it is gone or damaged: the last state is the result.
    async fn load_best(&self, name: &str, loss: f64, observer: &mut dyn Observer) -> Result<bool> {
        let directory: Rc<dyn Directory> = Rc::from(as_directory(self.job.out.subdirectory(name)));
        let whole = match state::checksums(&*directory).await {
            Ok(sums) => checksums::verify(&*directory, &sums).await,
            Err(error) => Err(error),
        };
        if let Err(error) = whole {
            observer.event(Event::Notice(format!("the best checkpoint, {name}, cannot be used ({error}): the result is the last state")));
            return Ok(false);
        }
        self.saver.load_weights(&self.engine, directory).await?;
        observer.event(Event::Notice(format!("the result is the best checkpoint, {name} (eval_loss {loss:.4})")));
        Ok(true)
    }
}
