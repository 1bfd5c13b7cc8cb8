//! The training loop.

use std::collections::VecDeque;

use web_time::Instant;

use super::checkpoints::remove_oldest;
use super::device::RecordedDevice;
use super::events;
use super::history::{History, LogEntry, LogLine, clock};
use super::job::{Event, Job, Observer, Outcome, Start, Wish, batch_of};
use super::names::checkpoint_name;
use super::output::{self, Aside};
use super::plan::{PlannedReference, PlannedRun};
use super::references::References;
use super::resume::{self, Earlier};
use super::saver::{self, Saver};
use super::schedule::{Plateau, Schedule};
use super::state::{SavedState, Unlogged};
use super::wandb::Offline;
use crate::config::{Half, Resume, Strategy};
use crate::data::Loader;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::kernels::{Stats, StepValues};
use crate::optim::Adafactor;
use crate::plan::PendingStats;

/// Steps that may be queued before their results are read: enough that the GPU does not wait for the processor, and few, so that a loss
/// that is not finite is noticed soon.
const STEPS_IN_FLIGHT: usize = 2;

/// Trains as planned and leaves the model in `job.out`: see [`PlannedRun::train`].
pub(super) async fn train(planned: &PlannedRun, job: &Job<'_>, observer: &mut dyn Observer) -> Result<Outcome> {
    let mut aside = None;
    let outcome = Box::pin(train_into(planned, job, observer, &mut aside)).await;
    if outcome.is_err()
        && let Some(aside) = aside
    {
        // The error is the one to report; what cannot be moved back stays where the notice said.
        let _ = output::put_back(job.out, &aside).await;
    }
    outcome
}

/// The same; `aside` becomes the name of the directory that an earlier run's files were moved to.
async fn train_into(planned: &PlannedRun, job: &Job<'_>, observer: &mut dyn Observer, aside: &mut Option<String>) -> Result<Outcome> {
    let PlannedRun { loader, blueprint, memory, finetuning, .. } = planned.clone();
    memory.check(job.gpu.profile(), Some(planned.plan_options()))?;

    for notice in &planned.notices {
        observer.event(Event::Notice(notice.clone()));
    }
    let base = finetuning.base();
    let mut saver = Saver::new(job, finetuning.clone(), base, planned.checkpointing()).await?;
    let earlier = resume::find(&saver, loader.total_steps(), observer).await?;
    let directory = earlier.as_ref().map(|earlier| earlier.directory.clone());
    if let Some(count) = finetuning.decomposed().filter(|_| directory.is_none()) {
        observer.event(Event::Notice(format!("looking for the principal directions of {count} matrices …")));
    }
    saver.principal = finetuning.find_principal(base, directory, job.recipe.seed).await?;

    job.gpu.reset_peak();
    // Boxed: what they hold while they wait would lie on the stack of every run.
    let mut references = Box::pin(References::by_other(planned, job, observer)).await?;
    let mut engine = match saver.residual() {
        Some(residual) => Engine::load_planned(job.gpu.clone(), &residual, &blueprint).await?,
        None => Engine::load_planned(job.gpu.clone(), base, &blueprint).await?,
    };
    let (parameters, trainable) = finetuning.count();
    finetuning.begin(&engine, base, saver.principal.as_ref(), job.recipe.seed).await?;
    if let PlannedReference::Own { .. } = planned.reference {
        references = Box::pin(References::by_own(planned, job, &mut engine, observer)).await?;
    }
    let mut run = Run::new(saver, engine, loader, references)?;
    output::remove_partial(job.out).await?;
    match earlier {
        Some(earlier) => {
            if earlier.from_elsewhere {
                *aside = run.make_room(observer).await?;
            }
            run.resume(earlier, observer).await?;
        }
        None => *aside = run.make_room(observer).await?,
    }
    run.history.rewrite(job.out).await?;
    if job.recipe.report_to_tensorboard {
        events::rewrite(job.out, &run.history).await?;
    }
    if job.recipe.report_to_wandb {
        Offline::of(job).rewrite(job.out, &run.history).await?;
    }
    let start = Start {
        parameters,
        trainable,
        total_steps: run.total_steps,
        resumed_at: run.state.global_step,
        samples: job.train.len(),
        tokens: job.train.iter().map(|s| s.ids.len()).sum(),
        memory,
        checkpointing: planned.checkpointing(),
        device: job.gpu.profile().name.clone(),
    };
    observer.event(Event::Start(&start));
    Box::pin(run.steps(observer)).await?;
    Box::pin(run.finish(observer)).await
}

