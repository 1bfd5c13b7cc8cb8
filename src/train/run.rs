//! The training loop.

use std::collections::VecDeque;
use std::rc::Rc;

use web_time::Instant;

use super::checkpoints::{checkpoint_name, newest_checkpoint};
use super::history::{History, LogEntry, LogLine, clock};
use super::job::{Event, Job, Observer, Outcome, Start, Wish, batch_of};
use super::output;
use super::plan::PlannedRun;
use super::saver::{self, Saver};
use super::schedule::Schedule;
use super::state::{self, SavedState};
use crate::config::{Resume, Strategy};
use crate::data::Loader;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::kernels::{Stats, StepValues};
use crate::plan::PendingStats;
use crate::platform::Directory;

/// Steps that may be queued before their results are read: the GPU never waits for us, and a bad loss is seen soon.
const STEPS_IN_FLIGHT: usize = 2;

/// Trains as planned and leaves the model in `job.out`: see [`PlannedRun::train`].
pub(super) async fn train(planned: &PlannedRun, job: &Job<'_>, observer: &mut dyn Observer) -> Result<Outcome> {
    let PlannedRun { loader, blueprint, memory, finetuning, .. } = planned.clone();
    memory.check(job.gpu.profile(), job.recipe.gradient_checkpointing)?;

    for notice in &finetuning.notices {
        observer.event(Event::Notice(notice.clone()));
    }
    let base = finetuning.base(job.checkpoint)?;
    let base = base.model();
    let mut saver = Saver::new(job, finetuning.clone(), base).await?;
    let earlier = find_earlier(&saver, observer).await?;
    let directory = earlier.as_ref().map(|(directory, _)| directory.clone());
    if let Some(count) = finetuning.decomposed().filter(|_| directory.is_none()) {
        observer.event(Event::Notice(format!("looking for the principal directions of {count} matrices …")));
    }
    saver.principal = finetuning.find_principal(base, directory, job.recipe.seed).await?;

    job.gpu.reset_peak();
    let engine = match saver.residual() {
        Some(residual) => Engine::load_planned(job.gpu.clone(), &residual, &blueprint).await?,
        None => Engine::load_planned(job.gpu.clone(), base, &blueprint).await?,
    };
    let (parameters, trainable) = finetuning.count(job.checkpoint)?;
    finetuning.begin(&engine, base, saver.principal.as_ref(), job.recipe.seed).await?;
    let mut run = Run::new(saver, engine, loader);
    run.resume(earlier).await?;
    let start = Start {
        parameters,
        trainable,
        total_steps: run.total_steps,
        resumed_at: run.state.global_step,
        samples: job.train.len(),
        tokens: job.train.iter().map(|s| s.ids.len()).sum(),
        memory,
        device: job.gpu.profile().name.clone(),
    };
    observer.event(Event::Start(&start));
    run.steps(observer).await?;
    run.finish(observer).await
}

/// The checkpoint that a run goes on from, and what it knows about itself.
async fn find_earlier(saver: &Saver<'_>, observer: &mut dyn Observer) -> Result<Option<(Rc<dyn Directory>, SavedState)>> {
    let out = saver.job.out;
    let dir: Rc<dyn Directory> = match &saver.job.recipe.resume_from_checkpoint {
        Resume::No => return Ok(None),
        Resume::Newest => match newest_checkpoint(out).await? {
            Some(name) => Rc::from(crate::platform::as_directory(out.subdirectory(&name))),
            None => {
                let place = out.label();
                observer.event(Event::Notice(format!("there is no whole checkpoint in {place} yet: starting from the beginning")));
                return Ok(None);
            }
        },
        Resume::From(path) => {
            let given = saver.job.resume_from.clone();
            given.ok_or_else(|| Error::recipe("resume_from_checkpoint", format!("the directory {path} was not opened for this run")))?
        }
    };
    let state = state::read(saver, &*dir).await?;
    Ok(Some((dir, state)))
}

/// A step whose statistics are on their way back.
struct InFlight {
    step: u64,
    targets: usize,
    readback: PendingStats,
}

pub(super) struct Run<'a> {
    pub(super) job: &'a Job<'a>,
    pub(super) saver: Saver<'a>,
    pub(super) engine: Engine,
    loader: Loader,
    schedule: Schedule,
    pub(super) total_steps: u64,
    pub(super) state: SavedState,
    pub(super) history: History,
    in_flight: VecDeque<InFlight>,
    /// (loss, grad_norm) of the steps since the last log line.
    since_log: Vec<(f64, f64)>,
    tokens_since_log: usize,
    pub(super) tokens: usize,
    pub(super) samples: usize,
    last_lr: f64,
    pub(super) started: Instant,
    pub(super) logged: Instant,
    pub(super) first_step: u64,
    pub(super) stopped_early: bool,
    saved_at: Option<u64>,
}

impl<'a> Run<'a> {
    fn new(saver: Saver<'a>, engine: Engine, loader: Loader) -> Run<'a> {
        let job = saver.job;
        let total_steps = loader.total_steps();
        let state = SavedState { max_steps: total_steps, fingerprint: saver.run_fingerprint(), ..SavedState::default() };
        Run {
            schedule: Schedule::of(job.recipe, total_steps),
            job,
            saver,
            engine,
            loader,
            total_steps,
            state,
            history: History::default(),
            in_flight: VecDeque::new(),
            since_log: Vec::new(),
            tokens_since_log: 0,
            tokens: 0,
            samples: 0,
            last_lr: 0.0,
            started: Instant::now(),
            logged: Instant::now(),
            first_step: 0,
            stopped_early: false,
            saved_at: None,
        }
    }

    async fn resume(&mut self, earlier: Option<(Rc<dyn Directory>, SavedState)>) -> Result<()> {
        output::clear(self.job.out, self.job.recipe.resume_from_checkpoint == Resume::No).await?;
        let Some((dir, mut state)) = earlier else { return self.history.rewrite(self.job.out).await };
        saver::restore(&self.saver, &self.engine, dir).await?;
        self.history.entries = std::mem::take(&mut state.trainer_log);
        self.history.rewrite(self.job.out).await?;
        self.first_step = state.global_step;
        self.saved_at = Some(state.global_step);
        self.state = state;
        Ok(())
    }

    async fn steps(&mut self, observer: &mut dyn Observer) -> Result<()> {
        let recipe = self.job.recipe;
        let logging = recipe.logging_steps.steps(self.total_steps);
        let evaluating = recipe.eval_steps.steps(self.total_steps);
        let saving = recipe.save_steps.steps(self.total_steps);
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
            if done.is_multiple_of(logging) || done == self.first_step + 1 || last {
                self.log(observer).await?;
            }
            let evaluates = due(recipe.eval_strategy, evaluating) && !self.job.eval.is_empty();
            let improved = if evaluates { self.evaluate(observer).await? } else { false };
            if due(recipe.save_strategy, saving) || (improved && recipe.load_best_model_at_end) {
                self.save(observer).await?;
            }
            if self.ask(observer).await? == Wish::Stop {
                return Err(self.interrupted(observer).await?);
            }
        }
        Ok(())
    }