/// A step whose statistics are on their way back.
struct InFlight {
    step: u64,
    /// What its sum of losses is divided by.
    divisor: f64,
    readback: PendingStats,
}

pub(super) struct Run<'a> {
    pub(super) job: &'a Job<'a>,
    pub(super) saver: Saver<'a>,
    pub(super) engine: Engine,
    loader: Loader,
    pub(super) references: References,
    schedule: Schedule,
    pub(super) total_steps: u64,
    pub(super) state: SavedState,
    pub(super) history: History,
    in_flight: VecDeque<InFlight>,
    /// Tokens of this process since the last line of the log: for the speed.
    tokens_since_log: usize,
    last_lr: f64,
    /// When this process began to train; later by what observers took.
    started: Instant,
    /// Seconds that earlier parts of the run took.
    seconds_before: f64,
    pub(super) logged: Instant,
    pub(super) stopped_early: bool,
    /// Whether it was said that nothing is learned any more.
    told_collapse: bool,
    saved_at: Option<u64>,
    /// The step of a checkpoint that was just written. It displaces older ones when the next step shows that its weights are good.
    unproven: Option<u64>,
}

impl<'a> Run<'a> {
    fn new(saver: Saver<'a>, engine: Engine, loader: Loader, references: References) -> Result<Run<'a>> {
        let job = saver.job;
        let total_steps = loader.total_steps();
        let fingerprint = saver.run_fingerprint()?;
        Ok(Run {
            schedule: Schedule::of(job.recipe, total_steps),
            job,
            saver,
            engine,
            loader,
            references,
            total_steps,
            state: SavedState {
                max_steps: total_steps,
                date: job.date,
                fingerprint,
                device: Some(RecordedDevice::of(job.gpu.profile())),
                plateau: Plateau::of(job.recipe),
                ..SavedState::default()
            },
            history: History::default(),
            in_flight: VecDeque::new(),
            tokens_since_log: 0,
            last_lr: 0.0,
            started: Instant::now(),
            seconds_before: 0.0,
            logged: Instant::now(),
            stopped_early: false,
            told_collapse: false,
            saved_at: None,
            unproven: None,
        })
    }

    /// Moves an earlier run's files out of the way and returns where they are.
    async fn make_room(&mut self, observer: &mut dyn Observer) -> Result<Option<String>> {
        let aside = output::set_aside(self.job.out, Aside::Run).await?;
        if let Some(aside) = &aside {
            let place = self.job.out.label();
            observer.event(Event::Notice(format!("the earlier result in {place} is kept in {place}/{aside} until the new one is whole")));
        }
        Ok(aside)
    }

    /// Goes on from a checkpoint.
    async fn resume(&mut self, mut earlier: Earlier, observer: &mut dyn Observer) -> Result<()> {
        saver::restore(&self.saver, &self.engine, earlier.directory.clone()).await?;
        earlier.keep_best(self.job, observer).await?;
        let mut state = earlier.state;
        self.history.entries = std::mem::take(&mut state.trainer_log);
        self.seconds_before = state.seconds;
        self.saved_at = Some(state.global_step);
        // What follows is computed here, and may be longer than what was found.
        self.state = SavedState {
            device: self.state.device.take(),
            max_steps: self.total_steps,
            fingerprint: std::mem::take(&mut self.state.fingerprint),
            ..state
        };
        // A run that was killed between writing a checkpoint and removing the oldest left one too many.
        self.unproven = self.saved_at.filter(|_| self.job.recipe.resume_from_checkpoint == Resume::Newest);
        Ok(())
    }

    /// Seconds of training so far, earlier parts of the run included.
    pub(super) fn seconds(&self) -> f64 {
        self.seconds_before + self.started.elapsed().as_secs_f64()
    }

    async fn steps(&mut self, observer: &mut dyn Observer) -> Result<()> {
        let recipe = self.job.recipe;
        let logging = recipe.logging_steps.steps(self.total_steps);
        let evaluating = recipe.eval_steps.steps(self.total_steps);
        let saving = recipe.save_steps.steps(self.total_steps);
        if self.state.global_step < self.total_steps {
            observer.before_first_step(&self.engine, self.state.global_step).await?;
        }
        self.started = Instant::now();
        self.logged = self.started;
        while self.state.global_step < self.total_steps && !self.stopped_early {
            let step = self.state.global_step;
            self.queue_step(step).await?;
            self.state.global_step = step + 1;
            self.state.epoch = self.loader.epoch_after(step + 1);
            observer.event(Event::Step(step + 1, self.total_steps));
            while self.in_flight.len() > STEPS_IN_FLIGHT {
                self.take_result().await?;
            }
            let (done, last) = (step + 1, step + 1 == self.total_steps);
            let epoch_ends = self.loader.ends_epoch(step);
            let due = |strategy: Strategy, every: u64| match strategy {
                Strategy::No => false,
                Strategy::Steps => done.is_multiple_of(every),
                Strategy::Epoch => epoch_ends,
            };
            if done.is_multiple_of(logging) || done == 1 || last {
                self.log(observer).await?;
            }
            let evaluates = due(recipe.eval_strategy, evaluating) && !self.job.eval.is_empty();
            let improved = if evaluates { self.evaluate(observer).await? } else { false };
            if due(recipe.save_strategy, saving) || (improved && recipe.load_best_model_at_end) {
                self.save(observer).await?;
            }
            if self.observe(observer).await? == Wish::Stop {
                return Err(self.interrupted(observer).await?);
            }
        }
        Ok(())
    }

    /// Awaits the observer, then saves or stops if it asked to.
    async fn observe(&mut self, observer: &mut dyn Observer) -> Result<Wish> {
        loop {
            let left = Instant::now();
            let wish = observer.between_steps(&self.engine, self.state.global_step).await?;
            let away = left.elapsed();
            self.started += away;
            self.logged += away;
            match wish {
                Wish::Save => self.save(observer).await?,
                other => return Ok(other),
            }
        }
    }

    /// Queues forward and backward passes of the step's micro-batches, and the update.
    async fn queue_step(&mut self, step: u64) -> Result<()> {
        let recipe = self.job.recipe;
        let batches: Vec<_> = self.loader.group(step).iter().map(|g| batch_of(self.job.train, &self.references.train, g)).collect();
        let targets: usize = batches.iter().map(|b| b.target_count()).sum();
        let t = (step + 1) as i32;
        self.last_lr = self.state.plateau.as_ref().map_or_else(|| self.schedule.learning_rate(step), |plateau| plateau.learning_rate);
        let mut values = StepValues {
            loss_scale: 1.0 / targets.max(1) as f32,
            learning_rate: self.last_lr as f32,
            bias_correction1: (1.0 / (1.0 - recipe.adam_beta1.powi(t))) as f32,
            bias_correction2: (1.0 / (1.0 - recipe.adam_beta2.powi(t))) as f32,
            factor_rate: Adafactor::factor_rate(t as u32) as f32,
            max_grad_norm: recipe.max_grad_norm.unwrap_or(0.0) as f32,
            ..StepValues::default()
        };
        let compares = recipe.stage.compares_answers();
        for (i, batch) in batches.iter().enumerate() {
            values.accumulate = u32::from(i > 0);
            if compares {
                // The mean of the micro-batches' means, as Trainer accumulates a loss that is not of tokens.
                values.loss_scale = 1.0 / (batch.samples.max(1) * batches.len()) as f32;
            }
            values.seed = micro_step_seed(recipe.seed, step, i);
            self.engine.micro_step(batch, values).await?;
            self.tokens_since_log += batch.tokens;
            self.state.tokens += batch.tokens;
            self.state.samples += batch.samples;
        }
        self.engine.update(&values).await?;
        let readback = self.engine.runner.start_read_stats()?;
        let divisor = if compares { 1.0 } else { targets.max(1) as f64 };
        self.in_flight.push_back(InFlight { step, divisor, readback });
        Ok(())
    }

    /// Waits for the oldest queued step and checks its loss and gradient norm.
    async fn take_result(&mut self) -> Result<()> {
        let Some(oldest) = self.in_flight.pop_front() else { return Ok(()) };
        let stats = oldest.readback.wait(&self.engine.runner).await?;
        if stats.halt != 0 {
            return Err(self.not_finite(oldest.step, &stats).await?);
        }
        let loss = f64::from(stats.loss_sum) / oldest.divisor;
        self.state.loss_total += loss;
        let unlogged = &mut self.state.unlogged;
        unlogged.steps += 1;
        unlogged.loss_sum += loss;
        unlogged.rewards.add(&stats);
        unlogged.grad_norm = f64::from(stats.grad_norm);
        unlogged.largest_grad_norm = unlogged.largest_grad_norm.max(unlogged.grad_norm);
        if self.unproven.is_some_and(|saved| oldest.step >= saved) {
            self.remove_oldest().await?;
        }
        Ok(())
    }

    pub(super) async fn drain(&mut self) -> Result<()> {
        while !self.in_flight.is_empty() {
            self.take_result().await?;
        }
        Ok(())
    }

    /// The weights were left as they were before the bad step: saves them and says what happened. Earlier checkpoints stay: the weights
    /// that training diverged from are seldom good.
    async fn not_finite(&mut self, step: u64, stats: &Stats) -> Result<Error> {
        self.in_flight.clear();
        self.engine.runner.clear_stats();
        let what = if stats.loss_sum.is_finite() { "gradient norm" } else { "loss" };
        self.state.global_step = step;
        self.state.epoch = self.loader.epoch_after(step);
        self.state.seconds = self.seconds();
        let place = self.job.out.label();
        let kept = match step {
            0 => "nothing was trained yet".to_string(),
            _ if self.saved_at == Some(step) => format!("the weights of step {step} are in {place}/{}", checkpoint_name(step)),
            _ => {
                let name = saver::save(&self.saver, &self.engine, &self.state, &self.history).await?;
                format!("the weights of step {step} are kept in {place}/{name}; earlier checkpoints stay")
            }
        };
        let lr = self.last_lr;
        // Products of halves overflow where those of f32 do not.
        let halves = match self.job.recipe.activations {
            Some(Half::Fp16) if self.job.gpu.profile().half_products() => {
                "; with fp16 numbers above 65504 overflow in products: bf16: true computes these in f32"
            }
            _ => "",
        };
        let reason = format!(
            "the {what} is not a finite number, so training stopped and {kept}. The usual causes: a learning rate that is too high (it is {lr:e} now), \
             a model whose weights hold NaN or overflow, or a broken sample; try a tenth of the learning rate or more warm-up{halves}"
        );
        Ok(Error::NotFinite { step: step + 1, reason })
    }

    async fn interrupted(&mut self, observer: &mut dyn Observer) -> Result<Error> {
        self.drain().await?;
        let kept = if self.job.recipe.save_strategy == Strategy::No {
            "nothing was saved, as save_strategy: no asks".to_string()
        } else {
            self.save(observer).await?;
            let name = checkpoint_name(self.state.global_step);
            format!("{}/{name} holds its state; run the same command with resume_from_checkpoint=true to go on", self.job.out.label())
        };
        Ok(Error::Interrupted { reason: format!("stopped after step {} of {}: {kept}", self.state.global_step, self.total_steps) })
    }

    async fn log(&mut self, observer: &mut dyn Observer) -> Result<()> {
        self.drain().await?;
        let seconds = self.logged.elapsed().as_secs_f64();
        let unlogged = std::mem::take(&mut self.state.unlogged);
        let line = LogLine {
            current_steps: self.state.global_step,
            total_steps: self.total_steps,
            loss: unlogged.loss_sum / unlogged.steps.max(1) as f64,
            grad_norm: unlogged.grad_norm,
            lr: self.last_lr,
            epoch: self.state.epoch,
            percentage: self.percentage(),
            elapsed_time: clock(self.seconds()),
            remaining_time: clock(self.remaining()),
            tokens_per_second: self.tokens_since_log as f64 / seconds.max(1e-9),
            more: unlogged.rewards.figures(self.job.recipe.stage, ""),
        };
        self.tokens_since_log = 0;
        self.logged = Instant::now();
        observer.event(Event::Log(&line));
        self.tell_collapse(&unlogged, line.loss, observer);
        self.note(LogEntry::Step(line)).await
    }

    /// Adds a line to the log, and to the files of trackers if there are any.
    pub(super) async fn note(&mut self, entry: LogEntry) -> Result<()> {
        if self.job.recipe.report_to_tensorboard {
            events::add(self.job.out, &entry).await?;
        }
        if self.job.recipe.report_to_wandb {
            Offline::of(self.job).add(self.job.out, self.history.entries.len(), &entry).await?;
        }
        self.history.add(self.job.out, entry).await
    }

    /// Remarks once that nothing is learned any more: no gradient, and every token is as likely as any other.
    fn tell_collapse(&mut self, unlogged: &Unlogged, loss: f64, observer: &mut dyn Observer) {
        let uniform = (self.engine.config.vocab_size as f64).ln();
        let of_tokens = !self.job.recipe.stage.compares_answers();
        let collapsed = of_tokens && unlogged.steps > 0 && unlogged.largest_grad_norm == 0.0 && (loss - uniform).abs() < 0.01 * uniform;
        if !collapsed || self.told_collapse {
            return;
        }
        self.told_collapse = true;
        observer.event(Event::Notice(format!(
            "the model has collapsed by step {}: the gradient is 0 and the loss {loss:.4} that of guessing (the logarithm of {} tokens), so it \
             learns nothing any more. Begin anew with a tenth of the learning rate, more warm-up, or max_grad_norm: 1.0",
            self.state.global_step, self.engine.config.vocab_size
        )));
    }

    /// Removes the checkpoints that the newest one displaces.
    pub(super) async fn remove_oldest(&mut self) -> Result<()> {
        match self.unproven.take() {
            Some(step) => remove_oldest(self.job, step, self.state.best_model_checkpoint.as_deref()).await,
            None => Ok(()),
        }
    }

    pub(super) fn percentage(&self) -> f64 {
        (self.state.global_step as f64 / self.total_steps.max(1) as f64 * 10_000.0).round() / 100.0
    }

    pub(super) fn remaining(&self) -> f64 {
        let (done, total) = (self.state.global_step, self.total_steps);
        self.seconds() / done.max(1) as f64 * total.saturating_sub(done) as f64
    }

    pub(super) async fn save(&mut self, observer: &mut dyn Observer) -> Result<()> {
        if self.saved_at == Some(self.state.global_step) {
            return Ok(());
        }
        self.drain().await?;
        self.state.seconds = self.seconds();
        let name = saver::save(&self.saver, &self.engine, &self.state, &self.history).await?;
        self.saved_at = Some(self.state.global_step);
        self.unproven = self.saved_at;
        self.logged = Instant::now();
        observer.event(Event::Saved(&name));
        Ok(())
    }
}

/// A seed that differs for every micro-step of every step.
fn micro_step_seed(seed: u64, step: u64, micro_step: usize) -> u32 {
    crate::random::mix(seed ^ (step << 16) ^ micro_step as u64) as u32
}