    /// Lets who watches take its time, save, or end the run.
    async fn ask(&mut self, observer: &mut dyn Observer) -> Result<Wish> {
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

    /// Queues forward and backward of the step's micro-batches and the update.
    async fn queue_step(&mut self, step: u64) -> Result<()> {
        let recipe = self.job.recipe;
        let batches: Vec<_> = self.loader.group(step).iter().map(|g| batch_of(self.job.train, g)).collect();
        let targets: usize = batches.iter().map(|b| b.target_count()).sum();
        let t = (step + 1) as i32;
        self.last_lr = self.schedule.learning_rate(step);
        let mut values = StepValues {
            loss_scale: 1.0 / targets.max(1) as f32,
            learning_rate: self.last_lr as f32,
            bias_correction1: (1.0 / (1.0 - recipe.adam_beta1.powi(t))) as f32,
            bias_correction2: (1.0 / (1.0 - recipe.adam_beta2.powi(t))) as f32,
            max_grad_norm: recipe.max_grad_norm.unwrap_or(0.0) as f32,
            ..StepValues::default()
        };
        for (i, batch) in batches.iter().enumerate() {
            values.accumulate = u32::from(i > 0);
            values.seed = micro_step_seed(recipe.seed, step, i);
            self.engine.micro_step(batch, values).await?;
            self.tokens_since_log += batch.tokens;
            self.tokens += batch.tokens;
            self.samples += batch.samples;
        }
        self.engine.update(&values).await?;
        let readback = self.engine.runner.start_read_stats()?;
        self.in_flight.push_back(InFlight { step, targets, readback });
        Ok(())
    }

    /// Waits for the oldest queued step and looks at its numbers.
    async fn take_result(&mut self) -> Result<()> {
        let Some(oldest) = self.in_flight.pop_front() else { return Ok(()) };
        let stats = oldest.readback.wait(&self.engine.runner).await?;
        if stats.halt != 0 {
            return Err(self.not_finite(oldest.step, &stats).await?);
        }
        let loss = f64::from(stats.loss_sum) / oldest.targets.max(1) as f64;
        self.state.loss_total += loss;
        self.since_log.push((loss, f64::from(stats.grad_norm)));
        Ok(())
    }

    pub(super) async fn drain(&mut self) -> Result<()> {
        while !self.in_flight.is_empty() {
            self.take_result().await?;
        }
        Ok(())
    }

    /// The weights were left as they were before the bad step: saves them and says what happened.
    async fn not_finite(&mut self, step: u64, stats: &Stats) -> Result<Error> {
        self.in_flight.clear();
        self.engine.runner.clear_stats();
        let what = if stats.loss_sum.is_finite() { "gradient norm" } else { "loss" };
        self.state.global_step = step;
        self.state.epoch = self.loader.epoch_after(step);
        let kept = if step == 0 {
            "nothing was trained yet".to_string()
        } else {
            let name = saver::save(&self.saver, &self.engine, &self.state, &self.history).await?;
            format!("the weights of step {step} are kept in {}/{name}", self.job.out.label())
        };
        let lr = self.last_lr;
        let reason = format!(
            "the {what} is not a finite number, so training stopped and {kept}. The usual causes: a learning rate that is too high (it is {lr:e} now), \
             a model whose weights hold NaN or overflow, or a broken sample; try a tenth of the learning rate or more warm-up"
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
        let count = self.since_log.len().max(1) as f64;
        let seconds = self.logged.elapsed().as_secs_f64();
        let line = LogLine {
            current_steps: self.state.global_step,
            total_steps: self.total_steps,
            loss: self.since_log.iter().map(|(l, _)| l).sum::<f64>() / count,
            grad_norm: self.since_log.last().map_or(0.0, |(_, g)| *g),
            lr: self.last_lr,
            epoch: self.state.epoch,
            percentage: self.percentage(),
            elapsed_time: clock(self.started.elapsed().as_secs_f64()),
            remaining_time: clock(self.remaining()),
            tokens_per_second: self.tokens_since_log as f64 / seconds.max(1e-9),
        };
        self.since_log.clear();
        self.tokens_since_log = 0;
        self.logged = Instant::now();
        observer.event(Event::Log(&line));
        self.history.add(self.job.out, LogEntry::Step(line)).await
    }

    pub(super) fn percentage(&self) -> f64 {
        (self.state.global_step as f64 / self.total_steps.max(1) as f64 * 10_000.0).round() / 100.0
    }

    pub(super) fn remaining(&self) -> f64 {
        let done = (self.state.global_step - self.first_step).max(1) as f64;
        self.started.elapsed().as_secs_f64() / done * (self.total_steps - self.state.global_step) as f64
    }

    pub(super) async fn save(&mut self, observer: &mut dyn Observer) -> Result<()> {
        if self.saved_at == Some(self.state.global_step) {
            return Ok(());
        }
        self.drain().await?;
        let name = saver::save(&self.saver, &self.engine, &self.state, &self.history).await?;
        self.saved_at = Some(self.state.global_step);
        self.logged = Instant::now();
        observer.event(Event::Saved(&name));
        Ok(())
    }
}

/// A seed that differs for every micro-step of every step.
fn micro_step_seed(seed: u64, step: u64, micro_step: usize) -> u32 {
    crate::random::mix(seed ^ (step << 16) ^ micro_step as u64) as u32
}
